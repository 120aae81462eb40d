"""Range budget: how far to solve so that a deadline is kept, from how fast this machine works."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# One core of a 2.6 GHz EPYC, seconds: every point is read; those in range cost most; and what
# follows the registration of clusters reads all of them once more.
_PER_POINT = 35e-9
_PER_POINT_IN_RANGE = 130e-9
_PER_POINT_AFTER = 30e-9
_SHARE = 0.5  # of the time left that finding clusters may take; registering them needs the rest
_FORGET = 0.3  # weight of the newest measurement
_MIN_RANGE = 5.0  # m
_SAMPLE = 64  # stride of the points from which the distribution of ranges is estimated


class RangeBudget:
    """Kept between sweeps, with the workspace.

    Attributes:
        slowness: measured times over those of the machine that the constants are from.
    """

    def __init__(self) -> None:
        self.slowness = 2.0  # until measured: rather too careful

    def affordable_range(
        self,
        source: NDArray[np.float32],
        target: NDArray[np.float32],
        max_range: float,
        seconds: float,
    ) -> float:
        """The range in metres, at most ``max_range``, for whose points ``seconds`` suffice.

        Args:
            source, target: (N, 3) and (M, 3) points from the sensor; within a range r are those
                with |x|, |y| <= r.
        """
        if seconds == np.inf:
            return max_range
        spread = np.abs(np.concatenate([source[::_SAMPLE, :2], target[::_SAMPLE, :2]])).max(axis=1)
        spread.sort()
        reading = _PER_POINT * (len(source) + len(target))
        affordable = (_SHARE * seconds / self.slowness - reading) / _PER_POINT_IN_RANGE
        last = int(affordable) // _SAMPLE
        if last >= len(spread):
            return max_range
        nearest = float(spread[max(last, 0)])
        return min(max(nearest, _MIN_RANGE), max_range)

    def record(self, points: int, in_range: int, seconds: float, complete: bool = True) -> None:
        """Record that finding the clusters took ``seconds``.

        Args:
            complete: False: it took so long without getting to the end.
        """
        slowness = seconds / (_PER_POINT * points + _PER_POINT_IN_RANGE * in_range)
        if complete:
            self.slowness += _FORGET * (slowness - self.slowness)
        else:
            self.slowness = max(self.slowness, slowness)

    def reserve(self, points: int) -> float:
        """Seconds that must be left when the last cluster is registered."""
        return self.slowness * _PER_POINT_AFTER * points
