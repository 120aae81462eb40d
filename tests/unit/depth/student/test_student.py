"""The student predicts the same in PyTorch and in ONNX Runtime, and changes models in flight."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_perception.config import PseudoLabelConfig, StudentConfig
from ssl_perception.depth.student.architecture import (
    NANO,
    QUANTILE,
    Weights,
    with_uncertainty,
)
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.network import StudentNetwork, fold, nearer_view
from ssl_perception.depth.student.onnx_graph import build, quantise
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.errors import InputError
from ssl_perception.types import CameraModel, Cue, DepthMap

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5, "left_optical_frame")


def student(seed: int = 0) -> StudentNetwork:
    """With BatchNorm statistics that are not the trivial ones."""
    torch.manual_seed(seed)
    network = StudentNetwork()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randint(0, 255, (4, 3, 120, 160), dtype=torch.uint8))
        for norm in network.norms.values():
            assert isinstance(norm, torch.nn.BatchNorm2d)
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.2, 0.2)
    return network.eval()


def image(seed: int = 0, height: int = 240, width: int = 320) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return fold(student())


def constant(log_depth: float) -> Weights:
    """A student that predicts the same depth everywhere, and is certain of it."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in NANO.weight_shapes().items()}
    weights["head.bias"][:] = log_depth
    return weights


def test_about_three_hundred_thousand_weights() -> None:
    count = sum(p.numel() for p in StudentNetwork().parameters())
    assert 250_000 < count < 350_000


def test_onnx_runtime_and_pytorch_predict_the_same(weights: Weights) -> None:
    mono, network = StudentInference(), student()
    mono.load(weights, 1)
    for seed in range(3):
        prediction = mono.predict(image(seed))
        assert prediction is not None
        small = torch.from_numpy(NANO.shrink(image(seed))).permute(2, 0, 1)[None]
        with torch.no_grad():
            output, mirrored = network(small), network(small.flip(3))
        depth, log_scale = nearer_view(output, mirrored)
        assert (depth <= output.log_depth).all() and (depth < output.log_depth).any()
        bound = weights[QUANTILE] * np.exp(log_scale[0].numpy())
        np.testing.assert_allclose(prediction.log_depth, depth[0].numpy(), atol=1e-4)
        np.testing.assert_allclose(prediction.error_bound, bound, rtol=1e-3)
        np.testing.assert_allclose(prediction.feature, output.feature[0].numpy(), atol=1e-4)
        assert prediction.log_depth.shape == NANO.grid
        assert prediction.feature.shape == (NANO.features,)


def test_folded_weights_are_named_and_shaped_as_declared(weights: Weights) -> None:
    assert {name: w.shape for name, w in weights.items()} == NANO.weight_shapes()


def test_before_the_first_model_it_is_invalid_not_free() -> None:
    depth = StudentInference().depth(image(), CAMERA, stamp=3.0)
    assert not depth.valid and depth.reason == "no model yet"
    assert np.isnan(depth.depth).all()
    assert depth.cue is Cue.MONO and depth.stamp == 3.0


def test_frozen_camera_makes_depth_unknown_until_the_image_changes() -> None:
    mono = StudentInference()
    mono.load(constant(np.log(2.0)), 1)
    stuck = image(0)
    assert mono.depth(stuck, CAMERA, 0.0).valid
    for stamp in (0.1, 0.2, 0.2):
        depth = mono.depth(stuck.copy(), CAMERA, stamp)
        assert not depth.valid and np.isnan(depth.depth).all()
        assert depth.reason == "left image frozen: bit-identical to the previous frame"
        assert depth.cue is Cue.MONO and depth.stamp == stamp
    assert mono.depth(image(1), CAMERA, 0.3).valid


def test_camera_that_freezes_before_the_first_model_is_noticed_with_it() -> None:
    mono = StudentInference()
    mono.depth(image(), CAMERA, 0.0)
    mono.load(constant(np.log(2.0)), 1)
    assert not mono.depth(image(), CAMERA, 0.1).valid


def test_same_image_under_one_stamp_is_one_frame() -> None:
    mono = StudentInference()
    mono.load(constant(np.log(2.0)), 1)
    for _ in range(2):
        assert mono.depth(image(), CAMERA, 5.0).valid


