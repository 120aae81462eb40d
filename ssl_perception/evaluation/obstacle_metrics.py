"""How well obstacles are separated from free space. An obstacle is the positive class.

What is unknown is left out by the caller: it is neither a hit nor a miss.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ssl_perception.types import BoolArray


class Rates(NamedTuple):
    """Shares; NaN where there was nothing to be right about."""

    tpr: float
    fpr: float


def rates(said: BoolArray, near: BoolArray) -> Rates:
    """TPR = TP / (TP + FN): of the obstacles, those that were called; FPR = FP / (FP + TN): of the
    free ones, those that were called.

    Args:
        said: (N,) an obstacle was called.
        near: (N,) there was one.
    """
    positives, negatives = int(near.sum()), int((~near).sum())
    return Rates(
        float((said & near).sum() / positives) if positives else math.nan,
        float((said & ~near).sum() / negatives) if negatives else math.nan,
    )


def auc(distance: NDArray[np.floating], near: BoolArray) -> float:
    """Area under the ROC curve over all thresholds of ``distance``; 0.5 is chance.

    It is the chance that something near is called nearer than something that isn't, ties counting
    half (Mann and Whitney's U over its largest value).

    Args:
        distance: (N,) metres that the method says; +Inf is a distance like any other.
        near: (N,) there was an obstacle.
    """
    positives, negatives = int(near.sum()), int((~near).sum())
    if not positives or not negatives:
        return math.nan
    ranks = rankdata(-np.asarray(distance, np.float64))
    u = ranks[near].sum() - positives * (positives + 1) / 2
    return float(u / (positives * negatives))
