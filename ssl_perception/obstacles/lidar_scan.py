"""From a sweep to the distance of the nearest obstacle in each direction, all around the robot.

An obstacle is a return within the robot's height band above the ground, which is as high as the
sweep's own ground returns say, interpolated between them. What is lower is driven over; below what
is higher the robot passes.

Unknown is never free. A return proves that its beam's way was empty, and that alone: a beam that
doesn't come back (sky, glass, black paint, a lost pulse) proves nothing. A place is proven free of
obstacles that stand on the ground and are ``obstacle_height`` high when beams pass it lower than
that, with no gap between them, from left to right, that is ``obstacle_width`` wide. A sector reads
+Inf only if all of it is proven so from ``blind`` up to ``range_max``, and as much farther as the
robot gets before the scan is too old; NaN if that is missing and no obstacle is seen. Beyond the
last ground return nothing is proven: behind a crest beams are higher above it than one would think.

The exception is on the safe side: an obstacle that is seen is reported however little is known of
the space before it, or the fusion with another cue could take the sector for clear.

What clear doesn't say: obstacles narrower or lower than the above may stand between the beams, and
what hangs in the air, such as a barrier's boom, is reported when seen but isn't looked for; nor do
beams look below ``lowest`` obstacles' tops within ``blind`` of the lidar. Mirror images seem to lie
behind their glass, which then looks open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.config import (
    CollisionConfig,
    Config,
    LidarMountConfig,
    LidarScanConfig,
    ScanConfig,
)
from ssl_perception.flow.online.ground import estimate_sensor_height
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.flow.rigid.visibility import arctan
from ssl_perception.obstacles.carry import FASTEST
from ssl_perception.obstacles.ground_profile import (
    BINS,
    GROUND_RING,
    GROUND_SECTORS,
    finer,
    ground_profile,
)
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.types import BoolArray, Cue, FloatArray, ObstacleScan

RING = 0.5  # m, steps of distance in which space is proven free ...
MOST_RINGS = 160  # ... or coarser, for scans that reach far
GROUND_BEYOND = 20.0  # m beyond the scan in which ground still counts
GROUND_MARGIN = 2.0  # times ``lowest``: what is so high is no ground, whatever it was taken for
BELOW_GROUND = 0.3  # m: returns that deep are mirror images; beams no deeper graze the ground
ONE_SURFACE = 2.0  # times the noise: returns so much farther than the nearest are averaged with it


@dataclass(frozen=True, eq=False)
class _Layout:
    """What depends on the settings alone.

    Attributes:
        level: (3, 3) turns the lidar's axes to level ones with x ahead.
        ring: m, depth of a ring around the lidar.
        rings: how many.
        cells: (S, K, A) int32: the cells (row, bin) that a sector's ``A`` rays cross at each of K
            steps of distance from the camera; row ``rings`` is all that lies within ``blind``. They
            go beyond ``range_max`` by what the robot covers in ``max_age``.
    """

    level: NDArray[np.float64]
    ring: float
    rings: int
    cells: NDArray[np.int32]


def lidar_scan(result: SweepFlow, config: Config) -> ObstacleScan:
    """Distance to the nearest obstacle per sector over the full circle, seen from the camera.

    Args:
        result: what the online runtime made of a raw sweep.
        config: sections ``scan``, ``lidar_scan``, ``lidar_mount``, ``collision`` and ``ground``.

    Returns:
        The sectors of ``obstacle_scan``, at the sweep's stamp, with closing speeds. Returns inside
        the robot's box (``collision``), above it and below it, are the robot's own, as are those in
        ``online.vehicle``; while neither is set there are none of its own, and all count.
    """
    scan, options = config.scan, config.lidar_scan
    layout = _layout(scan, options, config.lidar_mount)
    points = _at_stamp(result)
    own_low, own_high = _own_box(config.collision)
    level = layout.level
    if result.level is not None:
        level = Rotation.from_euler("Z", config.lidar_mount.yaw).as_matrix() @ result.level
    place, distance, bins = _locate(
        points, result.cloud.origin.astype(np.float64), level, own_low, own_high
    )
    if result.own is not None:
        bins[result.own], distance[result.own], place[result.own] = -1, 0.0, 0.0
    rings = math.ceil((layout.ring * layout.rings + GROUND_BEYOND) / GROUND_RING)
    height, known_to = ground_profile(place, distance, bins, result.ground, rings)
    if not known_to.any():  # no ground at all: then as far below as the settings say
        found = result.mounting.height if result.mounting is not None else 0.0
        height[:] = -(config.ground.sensor_height or found or estimate_sensor_height(place))
    height = finer(height, layout.ring, math.ceil(rings * GROUND_RING / layout.ring))
    band = np.array([options.lowest, options.clearance, options.obstacle_height, options.blind])
    seen = np.zeros((layout.rings + 1, BINS), np.uint8)
    camera = np.array([options.camera_x, options.camera_y, options.camera_yaw])
    beside = np.full(scan.sectors, np.nan, np.float32)
    sector, away, index = _look(
        place, distance, bins, result.ground, height, known_to, band, layout.ring, seen,
        camera, scan.sectors, options.edge, scan.range_max, beside,
    )  # fmt: skip
    _close_gaps(seen, layout.ring, options.blind, options.obstacle_width)
    free_to = _free_to(seen.reshape(-1), layout.cells)
    robot = _robot_motion(result, level, camera)
    ranges, closing, lone = _nearest(
        sector, away, index, place, result.flow.flow, result.flow.confidence,
        robot, level, camera, scan.sectors,
        options.min_points, max(ONE_SURFACE * options.noise, 1e-6),
    )  # fmt: skip
    ranges = np.where(np.isnan(ranges), beside, ranges)
    velocity = _velocity(robot, options.camera_yaw)
    needed = np.ceil((scan.range_max + _advance(velocity, scan, options)) / layout.ring)
    clear = np.isnan(ranges) & ~lone & (free_to >= needed)
    ranges[clear] = np.inf
    ranges[ranges < scan.range_min] = -np.inf
    increment = 2.0 * np.pi / scan.sectors
    return ObstacleScan(
        ranges,
        angle_min=-np.pi + increment / 2.0,
        angle_increment=increment,
        range_min=scan.range_min,
        range_max=scan.range_max,
        stamp=result.cloud.stamp,
        frame=options.frame or result.cloud.frame,
        cue=Cue.NONE if np.isnan(ranges).all() else Cue.LIDAR,
        closing_speed=closing,
        velocity=velocity,
    )


def with_lidar_scan(result: SweepFlow, config: Config) -> SweepFlow:
    """The result with its ``lidar_scan``, and the time that it took among the stages."""
    watch = Stopwatch()
    scan = lidar_scan(result, config)
    watch.lap("obstacle scan")
    return replace(result, lidar_scan=scan, stages={**result.stages, **watch.stages})


@lru_cache(maxsize=4)
def _layout(scan: ScanConfig, options: LidarScanConfig, mount: LidarMountConfig) -> _Layout:
    level = Rotation.from_euler("ZYX", (mount.yaw, mount.pitch, mount.roll)).as_matrix()
    farthest = scan.range_max + FASTEST * options.max_age
    reach = farthest + math.hypot(options.camera_x, options.camera_y)
    ring = max(RING, reach / MOST_RINGS)
    rings = math.ceil(reach / ring)
    steps = math.ceil(farthest / ring)
    rays = math.ceil(BINS / scan.sectors) + 1
    edges = -np.pi + 2.0 * np.pi / scan.sectors * np.arange(scan.sectors)
    angle = edges[:, None] + np.linspace(0.0, 2.0 * np.pi / scan.sectors, rays)
    angle += options.camera_yaw
    away = np.minimum((np.arange(steps) + 0.5) * ring, farthest)
    x = options.camera_x + away[:, None] * np.cos(angle)[:, None, :]
    y = options.camera_y + away[:, None] * np.sin(angle)[:, None, :]
    distance = np.hypot(x, y)
    row = np.minimum((distance / ring).astype(np.int32), rings - 1)
    row[distance < options.blind] = rings
    column = ((np.arctan2(y, x) + np.pi) * (BINS / (2.0 * np.pi))).astype(np.int32) % BINS
    return _Layout(level, ring, rings, row * np.int32(BINS) + column)


def _at_stamp(result: SweepFlow) -> FloatArray:
    """(N, 3) the points where they are at the stamp: those of movers were met on the way."""
    cloud, flow = result.cloud, result.flow
    points = cloud.points if result.deskewed is None else result.deskewed
    if result.deskewed is None or cloud.time is None or not flow.moving.any():
        return points
    moved = points.copy()
    movers = np.flatnonzero(flow.moving & (flow.confidence > 0.0))
    moved[movers] -= flow.flow[movers] * (cloud.time[movers] / flow.interval)[:, None]
    return moved


def _own_box(box: CollisionConfig) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of what the robot is in the lidar's horizontal axes, (2,) each; empty: not known."""
    if not box.has_footprint:
        return np.zeros(2), np.zeros(2)
    half = box.width / 2 + box.own
    return np.array([-box.rear, -half]), np.array([box.front, half])