def test_depth_comes_on_its_own_grid_with_its_camera() -> None:
    mono = StudentInference()
    mono.load(constant(np.log(2.0)), 1)
    depth = mono.depth(image(), CAMERA)
    assert depth.valid and depth.depth == pytest.approx(2.0)
    assert (depth.camera.width, depth.camera.height) == (40, 30)
    assert depth.camera.frame == CAMERA.frame
    # The same ray: column 0 of the image's left edge is 1/8 of a cell within the grid's.
    left = (-0.5 - CAMERA.cx) / CAMERA.fx
    assert (-0.5 - depth.camera.cx) / depth.camera.fx == pytest.approx(left)
    assert NANO.grid_camera(depth.camera) == depth.camera


@pytest.mark.parametrize("shape", [(120, 160), (480, 640, 3), (185, 613), (33, 47, 3)])
def test_any_image_size_grey_or_colour(weights: Weights, shape: tuple[int, ...]) -> None:
    mono = StudentInference()
    mono.load(weights, 1)
    prediction = mono.predict(np.zeros(shape, np.uint8))
    assert prediction is not None and np.isfinite(prediction.log_depth).all()


def test_exchange_in_flight_loses_no_frame_and_mixes_no_models() -> None:
    mono = StudentInference()
    mono.load(constant(0.0), 0)
    seen: list[tuple[int, float]] = []
    stop = threading.Event()

    def fly() -> None:
        while not stop.is_set():
            prediction = mono.predict(image())
            assert prediction is not None
            seen.append((prediction.generation, float(prediction.log_depth.mean())))

    pilot = threading.Thread(target=fly)
    pilot.start()
    for generation in range(1, 30):
        mono.load(constant(generation / 10), generation)
    stop.set()
    pilot.join()
    assert mono.generation == 29
    generations = [g for g, _ in seen]
    assert generations == sorted(generations) and len(set(generations)) > 3
    for generation, value in seen:
        assert value == pytest.approx(generation / 10, abs=1e-5)


def poison(weights: Weights, name: str, value: np.ndarray | None) -> Weights:
    changed = dict(weights)
    if value is None:
        del changed[name]
    else:
        changed[name] = value
    return changed


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("head.bias", None, "head.bias is missing"),
        ("head.bias", np.full(2, np.nan, np.float32), "NaN"),
        ("head.bias", np.zeros(1, np.float32), "must be"),
        ("head.bias", np.zeros(2, np.float64), "must be"),
        ("intruder", np.zeros(1, np.float32), "not a weight"),
    ],
)
def test_bad_weights_are_refused_and_the_old_model_goes_on(
    weights: Weights, name: str, value: np.ndarray | None, complaint: str
) -> None:
    mono = StudentInference()
    mono.load(weights, 1)
    with pytest.raises(InputError, match=complaint):
        mono.load(poison(weights, name, value), 2)
    assert mono.generation == 1 and mono.predict(image()) is not None


def test_missing_provider_is_refused_not_replaced() -> None:
    with pytest.raises(InputError, match="cuda: this ONNX Runtime has only"):
        StudentInference(StudentConfig(provider="cuda"))


def test_provider_in_use_is_reported(weights: Weights) -> None:
    mono = StudentInference()
    assert mono.providers == []
    mono.load(weights, 1)
    assert mono.providers == ["CPUExecutionProvider"]


def test_novelty_is_the_distance_to_what_is_remembered(weights: Weights) -> None:
    mono = StudentInference()
    mono.load(weights, 1)
    prediction = mono.predict(image())
    assert prediction is not None and prediction.novelty == 0.0
    unit = prediction.feature / np.linalg.norm(prediction.feature)
    other = np.zeros_like(unit)
    other[np.argmin(unit)] = 1.0
    for features, expected in (
        (np.stack([other, unit]), 0.0),
        (other[None], np.linalg.norm(unit - other)),
    ):
        mono.load(weights, 2, features)
        again = mono.predict(image())
        assert again is not None and again.novelty == pytest.approx(expected, abs=1e-3)


def test_image_unlike_all_that_was_learnt_is_invalid_with_the_reason(weights: Weights) -> None:
    """Out of distribution is decided by the student itself, at ``max_novelty``."""
    mono = StudentInference()
    mono.load(weights, 1)
    prediction = mono.predict(image())
    assert prediction is not None
    unit = prediction.feature / np.linalg.norm(prediction.feature)
    other = np.zeros_like(unit)
    other[np.argmin(unit)] = 1.0
    novelty = float(np.linalg.norm(unit - other))
    for limit, valid in ((1.01 * novelty, True), (0.99 * novelty, False)):
        mono = StudentInference(StudentConfig(max_novelty=limit, exclude=0.0))
        mono.load(weights, 7, other[None])
        depth = mono.depth(image(), CAMERA, 1.0)
        assert depth.valid is valid
        assert depth.novelty == pytest.approx(novelty, abs=1e-3) and depth.generation == 7
        assert bool(np.isnan(depth.depth).all()) is not valid
        expected = "" if valid else f"out of distribution: novelty {novelty:.2f}, at most"
        assert depth.reason.startswith(expected) and bool(depth.reason) is not valid


