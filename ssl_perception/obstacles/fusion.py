"""The camera's scan and the lidar's as one: the nearest wins, and what one doesn't know the other
may."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception.types import Cue, ObstacleScan


def fuse_scans(scan: ObstacleScan, lidar: ObstacleScan | None, max_age: float) -> ObstacleScan:
    """Sector by sector the nearer of both; where one is unknown, the other; unknown if both are.

    Args:
        scan: from the camera; its stamp, frame and limits are the result's.
        lidar: the newest one; None: there is none.
        max_age: s between both, or the lidar is taken to know nothing.

    Returns:
        ``scan`` itself where the lidar adds nothing. Closing speeds are known where the lidar's
        obstacle is the nearest.

    Raises:
        InputError: their sectors are not the same.
    """
    if lidar is None or abs(scan.stamp - lidar.stamp) > max_age:
        return scan
    if len(lidar.ranges) != len(scan.ranges) or not np.allclose(
        (lidar.angle_min, lidar.angle_increment), (scan.angle_min, scan.angle_increment), atol=1e-4
    ):
        raise InputError(
            f"the lidar's scan has {len(lidar.ranges)} sectors from {lidar.angle_min:.3f} rad, "
            f"not {len(scan.ranges)} from {scan.angle_min:.3f} rad"
        )
    seen = lidar.ranges.copy()
    if lidar.range_max < scan.range_max:
        seen[np.isposinf(seen)] = np.nan  # clear, but not as far as is asked
    seen[np.isfinite(seen) & (seen > scan.range_max)] = np.inf
    seen[seen < scan.range_min] = -np.inf
    if np.isnan(seen).all():
        return scan
    ranges = np.fmin(scan.ranges, seen)
    closing = None
    if lidar.closing_speed is not None:
        mine = (seen == ranges) & ~np.isposinf(ranges)
        closing = np.where(mine, lidar.closing_speed, np.float32(np.nan))
    cue = Cue.LIDAR if np.isnan(scan.ranges).all() else scan.cue
    return replace(scan, ranges=ranges, cue=cue, closing_speed=closing)
