"""What learning starts from: whole or refused; and what it does for a fresh learner."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from ssl_perception.config import LearnerConfig, ReplayMemoryConfig
from ssl_perception.depth.learning.augmentation import augment
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.learning.online import OnlineLearner
from ssl_perception.depth.learning.prior import Prior, load_prior, prior_path, save_prior
from ssl_perception.depth.learning.prior_training import PriorTraining
from ssl_perception.depth.learning.replay_memory import Frames, ReplayMemory
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.network import StudentNetwork
from ssl_perception.errors import InputError


def scenes(count: int, first: int = 0) -> Frames:
    """Images whose brightness is depth, cell by cell."""
    images, labels = [], []
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        log_depth = cv2.resize(random.uniform(-1, 1.5, (3, 4)).astype(np.float32), (40, 30))
        bright = cv2.resize(128 + 60 * log_depth, (160, 120)).clip(0, 255).astype(np.uint8)
        images.append(np.dstack([bright] * 3))
        labels.append(log_depth)
    return Frames(np.stack(images), np.stack(labels))


def prior(frames: int = 5) -> Prior:
    torch.manual_seed(3)
    state = {name: value.numpy() for name, value in StudentNetwork().state_dict().items()}
    return Prior(state, 2.5, scenes(frames))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prior.safetensors"
    save_prior(path, prior())
    return path


def test_what_was_saved_is_loaded(file: Path) -> None:
    saved, found = prior(), load_prior(file)
    assert found.quantile == 2.5 and found.network.keys() == saved.network.keys()
    for name, value in saved.network.items():
        np.testing.assert_array_equal(found.network[name], value)
    np.testing.assert_allclose(found.frames.labels, saved.frames.labels, atol=1e-3)
    difference = found.frames.images.astype(int) - saved.frames.images
    assert np.abs(difference).mean() < 2.0, "JPEG"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"quantile": np.array([np.nan], np.float32)}, "quantile must be one positive number"),
        ({"labels": np.zeros((5, 30, 41), np.float16)}, "labels must be"),
        ({"image_bytes": np.full(5, 10**15, np.int64)}, "don't fit"),
        ({"image_bytes": np.array([-1, 1, 1, 1, 1])}, "don't fit"),
        ({"images": np.zeros(40, np.uint8), "image_bytes": np.full(5, 8)}, "not a picture of"),
    ],
)
def test_a_hostile_file_is_one_clear_error(
    file: Path, change: dict[str, np.ndarray], said: str
) -> None:
    file.write_bytes(save({**load(file.read_bytes()), **change}))
    with pytest.raises(InputError, match=said):
        load_prior(file)


def test_what_is_no_prior_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(InputError, match="No such file"):
        load_prior(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="not a safetensors file"):
        load_prior(path)
    small = prior()
    small.network["head.weight"] = small.network["head.weight"][:1]
    save_prior(path, small)
    with pytest.raises(InputError, match=r"head.weight must be \(2, 24, 3, 3\), not \(1,"):
        Learner(LearnerConfig(prior=str(path)))


def test_the_shipped_one_loads_and_is_the_default() -> None:
    path = prior_path(LearnerConfig().prior)
    assert path is not None and prior_path("none") is None
    found = load_prior(path)
    assert len(found.frames.images) >= 100
    assert np.isfinite(found.frames.labels).mean() > 0.8


def test_a_learner_begins_with_it_and_sees_from_the_first_frame(file: Path) -> None:
    options = LearnerConfig(prior=str(file), memory=ReplayMemoryConfig(frames=64))
    student = StudentInference()
    learner = OnlineLearner(options, student=student)
    assert student.generation == learner.generation == 1 and learner.steps == 0
    other = Learner(options, seed=9)
    for name, weight in learner.learner.weights().items():
        np.testing.assert_array_equal(weight, other.weights()[name])
    scratch = StudentInference()
    OnlineLearner(LearnerConfig(prior="none"), student=scratch)
    assert scratch.generation is None


def test_its_frames_are_learnt_from_but_no_place_is_known_for_them() -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=16))
    memory.pin(Frames(np.full((3, 120, 160, 3), 9, np.uint8), np.zeros((3, 30, 40), np.float32)))
    assert len(memory) == 0 and memory.history().shape == (0, 96)
    assert len(memory.sample(7).images) == 3, "all there are"
    for k in range(10):
        memory.add(np.zeros((120, 160, 3), np.uint8), np.zeros((30, 40), np.float32), np.eye(96)[k])
    drawn = memory.sample(8, pinned_share=0.25).images[:, 0, 0, 0]
    assert (drawn == 9).sum() == 2 and (drawn == 0).sum() == 6
    assert len(memory.sample(8).images) == 8 and not memory.sample(8).images.any()


def test_training_resumes_where_it_stopped(tmp_path: Path) -> None:
    frames = scenes(30)
    whole = PriorTraining(frames, 6, seed=1)
    list(whole.run())
    first = PriorTraining(frames, 6, seed=1)
    for _, _ in zip(range(3), first.run(), strict=False):
        pass
    first.save(tmp_path / "checkpoint")
    second = PriorTraining(frames, 6, seed=1)
    second.restore(tmp_path / "checkpoint")
    assert second.step == 3
    list(second.run())
    held_out = scenes(4, first=100)
    np.testing.assert_allclose(
        whole.predict(held_out.images)[0], second.predict(held_out.images)[0], atol=1e-5
    )
    made, error = second.finish(held_out, pinned=7)
    assert len(made.frames.images) == 7 and np.isfinite(error) and made.quantile >= 1.0
    with pytest.raises(InputError, match="of a run with seed 1, 6 steps"):
        PriorTraining(frames, 7, seed=1).restore(tmp_path / "checkpoint")
    with pytest.raises(InputError, match="not a checkpoint"):
        PriorTraining(frames, 6, seed=1).restore(tmp_path / "no file")


def test_augmentation_keeps_what_it_is_given_and_where_things_are() -> None:
    frames = scenes(12)
    before = frames.images.copy(), frames.labels.copy()
    images, labels = augment(frames.images, frames.labels, np.random.default_rng(0))
    np.testing.assert_array_equal(frames.images, before[0])
    np.testing.assert_array_equal(frames.labels, before[1])
    for image, label in zip(images, labels, strict=True):
        grey = cv2.resize(image, (40, 30), interpolation=cv2.INTER_AREA).mean(axis=2)
        assert abs(np.corrcoef(grey.ravel(), label.ravel())[0, 1]) > 0.7, "or inverted"
    assert labels.mean() < before[1].mean() - 0.02, "enlarged is nearer"


def test_training_goes_on_from_another_prior(tmp_path: Path) -> None:
    start = prior()
    training = PriorTraining(scenes(30), 2, seed=1, start=start)
    for name, value in training.average.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), start.network[name])
    list(training.run())
    start.network["head.bias"] = np.full(2, np.nan, np.float32)
    with pytest.raises(InputError, match=r"head.bias has NaN"):
        PriorTraining(scenes(30), 2, seed=1, start=start)
