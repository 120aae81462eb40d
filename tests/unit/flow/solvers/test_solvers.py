"""What holds for every solver, whatever its method: they are all asked the same."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
import pytest

from ssl_perception.config import Config, FastNsfConfig, FlowConfig, NsfpConfig, override
from ssl_perception.errors import InputError
from ssl_perception.flow import METHODS, estimate_flow, find
from ssl_perception.flow.online.detection import detect
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import PointCloud, SceneFlow

RNG = np.random.default_rng(5)
# Gradient solvers are given just the steps that these small scenes need.
OPTIONS: dict[str, Any] = {
    "nsfp": NsfpConfig(iterations=80, learning_rate=8e-3),
    "fast_nsf": FastNsfConfig(iterations=100, cell=0.2),
}
# A coordinate network bends everything a little; only our solver promises that static is static.
STATIC_IS_STATIC = ("rigid_cluster", "neural_prior")

# Its step takes time with every point, and what is asked of it here doesn't need many.
POINTS = {"nsfp": 490, "fast_nsf": 700}
MOVE = np.array([0.6, 0.2, 0.0], np.float32)


def scene(moved: np.ndarray | None = None, seed: int = 0, points: int = 2100) -> PointCloud:
    """Two walls and a box, seen anew each time; the box is last, a seventh of the points."""
    of_box = points // 7
    rng = np.random.default_rng(seed)
    walls = rng.uniform((-15, -0.02, 0), (15, 0.02, 2.5), (points - of_box, 3))
    walls[:, 1] += np.where(np.arange(len(walls)) % 2, 8.0, -8.0)
    box = rng.uniform((-2, -0.9, 0), (2, 0.9, 1.5), (of_box, 3))
    face = np.arange(of_box) % 3
    for axis, half in ((0, 2.0), (1, 0.9)):
        box[face == axis, axis] = -half
    box[face == 2, 2] = 1.5
    box += (5.0, 0.0, 0.3)
    if moved is not None:
        box += moved
    stamp = 0.0 if moved is None else 0.1
    return PointCloud(np.concatenate([walls, box]).astype(np.float32), stamp=stamp, frame="a")


def box_of(cloud: PointCloud) -> slice:
    return slice(len(cloud) - len(cloud) // 7, None)


def walls_of(cloud: PointCloud) -> slice:
    return slice(0, len(cloud) - len(cloud) // 7)


def solve(method: str, source: PointCloud, target: PointCloud, **more: Any) -> SceneFlow:
    return estimate_flow(source, target, method, options=OPTIONS.get(method), **more)


class Solved(NamedTuple):
    source: PointCloud
    target: PointCloud
    flow: SceneFlow


@pytest.fixture(scope="module", params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def before_and_after(method: str) -> tuple[PointCloud, PointCloud]:
    """What the method is asked about: the box moves."""
    points = POINTS.get(method, 2100)
    return scene(points=points), scene(MOVE, seed=1, points=points)


@pytest.fixture(scope="module")
def solved(method: str) -> Solved:
    """The moving box, solved once: most of what is promised is about this answer."""
    source, target = before_and_after(method)
    return Solved(source, target, solve(method, source, target))


def test_a_moving_box_is_found(method: str, solved: Solved) -> None:
    flow = solved.flow
    assert flow.flow.shape == (len(solved.source), 3) and flow.interval == pytest.approx(0.1)
    box = np.median(flow.flow[box_of(solved.source)], axis=0)
    np.testing.assert_allclose(box[:2], MOVE[:2], atol=0.2)
    assert flow.moving[box_of(solved.source)].mean() > 0.8
    if method in STATIC_IS_STATIC:
        assert not flow.flow[walls_of(solved.source)].any()
    assert ((flow.confidence >= 0) & (flow.confidence <= 1)).all()


def test_identical_clouds_do_not_move(method: str) -> None:
    cloud, _ = before_and_after(method)
    flow = solve(method, cloud, PointCloud(cloud.points, stamp=0.1))
    if method in STATIC_IS_STATIC:
        assert not flow.moving.any()
        assert not flow.flow.any()
    assert np.linalg.norm(flow.flow, axis=1).mean() < 0.15


def test_moving_both_clouds_changes_nothing(method: str, solved: Solved) -> None:
    source, target, here = solved
    shift = np.eye(4)
    shift[:3, 3] = 64.0, -32.0, 4.0
    there = solve(method, source.transformed(shift), target.transformed(shift))
    # The last bits of the points differ, and a long descent makes centimetres of them.
    box = box_of(source)
    off = np.median(here.flow[box], axis=0) - np.median(there.flow[box], axis=0)
    assert np.linalg.norm(off) < 0.1
    if method in STATIC_IS_STATIC:  # but for points that now round into another voxel
        same = np.linalg.norm(here.flow - there.flow, axis=1) < 0.01
        assert same.mean() > 0.95


def test_permuting_points_permutes_the_flow(method: str, solved: Solved) -> None:
    source, target, straight = solved
    order = RNG.permutation(len(source))
    shuffled = solve(method, source.select(order), target.select(RNG.permutation(len(target))))
    off = np.linalg.norm(straight.flow[order] - shuffled.flow, axis=1)
    assert np.percentile(off, 95) < 0.05


def test_same_input_same_seed_same_output(method: str, solved: Solved) -> None:
    again = solve(method, *before_and_after(method), seed=0)
    np.testing.assert_array_equal(solved.flow.flow, again.flow)
    np.testing.assert_array_equal(solved.flow.confidence, again.confidence)


def test_the_input_is_left_as_it_was(method: str, solved: Solved) -> None:
    source, target = before_and_after(method)
    np.testing.assert_array_equal(solved.source.points, source.points)
    np.testing.assert_array_equal(solved.target.points, target.points)


def test_backwards_in_time_gives_the_same_velocity(method: str) -> None:
    earlier, later = before_and_after(method)
    flow = solve(method, later, earlier)
    assert flow.interval == pytest.approx(-0.1)
    velocity = np.nanmedian(flow.velocity[box_of(later)], axis=0)
    np.testing.assert_allclose(velocity[:2], MOVE[:2] / 0.1, atol=2.0)


def test_a_deadline_is_kept_and_said(method: str, solved: Solved) -> None:
    """``solved`` has compiled and imported what the method needs: that is not timed."""
    source, target, _ = solved
    patient = {"nsfp": NsfpConfig(patience=5000), "fast_nsf": FastNsfConfig(patience=5000)}
    start = time.perf_counter()
    flow = estimate_flow(source, target, method, seconds=0.3, options=patient.get(method))
    assert time.perf_counter() - start < 1.0
    assert np.isfinite(flow.flow).all()
    if method in patient:
        assert not flow.converged


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"points": np.empty((0, 3))}, "target cloud is empty"),
        ({"points": np.array([[0, 0, np.nan]])}, "target cloud has 1 NaN or infinite points of 1"),
        ({"points": np.array([[0, 0, np.inf]])}, "target cloud has 1 NaN or infinite points"),
        ({"points": scene().points * 1000}, "spans 30 km: are its points in metres"),
        ({"points": np.zeros((2, 3)), "time": np.array([0, np.nan])}, "infinite point times"),
        ({"points": np.zeros((2, 3)), "frame": "b"}, "source is in frame 'a' but target in 'b'"),
    ],
)
def test_bad_clouds_are_refused_in_one_line(change: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        estimate_flow(scene(), PointCloud(**change))


def test_unknown_methods_and_times_are_refused() -> None:
    with pytest.raises(InputError, match="unknown method 'magic'"):
        estimate_flow(scene(), scene(), method="magic")
    with pytest.raises(InputError, match="seconds must be positive"):
        estimate_flow(scene(), scene(), seconds=0.0)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("nsfp:kitti", {"patience": 100, "points": 0, "learning_rate": 0.001, "backward": False}),
        ("nsfp:argoverse", NsfpConfig().model_dump(exclude={"iterations"})),
        ("nsfp:argoverse", {"patience": 100, "points": 0, "learning_rate": 0.003}),
        ("nsfp:kitti-2048", {"patience": 70, "points": 2048, "learning_rate": 0.008}),
        ("nsfp:argoverse-2048", {"patience": 30, "points": 2048, "learning_rate": 0.008}),
        ("nsfp:argoverse-8192", {"patience": 100, "points": 8192, "learning_rate": 0.003}),
        ("fast_nsf:readme", {"patience": 10, "min_delta": 1e-3, "learning_rate": 0.008}),
        ("fast_nsf:readme-8192", {"patience": 5, "learning_rate": 0.01, "points": 8192}),
        ("fast_nsf:patient", FastNsfConfig().model_dump()),
    ],
)
def test_published_settings_go_by_name(method: str, settings: dict[str, float]) -> None:
    _, options = find(method, flow=FlowConfig(nsfp=NsfpConfig(iterations=7)))
    assert {key: getattr(options, key) for key in settings} == settings
    if method.startswith("nsfp"):
        assert options.iterations == 7, "what a preset doesn't name stays as it was set"


def test_presets_are_within_the_settings_bounds() -> None:
    for section in (NsfpConfig, FastNsfConfig):
        for preset in section.PRESETS.values():
            section.model_validate(preset)


@pytest.mark.parametrize("method", ["nsfp:waymo", "rigid_cluster:fast", "nsfp:", "icp:kitti"])
def test_an_unknown_preset_is_refused(method: str) -> None:
    cloud = PointCloud(np.zeros((5, 3), np.float32))
    with pytest.raises(InputError, match="unknown"):
        estimate_flow(cloud, cloud, method)


def test_a_preset_is_used() -> None:
    source, target = scene(), scene(MOVE, seed=1)
    few = FastNsfConfig(iterations=3, cell=0.2)
    sampled = estimate_flow(source, target, "fast_nsf:patient-8192", options=few)
    all_of_them = estimate_flow(source, target, "fast_nsf:patient", options=few)
    np.testing.assert_array_equal(sampled.flow, all_of_them.flow)
    assert sampled.iterations == 3, "of what the preset leaves open, what was asked for"


def test_a_solver_sees_what_the_static_test_of_rigid_cluster_leaves() -> None:
    """With a threshold of 2 m the box's 0.6 m are matched: nothing is left to solve."""
    for base, solved in ((0.22, True), (2.0, False)):
        flow = override(
            Config(),
            [
                "flow.method=fast_nsf",
                "flow.fast_nsf.iterations=2",
                f"flow.rigid_cluster.match_base={base}",
            ],
        ).flow
        found = detect(scene(), scene(MOVE, seed=1), [], flow, Deadline(), Workspace())
        assert (found.iterations > 0) == solved
