"""The prior on moving clusters alone: statics untouched, what bends is bent, time is kept."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np

from ssl_perception.config import Config, FlowConfig, NeuralPriorConfig, override
from ssl_perception.datasets import open_flow
from ssl_perception.evaluation.flow_metrics import score
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.detection import detect
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.flow.solvers.neural_prior import deform
from ssl_perception.io.open_log import open_log
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import PointCloud, SceneFlow

STEP = np.array([0.14, 0.0, 0.0], np.float32)  # of a walker in 0.1 s


def walker() -> tuple[PointCloud, PointCloud, np.ndarray, SceneFlow]:
    """A trunk and two legs that swing against each other, and a wall; and the rigid answer."""
    rng = np.random.default_rng(0)
    wall = rng.uniform((-5, 6.0, 0), (5, 6.02, 2.5), (800, 3))
    trunk = rng.uniform((-0.15, -0.25, 0.8), (0.15, 0.25, 1.8), (300, 3))
    legs = rng.uniform((-0.1, 0.02, 0.0), (0.1, 0.2, 0.8), (200, 3))
    legs[100:, 1] *= -1.0
    body = np.vstack([trunk, legs]) + np.array([3.0, 0.0, 0.1])
    swing = np.zeros((500, 3), np.float32)
    swing[300:400, 0] = 0.1 * (0.8 - legs[:100, 2]) / 0.8
    swing[400:, 0] = -0.1 * (0.8 - legs[100:, 2]) / 0.8
    truth = np.vstack([np.zeros((800, 3), np.float32), STEP + swing])
    points = np.vstack([wall, body]).astype(np.float32)
    moving = np.r_[np.zeros(800, bool), np.ones(500, bool)]
    rigid = SceneFlow(
        np.where(moving[:, None], STEP, np.float32(0.0)), moving, np.ones(1300, np.float32), 0.1
    )
    target = PointCloud(points + truth, stamp=0.1)
    return PointCloud(points, stamp=0.0), target, truth, rigid


def test_legs_that_swing_are_bent_and_walls_are_not() -> None:
    source, target, truth, rigid = walker()
    loose = NeuralPriorConfig(stiffness=0.3, iterations=150, learning_rate=8e-3)
    bent = deform(source, target, rigid, loose, Deadline(None), seed=0)
    assert not bent.flow[:800].any(), "static is exactly zero"
    legs = slice(1100, 1300)
    before = np.linalg.norm(rigid.flow[legs] - truth[legs], axis=1).mean()
    after = np.linalg.norm(bent.flow[legs] - truth[legs], axis=1).mean()
    assert after < 0.7 * before, (before, after)


def test_a_rigid_thing_stays_rigid() -> None:
    source, _, _, rigid = walker()
    stiff = PointCloud(source.points + rigid.flow, stamp=0.1)
    bent = deform(source, stiff, rigid, NeuralPriorConfig(), Deadline(None), seed=0)
    np.testing.assert_array_equal(bent.flow, rigid.flow)


def test_on_a_real_pair(data: Path) -> None:
    pair = open_flow("pair", data / "lidar_flow_av2_7fab2350")[0]
    found = score(pair, estimate_flow(pair.source, pair.target, "neural_prior"))
    assert found["epe_three_way"] <= 0.025  # seen: 0.0206; asked: 0.05
    assert found["epe_static_background"] <= 0.003


def test_time_that_runs_out_leaves_the_rigid_motion(data: Path) -> None:
    pair = open_flow("pair", data / "lidar_flow_av2_7fab2350")[0]
    slow = NeuralPriorConfig(iterations=100_000, patience=10_000)
    start = time.perf_counter()
    answer = estimate_flow(pair.source, pair.target, "neural_prior", 1.0, options=slow)
    assert time.perf_counter() - start < 1.5
    assert not answer.converged
    assert score(pair, answer)["epe_three_way"] < 0.05


def test_raw_sweeps_go_through_it(data: Path) -> None:
    config = Config(
        flow=FlowConfig(method="neural_prior", neural_prior=NeuralPriorConfig(iterations=5))
    )
    online = OnlineFlow(config)
    results = []
    for recorded in itertools.islice(open_log(data / "lidar_seq_kitti_city"), 4):
        assert isinstance(recorded.value, PointCloud)
        results.append(online.process(recorded.value))
    assert any(result.flow.moving.any() for result in results[2:])


def test_the_rigid_motion_goes_by_the_settings_of_rigid_cluster() -> None:
    """With one pair and online; the walker is 3 m off, beyond a range of 2 m."""
    source, target, _, _ = walker()
    for max_range, moves in ((50.0, True), (2.0, False)):
        flow = override(
            Config(), ["flow.method=neural_prior", f"flow.rigid_cluster.max_range={max_range}"]
        ).flow
        found = estimate_flow(source, target, "neural_prior", options=flow)
        assert found.moving[800:].any() == moves
        detected = detect(source, target, [], flow, Deadline(), Workspace())
        assert bool(detected.clusters) == moves
