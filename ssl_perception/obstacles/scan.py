"""From a depth image to the distance of the nearest obstacle in each direction.

The scan lives in a level, body-like frame at the camera: x where it looks, y left; the image of a
tilted camera is levelled first (``camera_pitch``, ``camera_roll``). A pixel's column gives its
direction, so a sector is a range of columns. Its row gives its slope, so a ray leaves the robot's
height band (``below`` to ``above`` the camera) at a known depth: what it meets before is an
obstacle, what it meets after is the floor, the ceiling or something that the robot passes over or
under. Set ``below`` a little less than the camera's height above the floor, or the floor becomes an
obstacle where depth is noisy.

Unknown is never free. A sector says "d" only if enough of its rays, of those that stay in the band
up to d, are known; "+Inf" likewise up to ``range_max``; else NaN. Where stereo has no answer there
may be nothing to see; where the student has none an obstacle can't be excluded, nor where a depth
camera has none (black, shiny, too near), so of their rays far more must be known. A lidar's depth
has room between its beams, where nothing is known: it never claims free space here (the sweep's own
scan does, ``obstacles.lidar_scan``). The exception is on the safe side: an obstacle nearer than
``near`` that enough pixels see is reported in any case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_perception.config import ScanConfig
from ssl_perception.obstacles.levelling import level_depth, seen_level
from ssl_perception.types import (
    BoolArray,
    CameraModel,
    Cue,
    DepthMap,
    FloatArray,
    ObstacleScan,
)

_FEW = 0.02  # of a sector's pixels; less than 20 when it has under 1000 of them
_NEVER = 2.0  # times the rays that there are: no sector knows so many
# drivers name the body-like frame of X_optical_frame X_frame (REP 103 has the suffix)
_OPTICAL_SUFFIXES = {"_optical_frame": "_frame", "_optical": ""}


def obstacle_scan(depth: DepthMap, options: ScanConfig, frame: str | None = None) -> ObstacleScan:
    """Distance to the nearest obstacle per sector over the full circle.

    Args:
        depth: what the camera sees; an invalid one makes every sector unknown.
        options: sectors, height band and what counts as known.
        frame: name of the body-like frame; None: ``options.frame``, else the camera's, made of the
            optical one's name.

    Returns:
        ``options.sectors`` ranges, counter-clockwise from straight behind, of the sectors'
        centres: NaN unknown (outside the image among them), -Inf nearer than ``range_min``, +Inf
        nothing up to ``range_max``.
    """
    increment = 2.0 * np.pi / options.sectors
    ranges = np.full(options.sectors, np.nan, np.float32)
    if depth.valid:
        if options.camera_pitch or options.camera_roll:
            depth = level_depth(depth, options.camera_pitch, options.camera_roll)
        layout = _layout(depth.camera, options)
        near = options.near_mono if depth.cue is Cue.MONO else options.near
        shown = {Cue.STEREO: 0.0, Cue.LIDAR: _NEVER, Cue.DEPTH: options.min_measured}
        min_shown = shown.get(depth.cue, options.min_certain)
        ranges[layout.sectors] = _nearest(depth.depth, layout, options, near, min_shown)
    if frame is None:
        frame = options.frame or _body_frame(depth.camera.frame)
    return ObstacleScan(
        ranges,
        angle_min=-np.pi + increment / 2.0,
        angle_increment=increment,
        range_min=options.range_min,
        range_max=options.range_max,
        stamp=depth.stamp,
        frame=frame,
        cue=depth.cue if depth.valid else Cue.NONE,
    )


def _body_frame(optical: str) -> str:
    for suffix, instead in _OPTICAL_SUFFIXES.items():
        if optical.endswith(suffix):
            return optical.removesuffix(suffix) + instead
    return optical


def unknown_scan(scan: ObstacleScan, stamp: float) -> ObstacleScan:
    """The same sectors at another time, in none of which anything is known."""
    ranges = np.full_like(scan.ranges, np.nan)
    return replace(scan, ranges=ranges, stamp=stamp, cue=Cue.NONE, closing_speed=None)


def nearest_ahead(scan: ObstacleScan, half_angle: float, beyond: float = np.inf) -> float:
    """Distance of the nearest obstacle within ``half_angle`` (radians) of straight ahead, metres.

    Args:
        beyond: m; an obstacle so far or farther isn't the nearest for certain while a sector is
            unknown.

    Returns:
        -Inf nearer than ``range_min``, +Inf clear; NaN when nothing is known there, or when what
        is known is at or ``beyond`` but not all is known.
    """
    ranges = scan.ranges[np.abs(scan.angles) <= half_angle]
    unknown = np.isnan(ranges)
    if unknown.all():
        return float("nan")
    nearest = float(ranges[~unknown].min())
    return float("nan") if nearest >= beyond and unknown.any() else nearest


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where a camera's pixels fall; made once per camera.

    Attributes:
        sectors: (V,) the sectors that the image touches, from right to left.
        first, last: (V,) their columns, first to last - 1.
        width: (V,) columns that they would have if the image had no edge.
        stretch: (W,) horizontal distance per metre of depth, of each column.
        order: (H,) rows, those whose rays stay longest in the height band first.
        leaves: (H,) in this order, depth at which their rays leave it, m (infinite at the horizon).
        shown_up_to: (H, V) in this order, how many pixels of each sector the camera sees so far.
        limit: (H, W) depth where the ray leaves the band or passes ``range_max``, m.
    """

    sectors: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    width: NDArray[np.float64]
    stretch: FloatArray
    order: NDArray[np.intp]
    leaves: FloatArray
    shown_up_to: NDArray[np.int32]
    limit: FloatArray


