"""Depth and obstacle figures, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl_perception.evaluation import depth_metrics as metrics
from ssl_perception.evaluation.obstacle_metrics import auc, rates

DEPTH = np.array([1.0, 2.2, 5.0, 30.0], np.float32)
TRUTH = np.array([1.0, 2.0, 4.0, 10.0], np.float32)


def test_depth_worked_by_hand() -> None:
    assert metrics.absolute_relative(DEPTH, TRUTH) == pytest.approx((0 + 0.1 + 0.25 + 2.0) / 4)
    assert metrics.squared_relative(DEPTH, TRUTH) == pytest.approx(
        (0 + 0.04 / 2 + 1 / 4 + 400 / 10) / 4
    )
    assert metrics.rmse(DEPTH, TRUTH) == pytest.approx(math.sqrt((0.04 + 1 + 400) / 4))
    logs = np.log([1.0, 1.1, 1.25, 3.0])
    assert metrics.rmse_log(DEPTH, TRUTH) == pytest.approx(math.sqrt((logs**2).mean()))
    assert metrics.within(DEPTH, TRUTH, 1.25) == 0.5, "1.25 itself is outside"
    assert metrics.within(DEPTH, TRUTH, 1.25**2) == 0.75
    assert metrics.within(TRUTH, DEPTH, 1.25**2) == 0.75, "either way round"


def test_disparities_worked_by_hand() -> None:
    truth = np.array([10.0, 10.0, 100.0, 100.0], np.float32)
    said = np.array([12.9, 13.1, 104.0, 106.0], np.float32)
    assert metrics.bad(said, truth, 3.0) == 0.75
    assert metrics.bad(said, truth, 3.0, 0.05) == 0.5, "4 px of 100 are within 5 %"


def test_what_has_no_pixels_is_undefined_not_zero() -> None:
    none = np.zeros(0, np.float32)
    for figure in (metrics.absolute_relative, metrics.squared_relative, metrics.rmse):
        assert math.isnan(figure(none, none))
    assert math.isnan(metrics.bad(none, none, 1.0))


def test_rates_worked_by_hand() -> None:
    said = np.array([True, True, False, True, False])
    near = np.array([True, True, True, False, False])
    found = rates(said, near)
    assert found.tpr == pytest.approx(2 / 3)
    assert found.fpr == pytest.approx(1 / 2)
    assert math.isnan(rates(said, np.zeros(5, bool)).tpr)
    assert math.isnan(rates(said, np.ones(5, bool)).fpr)


def test_area_under_the_curve() -> None:
    near = np.array([True, True, False, False])
    assert auc(np.array([0.5, 1.0, 2.0, np.inf]), near) == 1.0
    assert auc(np.array([2.0, np.inf, 0.5, 1.0]), near) == 0.0
    assert auc(np.ones(4), near) == 0.5, "ties are chance"
    assert auc(np.array([0.5, 2.0, 1.0, 3.0]), near) == 0.75
    assert math.isnan(auc(np.ones(4), np.ones(4, bool)))


def test_area_is_the_mean_over_thresholds() -> None:
    rng = np.random.default_rng(0)
    near = rng.random(400) < 0.3
    distance = np.where(near, rng.normal(1.0, 0.5, 400), rng.normal(1.6, 0.5, 400)).round(1)
    thresholds = np.append(np.unique(distance), np.inf)
    curve = np.array([rates(distance < t, near) for t in thresholds])
    assert auc(distance, near) == pytest.approx(np.trapezoid(curve[:, 0], curve[:, 1]))
