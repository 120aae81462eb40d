"""Learnt on a real drive: better than any constant on what it hasn't seen, here and elsewhere."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from ssl_perception.commands.evaluate_depth import run_evaluate_depth
from ssl_perception.config import Config, StereoConfig
from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.stored import STUDENT_FILE, load_weights
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.io.model_store import ModelStore
from ssl_perception.types import CameraModel, StereoPair

TRAINING, PASSES = 35, 6


def grey(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, path
    return np.asarray(picture, np.uint8)


@pytest.fixture(scope="module")
def drive(data: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and labels of KITTI odometry 06, 51 frames."""
    folder = data / "stereo_seq_kitti_a"
    matcher = StereoMatcher(StereoConfig(disparities=80))
    images, labels = [], []
    half = json.loads((folder / "calib.json").read_text())["half"]
    names = ("width", "height", "fx", "fy", "cx", "cy")
    camera = CameraModel(**{name: half[name] for name in names})
    for number in range(51):
        left, right = (
            grey(folder / "half" / side / f"{number:06d}.png") for side in ("left", "right")
        )
        depth = matcher.depth(StereoPair(left, right, camera, half["baseline_m"]))
        target = pseudo_label(depth)
        assert target is not None, depth.reason
        images.append(left)
        labels.append(target)
    return images, labels


@pytest.fixture(scope="module")
def store(
    drive: tuple[list[np.ndarray], list[np.ndarray]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model store of a student that drove the first 35 frames six times."""
    learner = Learner(seed=0)
    for _ in range(PASSES):
        for image, target in zip(drive[0][:TRAINING], drive[1][:TRAINING], strict=True):
            assert not learner.step(image, target).rollback
    path = tmp_path_factory.mktemp("store")
    with ModelStore(path) as opened:
        Checkpoint(opened).save(learner)
    return path


def abs_rel(answer: np.ndarray, target: np.ndarray) -> float:
    known = np.isfinite(target) & np.isfinite(answer)
    truth = np.exp(target[known])
    return float(np.mean(np.abs(np.exp(answer[known]) - truth) / truth))


@pytest.mark.slow
def test_beats_every_constant_on_the_rest_of_the_drive(
    drive: tuple[list[np.ndarray], list[np.ndarray]], store: Path
) -> None:
    images, labels = drive
    generation = ModelStore(store).load([STUDENT_FILE], extras=False)
    assert generation is not None
    mono = StudentInference()
    mono.load(load_weights(generation), generation.number)
    middle = np.full((30, 40), np.nanmedian(np.stack(labels[:TRAINING])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the blind strip: cells never labelled
        usual = np.nanmedian(np.stack(labels[:TRAINING]), axis=0)  # of each cell
    student, constant, cells = [], [], []
    for image, target in zip(images[TRAINING:], labels[TRAINING:], strict=True):
        prediction = mono.predict(image)
        assert prediction is not None
        student.append(abs_rel(prediction.log_depth, target))
        constant.append(abs_rel(middle, target))
        cells.append(abs_rel(usual, target))
    print(
        f"AbsRel against SGBM: student {np.mean(student):.3f}, constant median "
        f"{np.mean(constant):.3f}, median of each cell {np.mean(cells):.3f}"
    )
    assert np.mean(student) < 0.5 * np.mean(constant)
    assert np.mean(student) < np.mean(cells)


@pytest.mark.slow
def test_beats_a_constant_on_another_drive_against_lidar(data: Path, store: Path) -> None:
    """Other streets, another camera: harder, and said so; the constant knows the truth's median."""
    file = store / "scores.json"
    run_evaluate_depth(
        "kitti-stereo", data / "stereo_gt_kitti2012", Config(), file, Console(quiet=True), store
    )
    mean = {
        row["method"]: row["abs_rel"]
        for row in json.loads(file.read_text())["scores"]
        if row["sample"] == "mean"
    }
    print({method: round(value, 3) for method, value in mean.items()})
    assert mean["student"] < mean["constant median"]
    assert mean["sgbm"] < mean["student"]
