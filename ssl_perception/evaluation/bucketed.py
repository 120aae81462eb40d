"""Bucket-normalised end-point error: the measure of the Argoverse 2 scene flow challenge of 2024.

Khatri et al., "I Can't Believe It's Not Scene Flow!" (ECCV 2024). Points are put into buckets by
class and true length of flow, 0.04 m wide up to 2 m and one beyond: at the 10 Hz of Argoverse
0.4 m/s and 20 m/s. The slowest bucket's mean error is
the class's *static error* (m). Of every other bucket that has points the mean error is divided by
the mean speed; their mean is the class's *dynamic error*: 0 is perfect, 1 is what predicting no
motion gives, whatever a thing's speed and size. A method is ranked by the mean over classes, so
that 200 points of a pedestrian weigh as much as 8000 of cars. Counts are over the whole dataset;
points within 35 m (|x|, |y|) of the sensor count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets import FlowSample
from ssl_perception.types import SceneFlow

CLASSES = ("BACKGROUND", "FOREGROUND", "CAR", "OTHER_VEHICLES", "PEDESTRIAN", "WHEELED_VRU")
BACKGROUND, FOREGROUND = 0, 1  # FOREGROUND: of datasets that don't tell more
EDGES = np.append(np.linspace(0.0, 2.0, 51), np.inf)  # m
MAX_DISTANCE = 35.0  # m

# What is not named here doesn't count: signs, barrels and animals, as in the challenge.
_NAMES = {
    "BACKGROUND": ("NONE",),
    "CAR": ("REGULAR_VEHICLE", "CAR"),
    "OTHER_VEHICLES": (
        "BOX_TRUCK", "LARGE_VEHICLE", "RAILED_VEHICLE", "TRUCK", "TRUCK_CAB", "VEHICULAR_TRAILER",
        "ARTICULATED_BUS", "BUS", "SCHOOL_BUS",
    ),
    "PEDESTRIAN": ("PEDESTRIAN", "STROLLER", "WHEELCHAIR", "OFFICIAL_SIGNALER"),
    "WHEELED_VRU": (
        "BICYCLE", "BICYCLIST", "MOTORCYCLE", "MOTORCYCLIST", "WHEELED_DEVICE", "WHEELED_RIDER",
        "CYCLIST",
    ),
}  # fmt: skip
_CLASS_OF = {name: CLASSES.index(group) for group, names in _NAMES.items() for name in names}


class Buckets:
    """Counts and sums by class and speed, of one pair or of many.

    Attributes:
        sums: (classes, buckets, 3): points, their summed errors and summed true lengths, m.
    """

    def __init__(self) -> None:
        self.sums = np.zeros((len(CLASSES), len(EDGES) - 1, 3))

    @classmethod
    def of(cls, sample: FlowSample, answer: SceneFlow) -> Buckets:
        """One pair's points whose truth is valid."""
        assert sample.flow is not None
        buckets = cls()
        group = classes(sample)
        near = np.abs(sample.source.points[:, :2]).max(axis=1) < MAX_DISTANCE
        counted = np.flatnonzero(sample.valid & near & (group >= 0))
        truth = sample.flow[counted].astype(np.float64)
        length = np.linalg.norm(truth, axis=1)
        error = np.linalg.norm(answer.flow[counted] - truth, axis=1)
        bucket = np.searchsorted(EDGES, length, side="right") - 1
        place = group[counted] * (len(EDGES) - 1) + bucket
        for k, values in enumerate((np.ones(len(counted)), error, length)):
            sums = np.bincount(place, values, buckets.sums[..., 0].size)
            buckets.sums[..., k] = sums.reshape(buckets.sums.shape[:2])
        return buckets

    @classmethod
    def total(cls, parts: Iterable[Buckets]) -> Buckets:
        """All of them together."""
        buckets = cls()
        for part in parts:
            buckets.sums += part.sums
        return buckets

    def errors(self) -> dict[str, tuple[float, float, int]]:
        """Static error (m), dynamic error (a ratio) and points of each class that has points;
        NaN where a class has none that are slow, or none that move."""
        found = {}
        for name, sums in zip(CLASSES, self.sums, strict=True):
            points, error, length = sums.T
            if not points.sum():
                continue
            moving = np.flatnonzero(points[1:]) + 1
            static = error[0] / points[0] if points[0] else math.nan
            dynamic = float(np.mean(error[moving] / length[moving])) if len(moving) else math.nan
            found[name] = (float(static), dynamic, int(points.sum()))
        return found

    def means(self) -> tuple[float, float]:
        """Static and dynamic error, each class counting the same."""
        errors = self.errors().values()
        static, dynamic = (
            [values[k] for values in errors if not math.isnan(values[k])] for k in (0, 1)
        )
        return (
            float(np.mean(static)) if static else math.nan,
            float(np.mean(dynamic)) if dynamic else math.nan,
        )

    def plain(self) -> list[list[float]]:
        """Rows of class, bucket, points, error, length: what isn't empty, ready for JSON."""
        where = np.argwhere(self.sums[..., 0])
        return [[int(c), int(b), *self.sums[c, b].tolist()] for c, b in where]

    @classmethod
    def from_plain(cls, rows: Any) -> Buckets:
        """What ``plain`` gave.

        Raises:
            ValueError, TypeError, IndexError: it is something else.
        """
        buckets = cls()
        for c, b, *sums in rows:
            if c < 0 or b < 0 or not np.isfinite(sums).all():
                raise ValueError(f"bucket {c}, {b}: {sums}")
            buckets.sums[c, b] = sums
        return buckets


def classes(sample: FlowSample) -> NDArray[np.int64]:
    """(N,) index into ``CLASSES`` of each point, -1 for what doesn't count."""
    n = len(sample.source)
    if sample.category is not None and sample.category_names:
        lookup = np.array([_CLASS_OF.get(name, -1) for name in sample.category_names])
        known = sample.category < len(lookup)
        return np.where(known, lookup[np.where(known, sample.category, 0)], -1)
    if sample.foreground is not None:
        return np.where(sample.foreground, FOREGROUND, BACKGROUND)
    return np.full(n, FOREGROUND)
