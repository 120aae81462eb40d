"""Real sweeps: ego motion against the reference, a parked scene, a street with traffic."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.io.open_log import open_log
from ssl_perception.types import PointCloud


@pytest.mark.parametrize("name", ["lidar_seq_kitti_city", "lidar_seq_kitti_road"])
def test_ego_motion_within_2_cm_and_a_tenth_of_a_degree(name: str, data: Path) -> None:
    reference = json.loads((data / name / "ego_estimated.json").read_text())["next_from_this"]
    online = OnlineFlow()
    checked = 0
    for k, recorded in enumerate(open_log(data / name)):
        assert isinstance(recorded.value, PointCloud)
        motion = online.process(recorded.value).current_from_previous
        if k == 0:
            continue
        assert motion is not None
        truth = np.array(reference[k - 1])
        assert np.linalg.norm(motion[:3, 3] - truth[:3, 3]) <= 0.02, f"sweep {k}"
        off = Rotation.from_matrix(truth[:3, :3].T @ motion[:3, :3]).magnitude()
        assert np.degrees(off) <= 0.1, f"sweep {k}"
        checked += 1
    assert checked >= 7


def test_nothing_moves_in_a_parked_scene(data: Path) -> None:
    online = OnlineFlow()
    for recorded in open_log(data / "lidar_vlp16_rosbag"):
        assert isinstance(recorded.value, PointCloud)
        result = online.process(recorded.value)
        assert not result.flow.moving.any()
        assert not result.objects


def test_the_van_that_passes_is_seen(data: Path) -> None:
    """Sweep 9 of the city: a van beside the robot comes towards it along the street."""
    online = OnlineFlow()
    for recorded in open_log(data / "lidar_seq_kitti_city"):
        assert isinstance(recorded.value, PointCloud)
        result = online.process(recorded.value)
    points = result.cloud.points
    beside = (np.abs(points[:, 0]) < 4) & (points[:, 1] > 1) & (points[:, 1] < 3.5)
    mine = beside & result.flow.moving
    assert mine.sum() > 2000
    velocity = np.median(result.flow.velocity[mine], axis=0)
    assert velocity[0] < -4.0
    assert abs(velocity[1]) < 1.0
