"""When each lidar point was measured, out of whatever the driver writes.

No two drivers agree on name, type, unit or origin:

| driver | field | type | meaning |
|---|---|---|---|
| velodyne_pointcloud | time | float32 | s relative to the stamp, may be negative |
| ouster_ros | t | uint32 | ns since the stamp |
| Hesai, RoboSense | timestamp | float64 | s since the epoch |
| livox_ros_driver2 | timestamp | float64 | ns since the epoch |
| livox_ros_driver2 (custom) | offset_time | uint32 | ns since the stamp |
| Autoware | time_stamp | uint32 | ns since the stamp |

Integers of 32 bits count nanoseconds since the stamp. 64-bit numbers are absolute when they are as
large as a time since 1970 or lie close to the stamp, else relative: integers in nanoseconds,
floating-point ones in the unit that makes the sweep last between 3 ms and 3 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.types import FloatArray

TIME_FIELDS = ("t", "time", "timestamp", "offset_time", "time_stamp")

LONGEST_SWEEP = 3.0  # seconds; the slowest lidars turn at 1 Hz or scan for 1 s


def seconds_from_stamp(values: NDArray[Any], stamp_ns: int, name: str) -> FloatArray:
    """Seconds from the header's stamp, float32.

    Differences are taken before rounding to float32: a float32 epoch knows no tenths of a second.

    Args:
        values: (N,) numbers of the field, N > 0.
        stamp_ns: the header's stamp.
        name: the field's name, for the error.

    Raises:
        InputError: NaN or infinite times, or times more than ``LONGEST_SWEEP`` from the stamp
            (lidar and host clocks that don't agree look like that).
    """
    kind = values.dtype.kind
    if kind == "f":
        exact = values.astype(np.float64)
        if not np.isfinite(exact).all():
            bad = int((~np.isfinite(exact)).sum())
            raise InputError(f"field {name!r}: {bad} of {len(values)} point times are NaN or Inf")
    elif kind in "iu" and values.dtype.itemsize >= 4:
        exact = values.astype(np.float64)
    else:
        raise InputError(f"field {name!r}: {values.dtype} can't hold point times")

    stamp = stamp_ns * 1e-9
    first, last = float(exact.min()), float(exact.max())
    largest = max(abs(first), abs(last))
    wide = values.dtype.itemsize == 8
    if wide and (unit := _epoch_unit(largest, kind)) is not None:
        seconds = exact * unit - stamp
    elif kind in "iu":
        seconds = exact * 1e-9
    elif wide and stamp > 5 * LONGEST_SWEEP and abs(first - stamp) < LONGEST_SWEEP:
        seconds = exact - stamp  # a clock that started with the simulation or the sensor
    else:
        seconds = exact * _relative_unit(largest)

    furthest = max(abs(float(seconds.min())), abs(float(seconds.max())))
    if furthest > LONGEST_SWEEP:
        raise InputError(
            f"field {name!r}: point times lie {furthest:.6g} s from the stamp; "
            "synchronise the lidar's clock with the host's"
        )
    return seconds.astype(np.float32)


def _epoch_unit(largest: float, kind: str) -> float | None:
    """Seconds a count, if the number can only be a time since 1970 (2001 or later)."""
    if largest >= 1e17:
        return 1e-9
    if largest >= 1e14:
        return 1e-6
    if kind == "f" and largest >= 1e9:
        return 1.0
    return None


def _relative_unit(largest: float) -> float:
    """Seconds a count, for a sweep's times in s, ms, µs or ns."""
    for unit in (1.0, 1e-3, 1e-6):
        if largest * unit <= LONGEST_SWEEP:
            return unit
    return 1e-9
