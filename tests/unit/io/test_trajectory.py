"""The path of the lidar: chained, measured, written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rosbags.rosbag2 import Reader

from ssl_perception.io.bag_log import typestore
from ssl_perception.io.output import OutputBag
from ssl_perception.io.trajectory import Trajectory, write_path


def quarter_circle() -> Trajectory:
    """1 m ahead and a left turn by 90 degrees a step: back at the start after four."""
    forward = np.array([[0.0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    path = Trajectory()
    for k in range(5):
        step = None if k == 0 else np.linalg.inv(forward)
        path.add(1_700_000_000_000_000_001 + k * 10**8, "lidar", step)
    return path


def test_steps_are_chained() -> None:
    path = quarter_circle()
    positions = np.array([pose[:3, 3] for pose in path.poses])
    np.testing.assert_allclose(
        positions, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], atol=1e-12
    )
    assert path.metres == 4.0 and path.unknown == 0


def test_a_step_that_is_not_known_is_counted() -> None:
    path = quarter_circle()
    path.add(1_700_000_001_000_000_000, "lidar", None)
    np.testing.assert_array_equal(path.poses[-1], path.poses[-2])
    assert path.unknown == 1


def test_files_of_tum_and_kitti(tmp_path: Path) -> None:
    path = quarter_circle()
    path.save(tmp_path / "a.txt")
    path.save(tmp_path / "a.kitti")
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert lines[1].startswith("1700000000.100000001 ")
    x, y, z, *quaternion = map(float, lines[1].split()[1:])
    assert np.allclose((x, y, z), (1, 0, 0), atol=1e-8)
    assert np.allclose(quaternion, [0, 0, 0.5**0.5, 0.5**0.5], atol=1e-8)
    rows = np.loadtxt(tmp_path / "a.kitti")
    assert rows.shape == (5, 12)
    np.testing.assert_allclose(rows[2].reshape(3, 4), path.poses[2][:3], atol=1e-8)


def test_the_path_in_a_bag(tmp_path: Path) -> None:
    path = quarter_circle()
    with OutputBag(tmp_path / "o.mcap") as bag:
        write_path(bag, path)
    with Reader(tmp_path / "o.mcap") as reader:
        ((connection, stamp, raw),) = reader.messages()
        message = typestore().deserialize_cdr(raw, connection.msgtype)
    assert connection.topic == "/trajectory" and stamp == path.stamps[-1]
    assert message.header.frame_id == "odom" and len(message.poses) == 5
    assert message.poses[2].pose.position.y == 1.0
