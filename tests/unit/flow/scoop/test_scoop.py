"""SCOOP's parts: transport, correspondence, refinement, weights and training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from rich.console import Console
from safetensors.torch import load_file, save_file

from ssl_perception.commands.export_scoop import run_export_scoop
from ssl_perception.config import RefinementConfig, ScoopConfig
from ssl_perception.datasets import FlowSample
from ssl_perception.errors import InputError
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.scoop import correspondence
from ssl_perception.flow.scoop import onnx_graph as feature_graph
from ssl_perception.flow.scoop.correspondence import (
    MIN_EPSILON,
    Candidates,
    CorrespondenceModel,
    all_pairs,
    correspond,
    correspond_in_blocks,
    nearest_pairs,
)
from ssl_perception.flow.scoop.refinement import Refined, refine
from ssl_perception.flow.scoop.set_conv import neighbour_graph
from ssl_perception.flow.scoop.sinkhorn import transport
from ssl_perception.flow.scoop.static_suppression import StaticSuppression
from ssl_perception.flow.scoop.training import (
    Pairs,
    Training,
    crop,
    held_out,
)
from ssl_perception.flow.scoop.weights import load_into
from ssl_perception.flow.solvers import scoop
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.onnx_session import open_session
from ssl_perception.runtime.shipped import shipped
from ssl_perception.types import PointCloud

MOVE = np.array([0.7, 0.2, 0.0], np.float32)


def cloud(seed: int, moved: bool = False, count: int = 2048) -> np.ndarray:
    """Two walls and, last, a quarter of it on a box that moves."""
    rng = np.random.default_rng(seed)
    walls = rng.uniform((-15, -0.05, 0), (15, 0.05, 3), (3 * count // 4, 3))
    walls[:, 1] += np.where(np.arange(len(walls)) % 2, 7.0, -7.0)
    box = rng.uniform((-2, -0.9, 0), (2, 0.9, 1.5), (count - len(walls), 3))
    box[::2, 1] = -0.9
    box[1::2, 0] = -2.0
    return np.concatenate([walls, box + (MOVE if moved else 0.0)]).astype(np.float32)


def shipped_model() -> CorrespondenceModel:
    model = CorrespondenceModel()
    load_into(model, shipped("scoop.safetensors"))
    return model


@pytest.mark.parametrize("iterations", [1, 3])
def test_gradients_of_the_transport_are_right(iterations: int) -> None:
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(6, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 5, (6, 4), generator=generator)
    allowed = torch.rand(6, 4, generator=generator) < 0.8
    epsilon, gamma = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 0.7))

    def mass(cost: torch.Tensor, epsilon: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
        return torch.exp(transport(cost, index, allowed, 5, epsilon, gamma, iterations))

    assert torch.autograd.gradcheck(mass, (cost, epsilon, gamma))


def test_all_pairs_as_candidates_are_the_dense_problem() -> None:
    cost = torch.rand(7, 5, dtype=torch.float64)
    allowed = torch.rand(7, 5) < 0.7
    every = torch.arange(5).expand(7, 5)
    numbers = torch.tensor(0.2), torch.tensor(1.5)
    dense = torch.exp(transport(cost, None, allowed, 5, *numbers, iterations=2))
    sparse = torch.exp(transport(cost, every, allowed, 5, *numbers, iterations=2))
    torch.testing.assert_close(dense, sparse)
    assert (dense[~allowed] == 0).all()


def test_epsilon_and_gamma_stay_in_their_range() -> None:
    model = CorrespondenceModel()
    for value in (-50.0, 0.0, 5.0):
        with torch.no_grad():
            model.log_epsilon.fill_(value)
            model.log_gamma.fill_(value)
        assert model.epsilon >= MIN_EPSILON
        assert model.gamma > 0


@pytest.mark.parametrize("case", ["masked", "far", "identical", "one point"])
def test_odd_clouds_give_finite_answers(case: str) -> None:
    points = cloud(0, count=200)
    target = {"far": points + 1000, "identical": points, "one point": points[:1]}.get(case, points)
    model = shipped_model()
    here, there = torch.from_numpy(points), torch.from_numpy(np.ascontiguousarray(target))
    own, theirs = (model.features(c, neighbour_graph(c.numpy())) for c in (here, there))
    pairs = all_pairs(here, there, 4.0)
    if case == "masked":
        pairs = Candidates(None, torch.zeros_like(pairs.allowed))
    found = correspond(model, here, there, own, theirs, pairs, 0.06)
    assert torch.isfinite(found.flow).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    if case in ("masked", "far"):
        assert not found.flow.any()
        assert not found.confidence.any()
    (found.flow.sum() + found.confidence.sum()).backward()
    for parameter in model.parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all()


def test_dense_and_sparse_transport_agree() -> None:
    points, target = cloud(0), cloud(1, moved=True)
    model = shipped_model()
    here, there = torch.from_numpy(points), torch.from_numpy(target)
    options = ScoopConfig()
    with torch.no_grad():
        own, theirs = (model.features(c, neighbour_graph(c.numpy())) for c in (here, there))
        flows = [
            correspond(model, here, there, own, theirs, pairs, options.prior).flow
            for pairs in (
                all_pairs(here, there, options.support),
                nearest_pairs(points, target, options.support, 4 * options.candidates),
            )
        ]
    assert (flows[0] - flows[1]).norm(dim=1).mean() <= 0.01


def test_refinement_improves_on_the_correspondence() -> None:
    points, target = (PointCloud(cloud(k, bool(k)), stamp=0.1 * k) for k in (0, 1))
    truth = np.zeros_like(points.points)
    truth[-512:] = MOVE
    errors = {}
    for method in ("scoop:correspondence", "scoop"):
        flow = estimate_flow(points, target, method)
        errors[method] = np.linalg.norm(flow.flow - truth, axis=1)[-512:].mean()
    assert errors["scoop"] < errors["scoop:correspondence"]
    assert errors["scoop"] < 0.15


def test_published_presets_are_as_published() -> None:
    kitti = ScoopConfig().model_copy(update=ScoopConfig.PRESETS["kitti"])
    refinement = kitti.refinement
    assert (kitti.support, refinement.steps, refinement.learning_rate) == (10, 1000, 0.05)
    assert (kitti.refinement.smoothness, kitti.refinement.neighbours) == (1.0, 31)
    assert kitti.refinement.last and not kitti.refinement.truncation
    assert not kitti.prior and not kitti.candidates
    whole = ScoopConfig.PRESETS["all"]["refinement"]
    assert (whole.steps, whole.learning_rate) == (150, 0.2)
    points = {name: ScoopConfig.PRESETS[name]["points"] for name in ("kitti", "kitti_s", "ft3d_s")}
    assert points == {"kitti": 2048, "kitti_s": 8192, "ft3d_s": 8192}
    two_sided = {name: ScoopConfig.PRESETS[name]["refinement"].two_sided for name in points}
    assert two_sided == {"kitti": False, "kitti_s": True, "ft3d_s": True}
    assert ScoopConfig.PRESETS["ft3d_s"]["refinement"].neighbours == 16


@pytest.mark.parametrize(("support", "prior"), [(10.0, 0.0), (4.0, 0.06)])
def test_blocks_of_points_are_the_dense_correspondence(
    support: float, prior: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a point has no target within reach."""
    monkeypatch.setattr(correspondence, "DENSE_AT_ONCE", 100_000)
    points, target = cloud(0) * 3, cloud(1, moved=True) * 3
    points[7] += 500.0
    model = shipped_model()
    here, there = torch.from_numpy(points), torch.from_numpy(target)
    with torch.no_grad():
        own, theirs = (model.features(c, neighbour_graph(c.numpy())) for c in (here, there))
        pairs = all_pairs(here, there, support)
        dense = correspond(model, here, there, own, theirs, pairs, prior)
    sizes = [
        len(rows) * len(columns)
        for rows, columns in correspondence._blocks(points, target, support)
    ]
    assert max(sizes) <= 100_000 and len(sizes) > 10
    blocks = correspond_in_blocks(model, here, there, own, theirs, support, prior)
    torch.testing.assert_close(blocks.flow, dense.flow, rtol=0, atol=1e-3)
    torch.testing.assert_close(blocks.confidence, dense.confidence, rtol=0, atol=1e-4)
    assert not blocks.flow[7].any() and not blocks.confidence[7]


