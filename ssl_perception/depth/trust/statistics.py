"""The student's tests in figures: error rates, their confidence bounds, and the threshold.

TPR = TP / (TP + FN) and FPR = FP / (FP + TN), where "positive" is an obstacle. (The authors' flight
code computed them with "obstacle" and "free" swapped.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ssl_perception.config import TrustConfig


class Tally(NamedTuple):
    """Tests of the student: the distances that it predicted, metres, oldest first.

    Attributes:
        near: where stereo measured an obstacle within ``trigger``.
        clear: where stereo measured none, nor one within ``margin`` beyond ``trigger``: calling an
            obstacle that is slightly farther than ``trigger`` is caution, not a false alarm.
    """

    near: tuple[float, ...] = ()
    clear: tuple[float, ...] = ()


UNTESTED = Tally()


class RateBounds(NamedTuple):
    """TPR and FPR of a tally, their one-sided confidence bounds, and the number of tests."""

    tpr: float
    fpr: float
    tpr_lower: float
    fpr_upper: float
    tpr_upper: float
    fpr_lower: float
    positives: int
    negatives: int


def wilson(successes: int, trials: int, z: float) -> tuple[float, float]:
    """Wilson's score interval for a proportion; (0, 1) without trials.

    >>> low, high = wilson(95, 100, z=1.645)
    >>> round(low, 3), round(high, 3)
    (0.901, 0.975)
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def rate_bounds(tally: Tally, threshold: float, z: float) -> RateBounds:
    """True and false positive rate of a threshold (m), with one-sided bounds at ``z``."""
    positives, negatives = len(tally.near), len(tally.clear)
    hits = sum(distance < threshold for distance in tally.near)
    alarms = sum(distance < threshold for distance in tally.clear)
    tpr_lower, tpr_upper = wilson(hits, positives, z)
    fpr_lower, fpr_upper = wilson(alarms, negatives, z)
    return RateBounds(
        hits / positives if positives else math.nan,
        alarms / negatives if negatives else math.nan,
        tpr_lower,
        fpr_upper,
        tpr_upper,
        fpr_lower,
        positives,
        negatives,
    )


def calibrate(near: Sequence[float], options: TrustConfig) -> float:
    """The smallest threshold that detects ``target_tpr`` of near obstacles; NaN: too few of them.

    Kept between half the trigger distance and ``threshold_cap``: a student that needs a larger one
    is not to be trusted, and its false positive rate will show it.

    Args:
        near: the student's distances to obstacles within ``trigger``, m.
    """
    if len(near) < options.min_positives:
        return math.nan
    rank = min(len(near) - 1, math.ceil(options.target_tpr * len(near)) - 1)
    smallest = math.nextafter(sorted(near)[rank], math.inf)  # "below" must include it
    return min(max(smallest, 0.5 * options.trigger), options.threshold_cap)