@lru_cache(maxsize=16)
def _layout(camera: CameraModel, options: ScanConfig) -> _Layout:
    # A sector's edges; only those strictly ahead of the image plane can be seen.
    edges = -np.pi + 2.0 * np.pi / options.sectors * np.arange(options.sectors + 1)
    ahead = np.clip(edges, -np.pi / 2 + 1e-6, np.pi / 2 - 1e-6)
    columns = camera.cx - camera.fx * np.tan(ahead)  # y is left, columns count to the right
    first = np.ceil(np.clip(columns[1:], -0.5, camera.width - 0.5)).astype(np.intp)
    last = np.ceil(np.clip(columns[:-1], -0.5, camera.width - 0.5)).astype(np.intp)
    seen = np.flatnonzero(last > first)

    tangent = (np.arange(camera.width) - camera.cx) / camera.fx
    stretch = np.sqrt(1.0 + tangent**2)
    slope = (np.arange(camera.height) - camera.cy) / camera.fy
    with np.errstate(divide="ignore"):
        leaves = np.where(slope > 0, options.below, options.above) / np.abs(slope)
    limit = np.minimum(leaves[:, None], (options.range_max / stretch)[None, :])
    order = np.argsort(-leaves, kind="stable")
    shown = seen_level(camera, options.camera_pitch, options.camera_roll)
    return _Layout(
        seen,
        first[seen],
        last[seen],
        (columns[:-1] - columns[1:])[seen],
        stretch.astype(np.float32),
        order,
        leaves[order].astype(np.float32),
        _per_sector(shown, first[seen])[order].cumsum(axis=0, dtype=np.int32),
        limit.astype(np.float32),
    )


def _per_sector(pixels: BoolArray, first: NDArray[np.intp]) -> NDArray[np.int32]:
    """(H, V) how many of each row's (H, W) pixels are set in each sector.

    Sectors follow one another from right to left, their columns therefore backwards.
    """
    return np.add.reduceat(pixels, first[::-1], axis=1, dtype=np.int32)[:, ::-1]


def _nearest(
    depth: FloatArray, layout: _Layout, options: ScanConfig, near: float, min_shown: float
) -> FloatArray:
    """(V,) ranges of the visible sectors, as ``obstacle_scan`` defines them."""
    known = depth > 0.0  # False where NaN
    in_band = known & (depth <= layout.limit)
    distance = depth * layout.stretch
    known_up_to = _per_sector(known, layout.first)[layout.order].cumsum(axis=0)

    ranges = np.full(len(layout.sectors), np.nan, np.float32)
    for index, (first, last) in enumerate(zip(layout.first, layout.last, strict=True)):
        per_metre = layout.stretch[(first + last) // 2]

        def rays(distance: ArrayLike, index: int = index, per_metre: float = per_metre) -> NDArray:
            """How many of the sector's rays stay in the band up to a distance; how many of these
            the camera sees; how many are known."""
            rows = np.searchsorted(-layout.leaves, -np.asarray(distance) / per_metre, side="right")
            shown = np.where(rows > 0, layout.shown_up_to[rows - 1, index], 0)
            known_of_those = np.where(rows > 0, known_up_to[rows - 1, index], 0)
            return np.stack([rows * layout.width[index], shown, known_of_those])

        # A coarse grid's cells are many pixels each: there a few of them are evidence enough.
        few = min(options.min_pixels, _FEW * len(depth) * layout.width[index])
        obstacle = np.sort(distance[:, first:last][in_band[:, first:last]])
        needed = options.percentile / 100.0 * rays(obstacle)[2]
        enough = np.arange(1, len(obstacle) + 1) >= np.maximum(needed, few)
        nearest = float(obstacle[enough.argmax()]) if enough.any() else np.inf
        expected, shown, seen = rays(min(nearest, options.range_max))
        enough_known = seen >= options.min_known * expected and seen >= min_shown * shown
        if nearest <= near or (seen > 0 and seen >= few and enough_known):
            ranges[index] = -np.inf if nearest < options.range_min else nearest
    return ranges
