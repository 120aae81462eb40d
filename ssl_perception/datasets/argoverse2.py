"""Argoverse 2 sensor data in its own layout.

    <log>/sensors/lidar/<timestamp_ns>.feather     x y z offset_ns, ego frame of that instant
    <log>/city_SE3_egovehicle.feather              poses
    <log>/annotations.feather                      boxes with track_uuid (not in the test split)
    <log>/map/*_ground_height_surface____*.npy     ground height, with *___img_Sim2_city.json
    <log>/calibration/egovehicle_SE3_sensor.feather   where the lidars sit

Give one log, a split, or any folder above. Truth comes from per-point labels where they are given
(``labels``, or ``sceneflow`` beside the logs: ``<log>/<timestamp_ns>.feather`` with
``flow_tx_m flow_ty_m flow_tz_m``, one row a point), else from the boxes, as av2-api does it: a
point in a box (0.2 m longer and wider) moves with its track. Without either there is no truth.

Protocol as in ``datasets.pair``: source moved into the target's ego frame, ground out (within
0.3 m of the map's ground, or below), |x|, |y| up to 50 m.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.argoverse2_log import Argoverse2Log
from ssl_perception.datasets.argoverse2_truth import (
    CATEGORIES,
    Truth,
    truth_from_boxes,
    truth_from_labels,
)
from ssl_perception.datasets.pair import near
from ssl_perception.datasets.samples import DYNAMIC_SPEED, FlowDataset, FlowSample
from ssl_perception.errors import InputError
from ssl_perception.types import BoolArray, FloatArray

LAYOUT = (
    "expected Argoverse 2 logs: <log>/sensors/lidar/<timestamp_ns>.feather and "
    "<log>/city_SE3_egovehicle.feather"
)


class Argoverse2(FlowDataset):
    """See the module.

    Args:
        path: a log, a split, or a folder above.
        labels: folder of per-point labels; None: ``sceneflow`` beside the logs, if there.
        max_range, margin: as in ``datasets.pair``, metres.
    """

    name = "argoverse2"

    def __init__(
        self,
        path: Path,
        labels: Path | None = None,
        max_range: float = 50.0,
        margin: float = 1.5,
    ) -> None:
        self.max_range = max_range
        self.margin = margin
        places: list[Path] = []
        for depth in range(4):
            places = sorted(p.parents[1] for p in path.glob("*/" * depth + "sensors/lidar"))
            if places:
                break
        self._logs = [Argoverse2Log(place) for place in places]
        self._ends = list(accumulate(max(0, len(log.timestamps) - 1) for log in self._logs))
        if not self._logs or not self._ends[-1]:
            raise InputError(f"{path}: {LAYOUT}, two sweeps at least")
        beside = self._logs[0].folder.parent / "sceneflow"
        self._labels = labels or (beside if beside.is_dir() else None)

    def __len__(self) -> int:
        return self._ends[-1]

    def _read(self, k: int) -> FlowSample:
        number = bisect_right(self._ends, k)
        log = self._logs[number]
        first = k - (self._ends[number - 1] if number else 0)
        start, end = log.timestamps[first], log.timestamps[first + 1]
        source, target = log.sweep(start), log.sweep(end)
        motion = np.linalg.inv(log.city_from_ego(end)) @ log.city_from_ego(start)

        ground = [log.ground(cloud.points, t) for cloud, t in ((source, start), (target, end))]
        keep = near(source.points, self.max_range)
        keep_target = near(target.points, self.max_range + self.margin if self.max_range else 0)
        ground_free = ground[0] is not None and ground[1] is not None
        if ground[0] is not None and ground[1] is not None:
            keep &= ~ground[0]
            keep_target &= ~ground[1]

        truth = self._truth(log, source.points, keep, start, end, motion)
        moved = source.transformed(motion)
        name = f"{log.folder.name}_{start}"
        target = target.select(keep_target)
        if truth is None:
            moved = moved.select(keep)
            known = np.zeros(len(moved), np.bool_)
            return FlowSample(name, moved, target, None, known, ground_free=ground_free)
        flow = (source.points + truth.flow - moved.points)[keep]
        speed = np.linalg.norm(flow, axis=1) / np.float32((end - start) * 1e-9)
        category = truth.category[keep]
        return FlowSample(
            name,
            moved.select(keep),
            target,
            flow,
            truth.valid[keep],
            speed >= DYNAMIC_SPEED,
            category != 0,
            category,
            CATEGORIES,
            ground_free=ground_free,
        )

    def _truth(
        self,
        log: Argoverse2Log,
        points: FloatArray,
        kept: BoolArray,
        start: int,
        end: int,
        motion: NDArray[np.float64],
    ) -> Truth | None:
        if self._labels is not None:
            file = self._labels / log.folder.name / f"{start}.feather"
            if file.exists():
                return truth_from_labels(file, len(points), kept)
        boxes = log.boxes(start), log.boxes(end)
        if not boxes[0] and not boxes[1]:
            return None
        return truth_from_boxes(points, *boxes, motion)
