"""Worked by hand: four points, one per case."""

import math
from typing import Any

import numpy as np
import pytest

from ssl_perception.commands.evaluate_flow import summary
from ssl_perception.datasets import FlowSample
from ssl_perception.evaluation import flow_metrics
from ssl_perception.types import PointCloud, SceneFlow

TRUTH = np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0], [9, 9, 9]], np.float32)
SAID = np.array([[1, 0.08, 0], [0, 0.3, 0.4], [0, 0, 0], [0, 0, 0]], np.float32)


def sample(**change: Any) -> FlowSample:
    values: dict[str, Any] = {
        "name": "hand",
        "source": PointCloud(np.zeros((4, 3), np.float32), stamp=0.0),
        "target": PointCloud(np.zeros((4, 3), np.float32), stamp=0.1),
        "flow": TRUTH,
        "valid": np.array([True, True, True, False]),
        "dynamic": np.array([True, False, False, True]),
        "foreground": np.array([True, True, False, True]),
    }
    return FlowSample(**(values | change))


def answer(moving: tuple[bool, ...] = (True, True, False, True)) -> SceneFlow:
    return SceneFlow(SAID, np.array(moving), np.ones(4, np.float32), 0.1)


def test_worked_by_hand() -> None:
    found = flow_metrics.score(sample(), answer())
    assert found["points"] == 3, "the invalid point doesn't count, however wrong it is"
    assert found["epe"] == pytest.approx((0.08 + 0.5 + 0.0) / 3)
    assert found["epe_dynamic_foreground"] == pytest.approx(0.08)
    assert found["epe_static_foreground"] == pytest.approx(0.5)
    assert found["epe_static_background"] == 0.0
    assert found["epe_three_way"] == pytest.approx((0.08 + 0.5) / 3)
    assert found["acc_strict"] == pytest.approx(1 / 3), "only the one that is right"
    assert found["acc_relax"] == pytest.approx(2 / 3), "8 cm of 1 m is within 10 %"
    assert found["outliers"] == pytest.approx(1 / 3)
    assert found["angle_error"] == pytest.approx(math.atan(0.08), abs=1e-4)
    assert found["dynamic_iou"] == pytest.approx(0.5)


def test_no_motion_is_a_right_angle() -> None:
    assert flow_metrics.angle_error(np.zeros((1, 3), np.float32), TRUTH[:1]) == pytest.approx(
        math.pi / 2
    )


def test_what_has_no_points_is_undefined_not_zero() -> None:
    still = sample(dynamic=np.zeros(4, bool), flow=np.zeros((4, 3), np.float32))
    found = flow_metrics.score(still, answer((False,) * 4))
    assert math.isnan(found["epe_dynamic_foreground"])
    assert math.isnan(found["angle_error"])
    assert math.isnan(found["dynamic_iou"])
    assert found["epe_three_way"] == pytest.approx(0.5 * ((0.5 + np.hypot(1, 0.08)) / 2 + 0.0))


def test_without_classes_all_is_foreground() -> None:
    found = flow_metrics.score(sample(foreground=None), answer())
    assert found["epe_static_foreground"] == pytest.approx(0.25)
    assert math.isnan(found["epe_static_background"])


def test_pairs_count_the_same_and_undefined_ones_not_at_all() -> None:
    first = {**flow_metrics.score(sample(), answer()), "seconds": 1.0, "peak_mb": 700.0}
    first["iterations"] = 40
    costs = {"seconds": 3.0, "peak_mb": 900.0, "iterations": 60}
    second = {**first, "epe": 1.0, "epe_dynamic_foreground": math.nan, **costs}
    both = summary([first, second])
    assert both["epe"] == pytest.approx((first["epe"] + 1.0) / 2)
    assert both["epe_dynamic_foreground"] == pytest.approx(0.08)
    assert both["points"] == 6
    assert both["seconds_median"] == 2.0
    assert both["iterations_median"] == 50
    assert both["peak_mb"] == 900.0
    nothing = summary([{**first, "dynamic_iou": math.nan}])
    assert nothing["dynamic_iou"] is None


def test_where_the_truth_does_not_tell_what_moves_nothing_is_said_about_it() -> None:
    found = flow_metrics.score(sample(dynamic=None, foreground=None), answer())
    for key in (*flow_metrics.PARTS, "epe_three_way", "dynamic_iou"):
        assert math.isnan(found[key])
    assert found["epe"] == pytest.approx((0.08 + 0.5 + 0.0) / 3)
    right_angles = 2 * (math.pi / 2)  # no direction: the points of length 0
    assert found["angle_error"] == pytest.approx((math.atan(0.08) + right_angles) / 3, abs=1e-4)
