"""LaserScan messages as obstacle scans."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.types import Cue, ObstacleScan

_MOST_SECTORS = 100_000


def decode(message: Any, speeds: bool = False) -> ObstacleScan:
    """A sensor_msgs/LaserScan as REP 117 has it, from any node.

    Args:
        speeds: its intensities, where it has any, are closing speeds, as in our own scans.

    Returns:
        A scan whose ``cue`` is None, for the message doesn't say it; ``Cue.NONE`` where all is
        unknown.

    Raises:
        InputError: it has no beams or too many, or angles and ranges that make no sense.
    """
    geometry = (message.angle_min, message.angle_increment, message.range_min, message.range_max)
    if not 0 < len(message.ranges) <= _MOST_SECTORS:
        raise InputError(f"LaserScan with {len(message.ranges)} ranges")
    if not np.isfinite(geometry).all() or message.angle_increment <= 0.0:
        raise InputError("LaserScan: angles must be finite and grow, ranges have finite limits")
    ranges = np.asarray(message.ranges, np.float32)
    return ObstacleScan(
        ranges,
        angle_min=message.angle_min,
        angle_increment=message.angle_increment,
        range_min=message.range_min,
        range_max=message.range_max,
        stamp=stamp_ns(message.header.stamp) * 1e-9,
        frame=message.header.frame_id,
        cue=Cue.NONE if np.isnan(ranges).all() else None,
        closing_speed=message.intensities if speeds and len(message.intensities) else None,
    )
