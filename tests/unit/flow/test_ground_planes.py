"""Ground without Patchwork++."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_perception.config import GroundConfig
from ssl_perception.flow.online import ground
from ssl_perception.flow.online.ground_planes import PlaneGround
from ssl_perception.io.sequences import read_packed
from ssl_perception.types import BoolArray, FloatArray

HEIGHT = 1.7


def scene(slope: float) -> tuple[FloatArray, BoolArray]:
    """A plane that climbs ahead, a wall and a car's box on it; and which points are ground."""
    rng = np.random.default_rng(0)
    floor = np.append(rng.uniform(-30, 30, (8000, 2)), np.zeros((8000, 1)), 1)
    wall = rng.uniform((-20, 8.0, 0.4), (20, 8.1, 3), (2000, 3))
    box = rng.uniform((5, -1, 0.3), (9, 1, 1.5), (800, 3))
    points = np.concatenate([floor, wall, box])
    points[:, 2] += slope * points[:, 0] - HEIGHT
    return points.astype(np.float32), np.arange(len(points)) < len(floor)


@pytest.mark.parametrize("slope", [0.0, 0.08])
def test_a_plane_is_ground_and_what_stands_on_it_is_not(slope: float) -> None:
    points, truth = scene(slope)
    found = PlaneGround(GroundConfig(), HEIGHT).find(points)
    far = np.hypot(points[:, 0], points[:, 1]) > GroundConfig().min_range
    assert found[truth & far].mean() > 0.99
    assert not found[~truth].any()


def test_nothing_is_ground_where_there_is_none() -> None:
    points = np.random.default_rng(1).uniform((5, -3, 1), (9, 3, 4), (500, 3)).astype(np.float32)
    assert not PlaneGround(GroundConfig(), HEIGHT).find(points).any()


def test_without_patchwork_the_ground_of_a_real_sweep_is_nearly_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = read_packed(data / "lidar_tracking_kitti/velodyne/0000/000000.npz", 0.0)[0].points
    with_patchwork = ground.GroundSegmenter().segment(points)
    monkeypatch.setattr(ground, "pypatchworkpp", None)
    without = ground.GroundSegmenter().segment(points)
    both, either = (with_patchwork & without).sum(), (with_patchwork | without).sum()
    assert both / either > 0.85
    assert not np.array_equal(with_patchwork, without)
