"""Students of every size: trained, folded, stored, run, and told apart by their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_perception.config import Config, LearnerConfig, StudentConfig
from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.learning.learner_process import _Slot
from ssl_perception.depth.learning.online import OnlineLearner
from ssl_perception.depth.student.architecture import (
    BASE,
    NANO,
    SIZES,
    SMALL,
    Architecture,
    architecture_of,
)
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.network import StudentNetwork, fold, nearer_view
from ssl_perception.depth.student.stored import load_into
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.types import CameraModel, StereoPair

CAMERA = CameraModel(320, 240, 200.0, 200.0, 159.5, 119.5)
NOISE = np.random.default_rng(0).integers(0, 56, (240, 320, 3))
IMAGE = (NOISE + np.linspace(0.0, 200.0, 240)[:, None, None]).astype(np.uint8)  # darker is nearer
FEW = LearnerConfig.model_validate(
    {"prior": "none", "batch": 4, "memory": {"frames": 16, "megabytes": 8.0}}
)
ALL = pytest.mark.parametrize("size", SIZES.values(), ids=lambda size: size.name)


def label(size: Architecture) -> np.ndarray:
    ramp = np.linspace(-0.5, 1.5, size.grid[0] * size.grid[1], dtype=np.float32)
    return ramp.reshape(size.grid)


def test_sizes_grow() -> None:
    counts = [sum(p.numel() for p in StudentNetwork(size).parameters()) for size in SIZES.values()]
    assert list(SIZES) == ["nano", "small", "base"]
    assert counts == sorted(counts) and counts[1] > 2 * counts[0] and counts[2] > 3 * counts[0]
    assert NANO.grid == SMALL.grid == (30, 40) and BASE.grid == (60, 80)


@ALL
def test_it_runs_as_it_was_trained(size: Architecture) -> None:
    torch.manual_seed(0)
    network = StudentNetwork(size).eval()
    weights = fold(network)
    assert {name: array.shape for name, array in weights.items()} == size.weight_shapes()
    assert architecture_of(weights) is size
    mono = StudentInference()  # whose own setting says nano: the weights know better
    mono.load(weights, 1)
    prediction = mono.predict(IMAGE)
    assert prediction is not None
    with torch.no_grad():
        seen = torch.from_numpy(size.shrink(IMAGE)).permute(2, 0, 1)[None]
        expected, mirrored = network(seen), network(seen.flip(3))
        log_depth, _ = nearer_view(expected, mirrored)
    np.testing.assert_allclose(prediction.log_depth, log_depth[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(prediction.feature, expected.feature[0].numpy(), atol=1e-4)
    depth = mono.depth(IMAGE, CAMERA)
    assert depth.depth.shape == size.grid == (depth.camera.height, depth.camera.width)


@ALL
def test_it_learns_and_goes_on_from_its_store(size: Architecture, tmp_path: Path) -> None:
    learner = Learner(FEW, architecture=size)
    errors = [learner.step(IMAGE, label(size)).error for _ in range(30)]
    assert errors[-1] < 0.6 * errors[0]
    with ModelStore(tmp_path) as store:
        Checkpoint(store).save(learner)
        again = Learner(FEW, seed=1, architecture=size)
        restored = Checkpoint(store).restore(again)
        assert restored is not None and restored.steps == 30 and len(again.memory) == 16
        mono = StudentInference()
        generation = store.load()
        assert generation is not None
        load_into(mono, generation)
        other = next(s for s in SIZES.values() if s is not size)
        with pytest.raises(
            InputError, match=f"a {size.name} student; student.size is {other.name}"
        ):
            OnlineLearner(FEW, store=store, architecture=other)
    assert mono.predict(IMAGE) is not None
    np.testing.assert_array_equal(again.weights()["head.weight"], learner.weights()["head.weight"])


@ALL
def test_it_computes_on_any_device(size: Architecture) -> None:
    """PyTorch's ``meta`` device computes shapes only, and refuses all that leaves the device."""
    network = StudentNetwork(size).to("meta")
    output = network(torch.empty((2, 3, size.height, size.width), dtype=torch.uint8, device="meta"))
    assert output.log_depth.shape == output.log_scale.shape == (2, *size.grid)
    assert output.feature.shape == (2, size.features)
    assert output.log_depth.device.type == "meta"


def test_mixed_precision_learns_the_same() -> None:
    exact, half = (
        Learner(FEW.model_copy(update={"precision": precision}), architecture=NANO)
        for precision in ("float32", "bfloat16")
    )
    for _ in range(20):
        steps = [learner.step(IMAGE, label(NANO)) for learner in (exact, half)]
    assert steps[0].error != steps[1].error, "it does compute in less"
    assert steps[1].error == pytest.approx(steps[0].error, abs=0.08)
    assert all(value.dtype == torch.float32 for value in half.student.state_dict().values()
               if value.is_floating_point())  # fmt: skip


def test_the_pipeline_of_a_base_student() -> None:
    config = Config(student=StudentConfig(size="base"), learner=FEW)
    mono = StudentInference(config.student)
    learner = OnlineLearner(FEW, 0, mono, architecture=BASE)
    pipeline = DepthPipeline(config, mono, learner)
    texture = np.random.default_rng(1).integers(0, 256, (240, 336), dtype=np.uint8)
    pair = StereoPair(texture[:, :320], texture[:, 16:], CAMERA, baseline=0.1, stamp=1.0)
    result = pipeline.process(pair)
    assert result.label is not None and result.label.shape == BASE.grid
    assert result.mono is not None and result.mono.depth.shape == BASE.grid
    assert learner.steps == 1


def test_a_label_of_another_grid_is_refused() -> None:
    with pytest.raises(InputError, match=r"label must be \(60, 80\), not \(30, 40\)"):
        Learner(FEW, architecture=BASE).step(IMAGE, label(NANO))


def test_what_the_learner_process_shares_has_the_students_size() -> None:
    image, target = _Slot(BASE).views()
    assert image.shape == (240, 320, 3) and target.shape == BASE.grid


def test_only_nano_has_a_shipped_prior() -> None:
    shipped = LearnerConfig()
    assert Learner(shipped).knows_something
    assert not Learner(shipped, architecture=SMALL).knows_something


def test_features_of_another_size_are_refused() -> None:
    weights = fold(StudentNetwork(BASE))
    with pytest.raises(InputError, match="features of the memory must be"):
        StudentInference().load(weights, 1, np.zeros((4, 96), np.float32))
