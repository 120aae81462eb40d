"""Learnt from a lidar on a real street: better than any constant on the frames that come after."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.config import LidarTeacherConfig
from ssl_perception.datasets import open_depth
from ssl_perception.datasets.kitti_lidar import KittiLidar
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.teacher.lidar import LidarTeacher
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.types import CameraImage

TRAINING, PASSES = 3, 70  # 210 steps, as many as the student of stereo gets


def abs_rel(answer: np.ndarray, target: np.ndarray) -> float:
    known = np.isfinite(target) & np.isfinite(answer)
    truth = np.exp(target[known])
    return float(np.mean(np.abs(np.exp(answer[known]) - truth) / truth))


@pytest.mark.slow
def test_beats_every_constant_on_the_frames_after(data: Path) -> None:
    frames = open_depth("kitti-lidar", data / "cam_lidar_kitti")
    assert isinstance(frames, KittiLidar)
    options = LidarTeacherConfig(beam_gap=0.009)
    images, labels = [], []
    for k in range(5):
        sample = frames[k]
        sweep, mount = frames.sweep(k)
        teacher = LidarTeacher(options, mount)
        teacher.add(sweep, None)  # both were taken at one instant
        depth = teacher.depth(CameraImage(sample.image, sample.camera))
        label = pseudo_label(depth)
        assert label is not None, depth.reason
        images.append(sample.image)
        labels.append(label)
    learner, student = Learner(seed=0), StudentInference()
    for _ in range(PASSES):
        for image, label in zip(images[:TRAINING], labels[:TRAINING], strict=True):
            assert not learner.step(image, label).rollback
    student.load(learner.weights(), 1)
    middle = np.full((30, 40), np.nanmedian(np.stack(labels[:TRAINING])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # cells never labelled
        usual = np.nanmedian(np.stack(labels[:TRAINING]), axis=0)
    scores = []
    for image, label in zip(images[TRAINING:], labels[TRAINING:], strict=True):
        answer = student.predict(image)
        assert answer is not None
        scores.append([abs_rel(a, label) for a in (answer.log_depth, middle, usual)])
    mine, constant, cells = np.mean(scores, axis=0)
    known = np.mean([np.isfinite(label).mean() for label in labels])
    print(
        f"AbsRel against lidar: student {mine:.3f}, constant median {constant:.3f}, "
        f"median of each cell {cells:.3f}; {known:.0%} of the cells have a label"
    )
    assert mine < 0.5 * constant
    assert mine < cells