def test_above_two_thousand_points_published_presets_still_see_all_targets() -> None:
    """A target 6 m off is beyond the nearest 128 of 3000; with all in the support it can be met."""
    points, target = (PointCloud(cloud(k, bool(k), 3000), stamp=0.1 * k) for k in (0, 1))
    lengths = {}
    for candidates in (0, 128):
        options = ScoopConfig(
            support=10.0, prior=0.0, candidates=candidates, refinement=RefinementConfig(steps=0)
        ).model_copy(update={"refinement": RefinementConfig(steps=0, static_suppression=0.0)})
        flow = estimate_flow(points, target, "scoop", options=options)
        lengths[candidates] = np.percentile(np.linalg.norm(flow.flow, axis=1), 95)
    assert lengths[0] > 1.5 * lengths[128]


def test_the_last_step_counts_as_published() -> None:
    """Two runs of k and of k + 1 steps: the least loss can stay the same, the last step can't."""
    here, there = torch.from_numpy(cloud(0, count=400)), torch.from_numpy(cloud(1, True, 400))
    start, sure = torch.zeros_like(here), torch.ones(400)

    def run(steps: int, last: bool) -> Refined:
        published = RefinementConfig.published(steps, 0.2).model_copy(update={"last": last})
        return refine(here, there, start, sure, published, Deadline())

    assert not run(1, last=False).flow.any(), "the loss before the first step"
    moved = run(1, last=True).flow.abs()
    assert moved.max() == pytest.approx(0.2, rel=1e-3), "Adam's first step"


