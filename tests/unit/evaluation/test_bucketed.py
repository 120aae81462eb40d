"""The challenge's bucket-normalised error: worked by hand, and against the challenge's own code."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.evaluation.bucketed import Buckets, classes
from ssl_perception.types import PointCloud, SceneFlow

NAMES = ("NONE", "REGULAR_VEHICLE", "PEDESTRIAN", "STOP_SIGN")
# background, car standing, at 5, 5.1, 10 m/s, walker, sign, far car
LENGTH = np.array([0.0, 0.01, 0.50, 0.51, 1.00, 0.12, 0.0, 0.5])
ERROR = np.array([0.02, 0.03, 0.10, 0.20, 0.10, 0.06, 9.0, 9.0])
CATEGORY = np.array([0, 1, 1, 1, 1, 2, 3, 1], np.uint8)


def sample() -> FlowSample:
    points = np.zeros((8, 3), np.float32)
    points[7, 1] = -36.0
    truth = np.c_[LENGTH, np.zeros(8), np.zeros(8)].astype(np.float32)
    cloud = PointCloud(points, stamp=0.0)
    target = PointCloud(points, stamp=0.1)
    return FlowSample(
        "hand", cloud, target, truth, np.ones(8, bool), category=CATEGORY, category_names=NAMES
    )


def answer(of: FlowSample) -> SceneFlow:
    assert of.flow is not None
    wrong = of.flow + np.c_[np.zeros(8), ERROR, np.zeros(8)].astype(np.float32)
    return SceneFlow(wrong, np.zeros(8, bool), np.ones(8, np.float32), of.interval)


def zero(of: FlowSample) -> SceneFlow:
    n = len(of.source)
    ones = np.ones(n, np.float32)
    return SceneFlow(np.zeros((n, 3), np.float32), np.zeros(n, bool), ones, of.interval)


def test_worked_by_hand() -> None:
    pair = sample()
    errors = Buckets.of(pair, answer(pair)).errors()
    assert errors.keys() == {"BACKGROUND", "CAR", "PEDESTRIAN"}, "signs don't count"
    assert errors["BACKGROUND"][0] == pytest.approx(0.02)
    assert math.isnan(errors["BACKGROUND"][1])
    static, dynamic, points = errors["CAR"]
    assert points == 4, "nor what is farther than 35 m"
    assert static == pytest.approx(0.03)
    # 0.50 and 0.51 m share a bucket: mean error 0.15 of mean length 0.505; and 0.1 of 1.0
    assert dynamic == pytest.approx((0.15 / 0.505 + 0.10) / 2, rel=1e-5)
    assert errors["PEDESTRIAN"][1] == pytest.approx(0.5, rel=1e-5)
    static, dynamic = Buckets.of(pair, answer(pair)).means()
    assert static == pytest.approx((0.02 + 0.03) / 2)
    assert dynamic == pytest.approx(((0.15 / 0.505 + 0.10) / 2 + 0.5) / 2, rel=1e-5)


def test_no_motion_is_one_whatever_moves() -> None:
    pair = sample()
    for _, dynamic, _ in Buckets.of(pair, zero(pair)).errors().values():
        assert math.isnan(dynamic) or dynamic == pytest.approx(1.0)


def test_pairs_add_up_by_points_and_survive_json() -> None:
    pair = sample()
    one = Buckets.of(pair, answer(pair))
    three = Buckets.total([one, Buckets.from_plain(one.plain()), Buckets.of(pair, zero(pair))])
    np.testing.assert_allclose(three.sums, 2 * one.sums + Buckets.of(pair, zero(pair)).sums)
    for bad in ([[0, 99, 1, 1, 1]], [[0, -1, 1, 1, 1]], [[0, 0, 1, 1]], 3, [[0, 0, "x", 1, 1]]):
        with pytest.raises((TypeError, ValueError, IndexError)):
            Buckets.from_plain(bad)


def test_without_names_there_is_foreground_and_background() -> None:
    pair = sample()
    bare = FlowSample(
        "bare", pair.source, pair.target, pair.flow, pair.valid, foreground=CATEGORY != 0
    )
    assert set(classes(bare)) == {0, 1}
    assert Buckets.of(bare, zero(bare)).errors().keys() == {"BACKGROUND", "FOREGROUND"}


def test_the_challenges_own_code_says_the_same(data: Path, tmp_path: Path) -> None:
    # it pulls half a gigabyte (open3d, plotly): not among what is installed for tests
    theirs = pytest.importorskip("bucketed_scene_flow_eval.eval.bucketed_epe", exc_type=ImportError)
    lists = pytest.importorskip("bucketed_scene_flow_eval.datasets.argoverse2.av2_metacategories")
    clouds = pytest.importorskip("bucketed_scene_flow_eval.datastructures")
    pair = open_flow("pair", data / "lidar_flow_av2_7fab2350")[0]
    rng = np.random.default_rng(0)
    assert pair.flow is not None
    wrong = (pair.flow * 0.8 + rng.normal(0, 0.05, pair.flow.shape)).astype(np.float32)
    n = len(pair.source)
    flow = SceneFlow(wrong, np.zeros(n, bool), np.ones(n, np.float32), 0.1)
    ours = Buckets.of(pair, flow).errors()
    names = {k: name if k else "BACKGROUND" for k, name in enumerate(pair.category_names)}
    evaluator = theirs.BucketedEPEEvaluator(
        names, output_path=tmp_path, meta_class_lookup=lists.BUCKETED_METACATAGORIES
    )
    assert pair.category is not None
    evaluator.eval_frame_results.append(
        evaluator._build_eval_frame_results(
            clouds.PointCloud(pair.source.points), pair.category, pair.flow, wrong
        )
    )
    for name, (static, dynamic) in evaluator.compute_results(save_results=False).items():
        if name not in ours:
            assert math.isnan(static)
            continue
        np.testing.assert_allclose(ours[name][:2], (static, dynamic), rtol=1e-5)
