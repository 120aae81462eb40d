"""Is this a place that the student has learnt in? By the distance of features, over a while.

How far a frame lies from the nearest one in the replay memory says little by itself: known rooms
have odd views, and new rooms have ordinary ones. Its mean over some seconds tells them apart. What
is usual in a known place is read off the memory itself: each of its frames' distance from the
nearest of those that were not seen at about the same time.
"""

from __future__ import annotations

import math

import numpy as np

from ssl_perception.types import FloatArray

_SAME_TIME = 20  # frames in memory before and after one that show the same view
_PROBES = 256  # frames whose distance is measured
_ENOUGH = 4 * _SAME_TIME  # frames without which nothing can be called usual


class KnownPlace:
    """The features of the frames in memory.

    Args:
        features: (N, 96) unit vectors, the oldest frame first.

    Attributes:
        usual: mean distance of a frame of a known place from the nearest frame in memory; NaN: too
            few frames to tell.
    """

    def __init__(self, features: FloatArray) -> None:
        self.features = features
        self.usual = _usual_distance(features)

    def distance(self, feature: FloatArray) -> float:
        """Of a feature, scaled to unit length, from the nearest one in memory: in [0, 2]; 0 where
        there is no memory."""
        if len(self.features) == 0:
            return 0.0
        length = max(float(np.linalg.norm(feature)), 1e-12)
        cosine = float((self.features @ feature).max()) / length
        return math.sqrt(max(2.0 - 2.0 * cosine, 0.0))


class PlaceMonitor:
    """The running mean of distances, each as a multiple of what is usual.

    Args:
        window: s; the mean forgets with this time constant.
    """

    def __init__(self, window: float) -> None:
        self._window = window
        self._stamp = math.nan
        self.mean = math.nan

    def update(self, distance: float, known: KnownPlace, stamp: float) -> float:
        """The mean after one more frame; NaN while nothing can be called usual."""
        if math.isnan(known.usual):
            return math.nan
        ratio = distance / known.usual
        elapsed = stamp - self._stamp
        if math.isnan(self.mean) or not 0.0 <= elapsed < 10.0 * self._window:
            self.mean = ratio  # the first, or another recording
        else:
            self.mean += (1.0 - math.exp(-elapsed / self._window)) * (ratio - self.mean)
        self._stamp = stamp
        return self.mean


def _usual_distance(features: FloatArray) -> float:
    count = len(features)
    if count < _ENOUGH:
        return math.nan
    probes = np.linspace(0, count - 1, min(count, _PROBES)).astype(np.intp)
    cosine = features[probes] @ features.T
    apart = np.abs(probes[:, None] - np.arange(count)) > _SAME_TIME
    nearest = np.where(apart, cosine, -1.0).max(axis=1)
    return float(np.sqrt(np.maximum(2.0 - 2.0 * nearest, 0.0)).mean())
