"""What learns from stereo and answers alone: the network, and the paper's textons beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np

from ssl_perception.config import LearnerConfig, TextonsConfig
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.inference import MonoDepth
from ssl_perception.depth.student.textons import Textons
from ssl_perception.depth.teacher.pseudo_label import label
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import (
    Cue,
    DepthMap,
    ObstacleScan,
    StereoPair,
)
from ssl_perception_sim.experiments.fly import SCAN

_RELOAD_FRAMES = 50  # frames between models handed to inference: 5 s, as the store does


class Student(Protocol):
    """What learns from stereo and answers alone."""

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None:
        """One frame that stereo has answered; ``scan`` is of ``depth``."""
        ...

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        """Scan of the left picture, and its novelty."""
        ...


class NetworkStudent:
    """The network of ``depth.learner``.

    Args:
        options: settings of learning and of the replay memory.
    """

    def __init__(self, seed: int, options: LearnerConfig) -> None:
        self.learner = Learner(options, seed)
        self.mono = MonoDepth()
        self._frames = 0

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None:
        """One step."""
        target = label(depth, self.learner.options.label_min_known)
        if target is not None and np.isfinite(target).any():
            self.learner.step(pair.left, target)
        self._frames += 1
        if self._frames % _RELOAD_FRAMES == 0:
            places = self.learner.memory.features()
            self.mono.load(self.learner.weights(), self._frames, places)

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        """By the newest model handed to inference."""
        prediction = self.mono.predict(pair.left, pair.stamp)
        scan = obstacle_scan(MonoDepth.to_depth(prediction, pair.camera, pair.stamp), SCAN)
        return scan, 0.0 if prediction is None else prediction.novelty


class TextonStudent:
    """One distance for the whole view.

    Args:
        options: settings of textons and regressor.
        ahead: rad either side of ahead, within which stereo's nearest is what it learns.
    """

    def __init__(self, seed: int, options: TextonsConfig, ahead: float) -> None:
        self.textons = Textons(options, seed)
        self._ahead = ahead

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None:
        """One example."""
        distance = nearest_ahead(scan, self._ahead)
        if not math.isnan(distance):
            self.textons.learn(pair.left, distance)

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        """The same distance in every direction that the picture shows."""
        wide = DepthMap(
            np.ones((1, 1), np.float32), replace(pair.camera, width=1, height=1), pair.stamp
        )
        empty = obstacle_scan(replace(wide, valid=False), SCAN)
        distance = self.textons.predict(pair.left)
        if math.isnan(distance):
            return empty, 0.0
        view = np.arctan(pair.camera.width / 2 / pair.camera.fx)
        ranges = np.where(np.abs(empty.angles) <= view, distance, np.nan)
        return replace(empty, ranges=ranges.astype(np.float32), cue=Cue.MONO), 0.0