def _robot_motion(
    result: SweepFlow, level: NDArray[np.float64], camera: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The camera's velocity over ground, m/s along the level axes, 1 / ``flow.interval``, and its
    yaw rate, rad/s; NaN where it isn't known."""
    motion = result.current_from_previous
    if motion is None or result.reset or result.flow.interval == 0.0:
        return np.full(4, np.nan)
    interval = -result.flow.interval
    velocity = level @ (-motion[:3, 3] / interval)
    turn = level @ motion[:3, :3] @ level.T
    yaw_rate = -math.atan2(turn[1, 0], turn[0, 0]) / interval
    vx, vy = velocity[0] - yaw_rate * camera[1], velocity[1] + yaw_rate * camera[0]
    return np.array([vx, vy, -1.0 / interval, yaw_rate])


def _velocity(robot: NDArray[np.float64], yaw: float) -> tuple[float, float, float] | None:
    """``_robot_motion`` in the axes of the scan, which is turned by ``yaw``; None: not known."""
    vx, vy, _, yaw_rate = robot.tolist()
    if math.isnan(vx):
        return None
    c, s = math.cos(yaw), math.sin(yaw)
    return c * vx + s * vy, c * vy - s * vx, yaw_rate


def _advance(
    velocity: tuple[float, float, float] | None, scan: ScanConfig, options: LidarScanConfig
) -> NDArray[np.float64]:
    """(S,) m that the robot gets in the direction of each sector before the scan is too old."""
    if velocity is None:
        return np.full(scan.sectors, FASTEST * options.max_age)
    angle = -np.pi + 2.0 * np.pi / scan.sectors * (np.arange(scan.sectors) + 0.5)
    speed = velocity[0] * np.cos(angle) + velocity[1] * np.sin(angle)
    return np.clip(speed, 0.0, FASTEST) * options.max_age


@kernel
def _locate(
    points: FloatArray,
    origin: NDArray[np.float64],
    level: NDArray[np.float64],
    own_low: NDArray[np.float64],
    own_high: NDArray[np.float64],
) -> tuple[FloatArray, FloatArray, NDArray[np.int32]]:
    """The points about the sensor in level axes (N, 3), their horizontal distance (N,) and bin
    (N,); the robot's own have bin -1."""
    place = np.empty((len(points), 3), np.float32)
    distance = np.empty(len(points), np.float32)
    bins = np.empty(len(points), np.int32)
    turn = level.astype(np.float32)
    start = origin.astype(np.float32)
    low, high = own_low.astype(np.float32), own_high.astype(np.float32)
    per_radian = np.float32(BINS / (2.0 * math.pi))
    for p in range(len(points)):
        x, y, z = points[p, 0] - start[0], points[p, 1] - start[1], points[p, 2] - start[2]
        if low[0] < x < high[0] and low[1] < y < high[1]:
            bins[p], distance[p], place[p] = -1, 0.0, 0.0
            continue
        a = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
        b = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
        place[p, 0], place[p, 1] = a, b
        place[p, 2] = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        distance[p] = np.sqrt(a * a + b * b)
        if distance[p] < np.float32(1e-3):
            bins[p] = -1
            continue
        column = int((arctan(b, a) + np.float32(math.pi)) * per_radian)
        bins[p] = min(max(column, 0), BINS - 1)
    return place, distance, bins


@kernel
def _look(
    place: FloatArray,
    distance: FloatArray,
    bins: NDArray[np.int32],
    ground: BoolArray,
    height: FloatArray,
    known_to: FloatArray,
    band: NDArray[np.float64],
    ring: float,
    seen: NDArray[np.uint8],
    camera: NDArray[np.float64],
    sectors: int,
    edge: float,
    range_max: float,
    beside: FloatArray,
) -> tuple[NDArray[np.int32], FloatArray, NDArray[np.int32]]:
    """What each beam passed and what it met.

    Args:
        height: (GROUND_SECTORS, steps) of the ground, m, in steps of ``ring``.
        band: lowest, clearance, obstacle_height, blind.
        seen: (rings + 1, BINS), written: 1 where a beam passed low above the ground; the last row:
            where one passed out of ``blind`` within the robot's height band.
        beside: (S,), written: distance of the nearest obstacle that is more than half of ``edge``
            outside of the sector, but may reach into it between two beams; as it was if none.

    Returns:
        (M,) sector, distance from the camera and index of the obstacles' points; a point within
        half of ``edge`` from where two sectors meet is in both.
    """
    band = band.astype(np.float32)
    lowest, clearance, low, blind = band[0], band[1], band[2], band[3]
    deepest = np.float32(-BELOW_GROUND)
    rings = len(seen) - 1
    per_metre = np.float32(1.0 / ring)
    first_ring = int(blind * per_metre)
    middle = ((np.arange(rings) + 0.5) * ring).astype(np.float32)
    ends = np.minimum((known_to * per_metre).astype(np.int32), rings)
    sector_of = np.empty(2 * len(place), np.int32)
    away = np.empty(2 * len(place), np.float32)
    index = np.empty(2 * len(place), np.int32)
    found = 0
    width = 2.0 * math.pi / sectors
    for p in range(len(place)):
        column = bins[p]
        if column < 0:
            continue
        around = column // (BINS // GROUND_SECTORS)
        r, z = distance[p], place[p, 2]
        step = int(r * per_metre)
        above = z - height[around, min(step, height.shape[1] - 1)]
        if (GROUND_MARGIN if ground[p] else 1.0) * lowest <= above <= clearance:
            x, y = place[p, 0] - camera[0], place[p, 1] - camera[1]
            d = math.sqrt(x * x + y * y)
            if d <= range_max:
                angle = arctan(np.float32(y), np.float32(x)) - camera[2] + math.pi
                angle -= 2.0 * math.pi * math.floor(angle / (2.0 * math.pi))
                own = min(int(angle / width), sectors - 1)
                inside = angle - own * width
                for side in range(-1, 2):
                    gap = inside if side < 0 else width - inside
                    if side != 0 and gap > edge:
                        continue
                    s = (own + side) % sectors
                    if side != 0 and gap > 0.5 * edge:
                        if not beside[s] <= d:
                            beside[s] = d
                    elif found < len(index):
                        sector_of[found], away[found], index[found] = s, d, p
                        found += 1
        if above < deepest:
            continue
        slope = z / r
        if r > blind:
            over = slope * blind - height[around, first_ring]
            if deepest <= over <= clearance:
                seen[rings, column] = 1
        # a beam comes down on its way out: from its end inwards it is low for a while
        for k in range(min(step, ends[around]) - 1, first_ring - 1, -1):
            over = slope * middle[k] - height[around, k]
            if over > low:
                break
            if over >= deepest:
                seen[k, column] = 1
    return sector_of[:found], away[:found], index[:found]


@kernel
def _close_gaps(seen: NDArray[np.uint8], ring: float, blind: float, width: float) -> None:
    """Mark the gaps between beams that nothing ``width`` wide fits into, ring by ring."""
    rings = len(seen) - 1
    for k in range(rings + 1):
        far = blind if k == rings else (k + 1.0) * ring
        most = int(width / (max(far, 0.1) * 2.0 * math.pi / BINS))  # bins from beam to beam
        row = seen[k]
        first = 0
        while first < BINS and row[first] == 0:
            first += 1
        if first == BINS:
            continue
        last = first
        for step in range(1, BINS + 1):
            column = (first + step) % BINS
            if row[column] == 1:
                gap = (column - last) % BINS
                if 1 < gap <= most or (gap == 0 and most >= BINS):
                    for between in range(1, gap if gap else BINS):
                        row[(last + between) % BINS] = 2
                last = column


@kernel
def _free_to(proven: NDArray[np.uint8], cells: NDArray[np.int32]) -> NDArray[np.int32]:
    """(S,) how many steps of distance from the camera each sector is free on all of its width."""
    free = np.zeros(len(cells), np.int32)
    for sector in range(len(cells)):
        for step in range(cells.shape[1]):
            whole = True
            for ray in range(cells.shape[2]):
                if proven[cells[sector, step, ray]] == 0:
                    whole = False
                    break
            if not whole:
                break
            free[sector] += 1
    return free


@kernel
def _nearest(
    sector_of: NDArray[np.int32],
    away: FloatArray,
    index: NDArray[np.int32],
    place: FloatArray,
    flow: FloatArray,
    confidence: FloatArray,
    robot: NDArray[np.float64],
    level: NDArray[np.float64],
    camera: NDArray[np.float64],
    sectors: int,
    min_points: int,
    depth: float,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Per sector the distance and the closing speed of its nearest ``min_points`` returns within
    ``depth`` of one another, NaN where there are none; and whether it had nearer, lone ones."""
    nearest = np.full(sectors, np.inf, np.float32)
    passed = np.full(sectors, -np.inf, np.float32)
    count = np.zeros(sectors, np.int32)
    lone = np.zeros(sectors, np.bool_)
    for _ in range(1 if min_points == 1 else 8):
        nearest[:] = np.inf
        count[:] = 0
        for n in range(len(away)):
            s = sector_of[n]
            if away[n] > passed[s]:
                nearest[s] = min(nearest[s], away[n])
        for n in range(len(away)):
            s = sector_of[n]
            count[s] += nearest[s] <= away[n] <= nearest[s] + depth
        again = False
        for s in range(sectors):
            if 0 < count[s] < min_points:
                passed[s] = nearest[s]
                lone[s] = again = True
        if not again:
            break
    ranges = np.zeros(sectors)
    speed = np.zeros(sectors)
    known = np.zeros(sectors, np.int32)
    for n in range(len(away)):
        s, p = sector_of[n], index[n]
        if not nearest[s] <= away[n] <= nearest[s] + depth:
            continue
        ranges[s] += away[n]
        if confidence[p] > 0.0 and not math.isnan(robot[0]):
            x, y = place[p, 0] - camera[0], place[p, 1] - camera[1]
            u, v, w = flow[p, 0], flow[p, 1], flow[p, 2]
            vx = (level[0, 0] * u + level[0, 1] * v + level[0, 2] * w) * robot[2] - robot[0]
            vy = (level[1, 0] * u + level[1, 1] * v + level[1, 2] * w) * robot[2] - robot[1]
            speed[s] -= (x * vx + y * vy) / max(away[n], 1e-3)
            known[s] += 1
    out = np.full(sectors, np.nan, np.float32)
    closing = np.full(sectors, np.nan, np.float32)
    for s in range(sectors):
        if count[s] >= min_points:
            out[s] = ranges[s] / count[s]
            if known[s]:
                closing[s] = speed[s] / known[s]
    return out, closing, lone
