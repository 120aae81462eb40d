"""How an obstacle scan is written for the node that consumes it.

Obstacle scans speak REP 117: -Inf too close, +Inf clear, NaN unknown. Few consumers do. Nav2's
collision monitor, for one, skips NaN and -Inf in a LaserScan, so that a robot that knows nothing
drives on, and takes a Range of +Inf for a broken sensor, so that it stops before free space. Here
every state is written as a value on which the consumer does what the state asks for: it stops
before what is too close or unknown, and goes where it is clear. ``docs/ros.md`` has each
consumer's rules and where its source states them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception.types import FloatArray, ObstacleScan

Unknown = Literal["rep117", "range_min", "silent"]
TooClose = Literal["rep117", "range_min"]
Clear = Literal["rep117", "range_max", "above_max"]
ConsumerName = Literal["rep117", "nav2", "mavros", "px4"]

CLEAR_ABOVE_MAX = 0.01  # m: MAVLink's word for "clear" is max_distance + 1 cm
WHOLE_CIRCLE = 2.0 * math.pi  # rad


@dataclass(frozen=True)
class Encoding:
    """What is written for a state that isn't a distance.

    Attributes:
        unknown: ``rep117`` NaN; ``range_min`` an obstacle at ``range_min``; ``silent`` NaN, and no
            message at all when nothing is known.
        too_close: ``rep117`` -Inf; ``range_min`` an obstacle at ``range_min``.
        clear: ``rep117`` +Inf; ``range_max`` that distance; ``above_max`` 1 cm more.
        clockwise: sectors in clockwise order (FRD) instead of counter-clockwise (FLU).
    """

    unknown: Unknown = "rep117"
    too_close: TooClose = "rep117"
    clear: Clear = "rep117"
    clockwise: bool = False

    @property
    def is_rep117(self) -> bool:
        """Nothing is rewritten."""
        return self == REP117

    @property
    def certain_up_to(self) -> float:
        """m, ``beyond`` of ``nearest_ahead``: who must stop before the unknown can't be told of a
        nearest obstacle while a sector ahead is unknown."""
        return math.inf if self.unknown == "rep117" else 0.0


@dataclass(frozen=True)
class Consumer:
    """A consumer's encodings: of LaserScan, and of Range.

    Attributes:
        most_sectors: that it takes without dropping unknown ones; None: any number.
    """

    scan: Encoding
    range: Encoding
    most_sectors: int | None = None


REP117 = Encoding()
_OBSTACLES = Encoding(unknown="range_min", too_close="range_min")
# PX4 holds back in directions that it has no data of: unknown may stay NaN in a scan. MAVROS takes
# the least of several sectors where there are more than MAVLink's 72, and leaves NaN out of it.
_FRD = Consumer(
    scan=Encoding(too_close="range_min", clear="above_max", clockwise=True),
    range=replace(_OBSTACLES, clear="above_max"),
    most_sectors=72,
)
CONSUMERS: dict[ConsumerName, Consumer] = {
    "rep117": Consumer(REP117, REP117),
    "nav2": Consumer(_OBSTACLES, replace(_OBSTACLES, clear="range_max")),
    "mavros": _FRD,
    "px4": _FRD,
}


def check_sectors(consumer: ConsumerName, sectors: int) -> None:
    """Raise InputError if the consumer would drop unknown sectors of so many."""
    most = CONSUMERS[consumer].most_sectors
    if most is not None and sectors > most:
        raise InputError(
            f"scan.sectors {sectors}: at most {most} for {consumer}, which merges more, and "
            "unknown ones with clear ones into clear ones"
        )


def encoded_scan(
    scan: ObstacleScan, encoding: Encoding, view: float = WHOLE_CIRCLE
) -> ObstacleScan | None:
    """The scan as it is to be sent.

    Args:
        view: rad, centred ahead, in which directions are looked at. Beyond it unknown sectors stay
            NaN: a camera that looks ahead must not put obstacles behind the robot.

    Returns:
        ``scan`` itself for ``REP117``; None when nothing is to be sent.
    """
    if encoding.is_rep117:
        return scan
    behind = np.abs((scan.angles + np.pi) % (2.0 * np.pi) - np.pi) > view / 2.0
    unknown = np.isnan(scan.ranges)
    if encoding.unknown == "silent" and (unknown | behind).all():
        return None
    ranges = _encoded(scan.ranges, scan.range_min, scan.range_max, encoding)
    ranges[behind & unknown] = np.nan
    sent = replace(scan, ranges=ranges)
    return _clockwise(sent) if encoding.clockwise else sent


def encoded_range(
    distance: float, range_min: float, range_max: float, encoding: Encoding
) -> float | None:
    """The distance of one obstacle, m, as it is to be sent; None when nothing is to be sent."""
    if encoding.unknown == "silent" and math.isnan(distance):
        return None
    if encoding.is_rep117:
        return distance
    return float(_encoded(np.array([distance], np.float32), range_min, range_max, encoding)[0])


def _encoded(
    ranges: FloatArray, range_min: float, range_max: float, encoding: Encoding
) -> FloatArray:
    """A copy of ``ranges`` with every state as the encoding has it.

    A distance outside of the limits is the state that it stands for: consumers discard it, each
    in its own way.
    """
    written = ranges.copy()
    too_close = ranges < np.float32(range_min)
    written[too_close] = -np.inf if encoding.too_close == "rep117" else range_min
    written[ranges > np.float32(range_max)] = _clear(range_max, encoding)
    if encoding.unknown == "range_min":
        written[np.isnan(ranges)] = range_min
    return written


def _clear(range_max: float, encoding: Encoding) -> np.float32:
    if encoding.clear == "rep117":
        return np.float32(np.inf)
    if encoding.clear == "range_max":
        return np.float32(range_max)
    # the next float up: MAVROS cuts centimetres off, and 40.01 m as a float32 is a bit less
    return np.nextafter(np.float32(range_max + CLEAR_ABOVE_MAX), np.float32(np.inf))


def _clockwise(scan: ObstacleScan) -> ObstacleScan:
    last = scan.angle_min + scan.angle_increment * (len(scan.ranges) - 1)
    speed = scan.closing_speed
    return replace(
        scan,
        ranges=scan.ranges[::-1],
        angle_min=-last,
        closing_speed=None if speed is None else speed[::-1],
    )