def test_similarity_and_flow_are_float32_under_autocast() -> None:
    points, target = cloud(0, count=300), cloud(1, moved=True, count=300)
    model = shipped_model()
    here, there = torch.from_numpy(points), torch.from_numpy(target)
    own, theirs = (model.features(c, neighbour_graph(c.numpy())) for c in (here, there))
    arguments = (model, here, there, own, theirs, all_pairs(here, there, 4.0), 0.06)
    plain = correspond(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        cast = correspond(*arguments)
        features = model.features(here, neighbour_graph(points))
    assert cast.flow.dtype == features.dtype == torch.float32
    torch.testing.assert_close(cast.flow, plain.flow, rtol=0, atol=0)


def test_the_model_stays_on_its_device() -> None:
    on_cpu = scoop._model("", "cpu")
    elsewhere = scoop._model("", "meta")
    assert scoop._model("", "cpu") is on_cpu
    assert {p.device.type for p in on_cpu.parameters()} == {"cpu"}
    assert {p.device.type for p in elsewhere.parameters()} == {"meta"}


def test_static_points_are_suppressed() -> None:
    points = cloud(0)
    wobble = np.random.default_rng(2).normal(0, 0.03, points.shape).astype(np.float32)
    wobble[-512:] = MOVE
    kept = StaticSuppression(points, cloud(1, moved=True), 0.03)(wobble)
    assert (kept[-512:] != 0).any(axis=1).mean() > 0.8
    assert (kept[:-512] != 0).any(axis=1).mean() < 0.02


def test_sampled_points_speak_for_the_others() -> None:
    points, target = (PointCloud(cloud(k, bool(k)), stamp=0.1 * k) for k in (0, 1))
    options = ScoopConfig(points=1000, refinement=RefinementConfig(steps=50))
    flow = estimate_flow(points, target, "scoop", options=options)
    assert flow.flow.shape == (2048, 3)
    assert np.linalg.norm(np.median(flow.flow[-512:], axis=0) - MOVE) < 0.3


@pytest.mark.alone
def test_a_deadline_ends_the_refinement() -> None:
    points, target = (PointCloud(cloud(k, bool(k)), stamp=0.1 * k) for k in (0, 1))
    options = ScoopConfig(refinement=RefinementConfig(steps=100_000))
    flow = estimate_flow(points, target, "scoop", seconds=0.6, options=options)
    assert not flow.converged
    assert flow.iterations < 100_000
    assert flow.seconds < 2.0


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "w.safetensors"
    good = load_file(str(shipped("scoop.safetensors")))
    name = next(iter(good))
    if kind == "text":
        path.write_text("hello")
    elif kind == "half":
        content = shipped("scoop.safetensors").read_bytes()
        path.write_bytes(content[: len(content) // 2])
    elif kind == "huge":
        path.write_bytes(b"\0" * (17 << 20))
    elif kind == "shape":
        save_file({**good, name: torch.zeros(3, 7)}, str(path))
    elif kind == "lacks":
        save_file({k: v for k, v in good.items() if k != name}, str(path))
    elif kind == "more":
        save_file({**good, "evil": torch.zeros(1)}, str(path))
    elif kind == "nan":
        save_file({**good, name: torch.full_like(good[name], torch.nan)}, str(path))
    return path


@pytest.mark.parametrize("kind", ["none", "text", "half", "huge", "shape", "lacks", "more", "nan"])
def test_bad_weights_are_one_line(tmp_path: Path, kind: str) -> None:
    path = broken(tmp_path, kind)
    points = PointCloud(cloud(0, count=64))
    with pytest.raises(InputError) as error:
        estimate_flow(points, points, "scoop", options=ScoopConfig(weights=str(path)))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def sample(number: int) -> FlowSample:
    source, target = (
        PointCloud(cloud(10 * number + k, bool(k), 600), stamp=0.1 * k) for k in (0, 1)
    )
    return FlowSample(str(number), source, target, None, np.ones(600, np.bool_))


def test_a_resumed_run_is_the_run_that_was_not_stopped(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    whole = Training(3, 128, cpu)
    list(whole.run(Pairs(sample, 5), 6))
    first = Training(3, 128, cpu)
    list(first.run(Pairs(sample, 5), 3))
    first.save(tmp_path / "c.safetensors")
    second = Training(3, 128, cpu)
    second.restore(tmp_path / "c.safetensors")
    list(second.run(Pairs(sample, 5), 6))
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=0)
    with pytest.raises(InputError, match="seed 3"):
        Training(4, 128, cpu).restore(tmp_path / "c.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint"):
        Training(3, 128, cpu).restore(tmp_path / "c.safetensors")


def test_training_lowers_the_held_out_loss() -> None:
    training = Training(0, 128, torch.device("cpu"))
    crops = held_out(Pairs(lambda k: sample(100 + k), 4), 4, 128)
    before = training.evaluate(crops)
    list(training.run(Pairs(sample, 5), 100))
    assert training.evaluate(crops) < 0.97 * before


def test_a_crop_is_rigid_and_of_one_place() -> None:
    pairs = Pairs(sample, 5)
    taken = crop(pairs[0], 128, np.random.default_rng(0))
    assert taken.source.shape == taken.target.shape == (128, 3)
    assert np.linalg.norm(taken.source[:, :2], axis=1).max() < 30.0
    heights = np.round(pairs[0].source[:, 2], 3)
    shifts = [
        h for h in heights if np.isin(np.round(taken.source[:, 2] + h, 3), heights).mean() > 0.9
    ]
    assert shifts, "turned about the vertical alone"


def test_the_solver_reads_the_weights_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    torch.manual_seed(1)
    save_file(CorrespondenceModel().state_dict(), str(path))
    points, target = (PointCloud(cloud(k, bool(k), 500), stamp=0.1 * k) for k in (0, 1))
    shipped_flow = estimate_flow(points, target, "scoop:correspondence")
    other = estimate_flow(
        points,
        target,
        "scoop",
        options=ScoopConfig(weights=str(path), refinement=RefinementConfig(steps=0)),
    )
    assert np.abs(other.flow - shipped_flow.flow).max() > 1e-3
    assert scoop._model.cache_info().currsize >= 2


@pytest.mark.parametrize("count", [2, 20, 2048])
def test_onnx_runtime_computes_the_same_features(count: int) -> None:
    model = shipped_model()
    points = cloud(3)[np.random.default_rng(0).permutation(2048)[:count]]
    edges = neighbour_graph(points)
    session = open_session(feature_graph.build(model.features), "cpu", 1, False, "provider")
    with torch.no_grad():
        expected = model.features(torch.from_numpy(points), edges).numpy()
    found = feature_graph.run(session, points, edges.numpy())
    assert np.abs(found - expected).max() < 1e-4
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_flow_is_the_same_by_onnx_runtime_and_it_is_said_what_ran() -> None:
    source, target = PointCloud(cloud(0)), PointCloud(cloud(1, moved=True))
    options = ScoopConfig(
        refinement=RefinementConfig(steps=0)
    )  # Adam turns a rounding error into a step
    onnx = options.model_copy(update={"runtime": "onnx"})
    by_torch = estimate_flow(source, target, "scoop", options=options)
    by_onnx = estimate_flow(source, target, "scoop", options=onnx)
    assert np.linalg.norm(by_torch.flow - by_onnx.flow, axis=1).mean() < 1e-3
    assert scoop.providers(options) == [] and scoop.providers(onnx) == ["CPUExecutionProvider"]


def test_a_missing_provider_is_refused_unless_a_fall_back_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only = ["CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: only)
    options = ScoopConfig(runtime="onnx", provider="cuda", refinement=RefinementConfig(steps=0))
    source, target = PointCloud(cloud(0)), PointCloud(cloud(1, moved=True))
    with pytest.raises(InputError, match=r"flow\.scoop\.provider cuda: .* has only"):
        estimate_flow(source, target, "scoop", options=options)
    asked = options.model_copy(update={"fall_back": True})
    assert scoop.providers(asked) == ["CPUExecutionProvider"]
    assert np.isfinite(estimate_flow(source, target, "scoop", options=asked).flow).all()


def test_the_exported_features_are_the_solvers(tmp_path: Path) -> None:
    run_export_scoop(None, tmp_path / "scoop.onnx", Console())
    points = cloud(5)
    edges = neighbour_graph(points)
    session = InferenceSession(tmp_path / "scoop.onnx", providers=["CPUExecutionProvider"])
    found = feature_graph.run(session, points, edges.numpy())
    with torch.no_grad():
        expected = shipped_model().features(torch.from_numpy(points), edges).numpy()
    assert np.abs(found - expected).max() < 1e-4
