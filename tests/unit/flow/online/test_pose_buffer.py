import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception.config import LidarMountConfig
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.types import Odometry


def pose(x: float, yaw: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    matrix[0, 3] = x
    return matrix


def drive(mount: LidarMountConfig | None = None) -> PoseBuffer:
    """1 m/s ahead, turning left with 0.5 rad/s, seen at 10 Hz from 100 s to 101 s."""
    buffer = PoseBuffer(mount or LidarMountConfig())
    for k in range(11):
        buffer.add(Odometry(pose(0.1 * k, 0.05 * k), 100.0 + 0.1 * k))
    return buffer


@pytest.mark.parametrize("after", [0.0, 0.03, 0.5, 0.97, 1.0, 1.06])
def test_poses_are_interpolated_and_carried_on_a_little(after: float) -> None:
    found = drive().pose(100.0 + after)
    assert found is not None
    np.testing.assert_allclose(found, pose(after, 0.5 * after), atol=1e-6)


@pytest.mark.parametrize("stamp", [99.9, 101.2])
def test_uncovered_stamps_have_no_pose(stamp: float) -> None:
    assert drive().pose(stamp) is None


def test_one_message_is_not_enough() -> None:
    buffer = PoseBuffer(LidarMountConfig())
    buffer.add(Odometry(np.eye(4), 1.0))
    assert buffer.pose(1.0) is None


def test_a_clock_that_went_back_drops_the_past() -> None:
    buffer = drive()
    buffer.add(Odometry(pose(50.0, 0.0), 10.0))
    buffer.add(Odometry(pose(51.0, 0.0), 10.1))
    assert buffer.pose(100.5) is None
    found = buffer.pose(10.05)
    assert found is not None and found[0, 3] == pytest.approx(50.5)


def test_the_mount_is_where_the_lidar_is() -> None:
    found = drive(LidarMountConfig(x=2.0, z=1.5)).pose(100.0)
    assert found is not None
    np.testing.assert_allclose(found[:3, 3], [2.0, 0.0, 1.5])