def test_a_cell_claims_free_space_only_where_its_bound_excludes_an_obstacle() -> None:
    """Scale e^0 = 1: the quantile is the bound. Nothing excludes 0.6 m from 1.8 m on ln 3 = 1.1."""
    for metres, quantile, known in (
        (1.8, 1.05, True),
        (1.8, 1.15, False),
        (6.0, 2.2, True),
        (6.0, 2.4, False),
        (1.0, 30.0, True),  # an obstacle, whatever else it may be
    ):
        weights = constant(np.log(metres))
        weights["head.bias"][1] = 0.0
        weights[QUANTILE][:] = quantile
        mono = StudentInference(StudentConfig(free=1.1, exclude=0.6))
        mono.load(weights, 1)
        depth = mono.depth(image(), CAMERA)
        assert depth.valid
        expected = np.full(NANO.grid, metres if known else np.nan, np.float32)
        np.testing.assert_allclose(depth.depth, expected, rtol=1e-4)


def test_int8_stays_close(weights: Weights, tmp_path: Path) -> None:
    float_file, int_file = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    float_file.write_bytes(build(weights))
    quantise(float_file, int_file, [NANO.shrink(image(seed)) for seed in range(8)])
    assert int_file.stat().st_size < 0.5 * float_file.stat().st_size
    exact, coarse = StudentInference(), StudentInference()
    exact.load(weights, 1)
    coarse.load_model(int_file.read_bytes(), 1)
    a, b = exact.predict(image(99)), coarse.predict(image(99))
    assert a is not None and b is not None
    assert np.abs(a.log_depth - b.log_depth).mean() < 0.05
    with pytest.raises(InputError, match="images to calibrate"):
        quantise(float_file, int_file, [])


def depth_map(depth: np.ndarray, **fields: object) -> DepthMap:
    return DepthMap(depth.astype(np.float32), CAMERA, **fields)  # type: ignore[arg-type]


def test_label_is_the_log_of_mean_inverse_depth_per_cell() -> None:
    depth = np.full((240, 320), 2.0)
    depth[:8, :8] = np.where(np.arange(8) < 4, 1.0, 3.0)  # one cell: half near, half far
    answer = pseudo_label(depth_map(depth))
    assert answer is not None and answer.shape == NANO.grid
    assert answer[0, 0] == pytest.approx(np.log(1 / (0.5 * (1 / 1.0 + 1 / 3.0))), abs=1e-5)
    assert answer[5, 5] == pytest.approx(np.log(2.0), abs=1e-5)


def test_label_is_unknown_where_little_is_known_or_believed() -> None:
    depth = np.full((240, 320), 2.0)
    depth[:8, :6] = np.nan
    confidence = np.ones((240, 320), np.float32)
    confidence[8:16, :8] = 0.1
    answer = pseudo_label(depth_map(depth, confidence=confidence), PseudoLabelConfig(min_known=0.3))
    assert answer is not None
    assert np.isnan(answer[0, 0]) and np.isnan(answer[1, 0]) and np.isfinite(answer[2, 2])


def test_invalid_depth_never_teaches() -> None:
    depth = np.full((240, 320), 2.0)
    assert pseudo_label(depth_map(depth, valid=False, reason="no texture")) is None


def test_weights_of_before_the_student_knew_its_error_exclude_little(weights: Weights) -> None:
    """What was learnt is kept; free space is claimed from 0.6 m x e^1.43 = 2.5 m on."""
    old = {name: value for name, value in weights.items() if name != QUANTILE}
    old["head.weight"], old["head.bias"] = weights["head.weight"][:1], weights["head.bias"][:1]
    new = with_uncertainty(old)
    assert {name: value.shape for name, value in new.items()} == NANO.weight_shapes()
    assert with_uncertainty(new) is new and with_uncertainty({}) == {}
    mono, exact = StudentInference(), StudentInference()
    mono.load(new, 1)
    exact.load(weights, 1)
    a, b = mono.predict(image()), exact.predict(image())
    assert a is not None and b is not None
    np.testing.assert_allclose(a.log_depth, b.log_depth, atol=1e-5)
    np.testing.assert_allclose(a.error_bound, 3.9 * np.exp(-1.0), rtol=1e-4)
