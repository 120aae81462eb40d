"""An obstacle scan as the robot would see it a little earlier or later, from where it is then.

A sweep may be a tenth of a second or more older than the image that it is fused with. In 0.1 s a
robot at 1 m/s comes 10 cm closer to an obstacle ahead, and at 1 rad/s it turns by more than a
sector.

What a sector saw lies somewhere in its width, so it reaches into two sectors afterwards. Where
neighbours show one plane, such as a wall, distances between them are interpolated; else the nearer
one counts, and an obstacle gets a sector too wide rather than too narrow. A sector is clear only if
all that it looks through was: what was unknown, or behind an obstacle, stays so. (Up to
``range_max`` from the new place: a lidar's scan says "clear" where it is clear as much farther.)
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import LidarMountConfig, LidarScanConfig
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.types import BoolArray, ObstacleScan

FASTEST = 20.0  # m/s at which a robot may drive into what a scan says is clear
ONE_PLANE = 0.02  # share of 1/r by which three neighbours may miss a plane
TOUCH = 0.25  # of a sector; what reaches in less is left to the sector that it fills more of
RAYS = 5  # in a sector, along which clear space must have been clear before

Values = NDArray[np.float64]


class PlanarMotion(NamedTuple):
    """How a scan's place moves: m ahead and m to the left in its axes before, then a turn, rad,
    counter-clockwise."""

    x: float
    y: float
    turn: float


def motion_of(
    scan: ObstacleScan,
    stamp: float,
    bodies: PoseBuffer,
    mount: LidarMountConfig,
    options: LidarScanConfig,
) -> PlanarMotion | None:
    """How a lidar scan's place moves up to ``stamp``: by odometry where it covers both stamps, else
    by the velocity that the sweeps show; None where neither is known.

    Args:
        bodies: poses of the robot's body.
        mount, options: where lidar and scan are on it.
    """
    before, after = bodies.pose(scan.stamp), bodies.pose(stamp)
    if before is not None and after is not None:
        step = np.linalg.inv(before) @ after
        place = np.array([mount.x + options.camera_x, mount.y + options.camera_y, 0.0, 1.0])
        x, y = (step @ place - place)[:2].tolist()
        c, s = math.cos(options.camera_yaw), math.sin(options.camera_yaw)
        return PlanarMotion(c * x + s * y, c * y - s * x, math.atan2(step[1, 0], step[0, 0]))
    if scan.velocity is None:
        return None
    elapsed = stamp - scan.stamp
    vx, vy, rate = scan.velocity
    half = 0.5 * rate * elapsed  # it turns while it drives
    c, s = math.cos(half), math.sin(half)
    return PlanarMotion((c * vx - s * vy) * elapsed, (s * vx + c * vy) * elapsed, rate * elapsed)


def carried(
    scan: ObstacleScan, motion: PlanarMotion, stamp: float, blind: float = 0.0
) -> ObstacleScan:
    """The scan from another place and time.

    Args:
        scan: of sectors all around.
        motion: of the scan's place from ``scan.stamp`` to ``stamp``.
        stamp: s. Obstacles move on by their own part of the closing speed, where it is known.
        blind: m; what was unknown so near to the robot doesn't keep a sector from being clear.

    Returns:
        The same sectors. What was nearer than ``range_min`` stays -Inf.
    """
    if stamp == scan.stamp and motion == (0.0, 0.0, 0.0):
        return scan
    seen = np.flatnonzero(np.isfinite(scan.ranges) | np.isneginf(scan.ranges))
    first, second, lean = _planes(scan, seen)
    distance, bearing, speed = _moved(scan, seen, lean, motion, stamp)
    off = _wrapped(_angles(scan)[:, None] - bearing) / scan.angle_increment
    overlap = np.maximum(1.0 - np.abs(off), 0.0)  # (S, O), share of the sector
    overlap[overlap < 1e-6] = 0.0  # rounding
    taken, source = _nearest(distance, bearing, overlap, _angles(scan), first, second)
    out = np.full(len(scan.ranges), np.nan)
    clear = _still_clear(scan, motion, stamp, blind) & ~(overlap > 0.0).any(axis=1)
    out[clear] = np.inf
    found = taken <= scan.range_max  # beyond: nothing is proven up to there
    out[found] = np.where(taken[found] < scan.range_min, -np.inf, taken[found])
    closing = None
    if scan.closing_speed is not None:
        closing = np.full(len(out), np.nan, np.float32)
        closing[found] = speed[source[found]]
    return replace(scan, ranges=out.astype(np.float32), stamp=stamp, closing_speed=closing)


def _moved(
    scan: ObstacleScan,
    seen: NDArray[np.intp],
    lean: Values,
    motion: PlanarMotion,
    stamp: float,
) -> tuple[Values, Values, Values]:
    """Distance, bearing and closing speed of the obstacles in the sectors ``seen``, (O,) each; they
    are ``lean`` half sectors from the middle, and so are the bearings."""
    aside = 0.5 * lean * scan.angle_increment
    angle = _angles(scan)[seen] + aside
    away = scan.ranges[seen].astype(np.float64)
    too_near = np.isneginf(away)
    away[too_near] = 0.5 * scan.range_min
    ahead, left = np.cos(angle), np.sin(angle)
    speed = np.full(len(angle), np.nan)
    elapsed = stamp - scan.stamp
    if scan.closing_speed is not None and elapsed != 0.0:
        speed = scan.closing_speed[seen].astype(np.float64)
        own = np.nan_to_num(speed - (motion.x * ahead + motion.y * left) / elapsed)
        away = np.maximum(away - own * elapsed, 0.0)
    x, y = away * ahead - motion.x, away * left - motion.y
    distance = np.hypot(x, y)
    distance[too_near] = 0.0
    return distance, np.arctan2(y, x) - motion.turn - aside, speed


def _nearest(
    distance: Values,
    bearing: Values,
    overlap: Values,
    angles: Values,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
) -> tuple[Values, NDArray[np.intp]]:
    """(S,) distance of the nearest obstacle, +Inf where there is none, and which one it is."""
    count = len(distance)
    if count == 0:
        return np.full(len(overlap), np.inf), np.zeros(len(overlap), np.intp)
    # sectors whose middle lies between the two obstacles of a plane
    gap = _wrapped(bearing[second] - bearing[first])
    share = _wrapped(angles[:, None] - bearing[first]) / np.where(gap > 1e-9, gap, np.inf)
    between = (share >= 0.0) & (share <= 1.0) & (gap > 1e-9)
    inverse = (1.0 - share) / distance[first] + share / distance[second]
    wall = np.where(between, 1.0 / np.maximum(inverse, 1e-9), np.inf).min(axis=1, initial=np.inf)
    part = np.zeros(overlap.shape, np.bool_)  # of a plane that the sector shows
    for pair in range(len(first)):
        part[between[:, pair], first[pair]] = part[between[:, pair], second[pair]] = True
    nearest = np.where(part, overlap, 0.0).argmax(axis=1)
    for one, other in ((first, second), (second, first)):
        grown = part.copy()
        grown[:, other] |= part[:, one]
        part = grown
    fills = (overlap > TOUCH).any(axis=1) | np.isfinite(wall)
    counts = ~part & (overlap > np.where(fills, TOUCH, 0.0)[:, None])
    others = np.where(counts, distance, np.inf)
    single = others.min(axis=1) < wall
    return np.minimum(others.min(axis=1), wall), np.where(single, others.argmin(axis=1), nearest)


def _planes(
    scan: ObstacleScan, seen: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Values]:
    """The pairs of obstacles in neighbouring sectors that lie on one plane with a third beside
    them: 1/r is a sinusoid of the angle there.

    Returns:
        The first and the second of each pair, among the obstacles; and on which side of its sector
        (1 left, -1 right) each obstacle lies, 0 where that isn't known: a plane's nearest point is
        at one edge.
    """
    sectors = len(scan.ranges)
    inverse = np.full(sectors, np.nan)
    with np.errstate(divide="ignore"):
        inverse[seen] = 1.0 / scan.ranges[seen]
    inverse[np.isneginf(scan.ranges)] = np.nan
    before, after = np.roll(inverse, 1), np.roll(inverse, -1)
    with np.errstate(invalid="ignore"):
        bend = np.abs(before + after - 2.0 * math.cos(scan.angle_increment) * inverse)
        middle: BoolArray = bend <= ONE_PLANE * inverse
    one = middle | np.roll(middle, -1)  # this sector and the next
    index = np.full(sectors, -1)
    index[seen] = np.arange(len(seen))
    following = np.roll(index, -1)
    both = one & (index >= 0) & (following >= 0)
    lean = np.where(middle, np.sign(after - before), 0.0)
    lean = np.where((lean == 0.0) & one, np.roll(lean, -1), lean)
    lean = np.where((lean == 0.0) & np.roll(one, 1), np.roll(lean, 1), lean)
    return index[both], following[both], lean[seen]


def _still_clear(scan: ObstacleScan, motion: PlanarMotion, stamp: float, blind: float) -> BoolArray:
    """(S,) the sectors that look through clear ones alone."""
    clear = np.isposinf(scan.ranges)
    half = 0.5 * scan.angle_increment * (1.0 - 1e-6)
    angle = _angles(scan)[:, None] + np.linspace(-half, half, RAYS) + motion.turn
    near = min(max(blind, scan.range_min, 1e-3), 0.5 * scan.range_max)
    away = np.array([near, scan.range_max])
    x = away * np.cos(angle)[..., None] + motion.x
    y = away * np.sin(angle)[..., None] + motion.y
    bearing = np.arctan2(y, x)  # (S, RAYS, 2)
    # along a straight line the bearing from one place only grows or only falls, so that the two
    # ends bound what a ray looks through
    begin = np.unwrap(bearing[..., 0], axis=1)
    end = begin + _wrapped(bearing[..., 1] - bearing[..., 0])
    start = scan.angle_min - 0.5 * scan.angle_increment
    first, last = (
        np.floor((edge - start) / scan.angle_increment).astype(np.intp)
        for edge in (np.minimum(begin, end).min(axis=1), np.maximum(begin, end).max(axis=1))
    )
    sectors = len(clear)
    first, count = first % sectors, np.minimum(last - first + 1, sectors)
    blocked = np.concatenate([[0], np.cumsum(~np.tile(clear, 2))])
    through = blocked[first + count] == blocked[first]
    advance = motion.x * np.cos(angle) + motion.y * np.sin(angle)
    within = advance.max(axis=1) <= FASTEST * max(stamp - scan.stamp, 0.0) + 1e-3
    return np.asarray(through & within)


def _angles(scan: ObstacleScan) -> Values:
    """(S,) the sectors' middles, rad, without the rounding of float32."""
    return np.asarray(scan.angle_min + scan.angle_increment * np.arange(len(scan.ranges)), float)


def _wrapped(angle: Values) -> Values:
    """Angles within half a turn, rad."""
    turned: Values = (angle + math.pi) % (2.0 * math.pi) - math.pi
    return turned
