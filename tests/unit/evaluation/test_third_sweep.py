"""The third-sweep test on made-up drives: posts that stand, boxes and people that move."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.evaluation.third_sweep import FIRST_JUDGED, ThirdSweepTest
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

PERIOD = 0.1


def result(stamp: float, points: FloatArray, speed: float = 0.0) -> SweepFlow:
    """A sweep whose points are all said to move along x; speed 0: to stand."""
    n = len(points)
    flow = np.zeros((n, 3), np.float32)
    flow[:, 0] = -PERIOD * speed
    moving = np.full(n, speed != 0.0)
    scene_flow = SceneFlow(flow, moving, np.ones(n, np.float32), -PERIOD)
    cloud = PointCloud(points, stamp=stamp)
    return SweepFlow(cloud, scene_flow, np.zeros(n, bool), np.eye(4), [], {})


def verdicts(things: list[FloatArray], speeds: list[float], claim: float) -> dict[int, bool]:
    """By number of points, whether things that move so fast are confirmed; ``claim`` m/s is said
    of all of them in one sweep."""
    test = ThirdSweepTest()
    for k in range(-FIRST_JUDGED, 7):
        points = np.concatenate(
            [
                thing + np.array([PERIOD * k * speed, 0, 0], np.float32)
                for thing, speed in zip(things, speeds, strict=True)
            ]
        )
        test.add(result(PERIOD * k, points, claim if k == 0 else 0.0))
    return {verdict.points: verdict.confirmed for verdict in test.verdicts}


def thing(at: tuple[float, float], size: tuple[float, float, float], points: int) -> FloatArray:
    rng = np.random.default_rng(points)
    where = np.array([at[0], at[1], 0.0])
    return (rng.uniform((0, 0, 0), size, (points, 3)) + where).astype(np.float32)


def test_a_post_is_not_confirmed_a_box_is() -> None:
    post, box = thing((10, 0), (0.2, 0.2, 2), 200), thing((5, 5), (2, 1, 1.5), 400)
    assert verdicts([post, box], [0.0, 5.0], 5.0) == {200: False, 400: True}


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.4])
def test_slow_ones_are_judged_when_they_have_got_on(speed: float) -> None:
    post, person = thing((10, 0), (0.2, 0.2, 1.7), 60), thing((5, 5), (0.3, 0.5, 1.7), 80)
    assert verdicts([post, person], [0.0, speed], speed) == {60: False, 80: True}


def test_a_reset_leaves_nothing_to_judge() -> None:
    test = ThirdSweepTest()
    box = thing((5, 5), (2, 1, 1.5), 400)
    for k in range(4):
        test.add(result(PERIOD * k, box, 0.5))
    assert test.verdicts == []
    lost = result(0.4, box)
    test.add(SweepFlow(lost.cloud, lost.flow, lost.ground, None, [], {}, reset="gap"))
    for k in range(5, 12):
        test.add(result(PERIOD * k, box))
    assert test.verdicts == []
