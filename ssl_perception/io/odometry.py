"""nav_msgs/Odometry to ``Odometry``. Nothing here imports ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.errors import InputError
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.types import Odometry


def decode(message: Any) -> Odometry:
    """The pose in a message (rclpy's or rosbags').

    Raises:
        InputError: NaN or infinite numbers, or a quaternion that isn't one.
    """
    p, q = message.pose.pose.position, message.pose.pose.orientation
    world_from_body = rigid_transform((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))
    stamp = stamp_ns(message.header.stamp) * 1e-9
    return Odometry(world_from_body, stamp, message.header.frame_id, message.child_frame_id)


def rigid_transform(
    quaternion: tuple[float, float, float, float], translation: tuple[float, float, float]
) -> NDArray[np.float64]:
    """(4, 4) from a quaternion in the order x y z w and a translation in metres.

    Raises:
        InputError: NaN or infinite numbers, or a quaternion whose norm is not 1 (within 1 %).
    """
    if not np.isfinite((*quaternion, *translation)).all():
        raise InputError("pose has NaN or infinite numbers")
    norm = float(np.linalg.norm(quaternion))
    if abs(norm - 1.0) > 0.01:
        raise InputError(f"pose's quaternion has norm {norm:g} instead of 1")
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    transform[:3, 3] = translation
    return transform
