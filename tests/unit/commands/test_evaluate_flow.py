"""What each method is given where the true flow includes the ego motion."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.commands import evaluate_flow
from ssl_perception.config import Config
from ssl_perception.datasets import FlowSample
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

EGO = np.array([0.5, 0.0, 0.0], np.float32)


@pytest.mark.parametrize(
    ("method", "published"),
    [
        ("nsfp:kitti", True),
        ("fast_nsf", True),
        ("scoop:kitti", True),
        ("scoop", True),
        ("rigid_cluster", False),
        ("neural_prior", False),
    ],
)
def test_published_methods_get_the_clouds_as_they_are(
    method: str, published: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = np.random.default_rng(0).uniform(-9, 9, (60, 3)).astype(np.float32)
    clouds = (PointCloud(points, stamp=0.0), PointCloud(points + EGO, stamp=0.1))
    truth: FloatArray = np.tile(EGO, (60, 1))
    sample = FlowSample("a", *clouds, truth, np.ones(60, bool), ego_compensated=False)
    seen: list[FloatArray] = []

    def solver(source: PointCloud, target: PointCloud, *_: object, **__: object) -> SceneFlow:
        seen.append(source.points)
        sure = np.ones(60, np.float32)
        return SceneFlow(target.points - source.points, sure > 0, sure, 0.1)

    monkeypatch.setattr(evaluate_flow, "estimate_flow", solver)
    monkeypatch.setattr(
        evaluate_flow, "_compensated", lambda s, _: PointCloud(s.source.points + EGO, stamp=0.0)
    )
    answer, _ = evaluate_flow._answer(sample, method, Config(), 0)
    assert np.array_equal(seen[0], points) == published
    np.testing.assert_allclose(answer.flow, truth, atol=1e-5)
