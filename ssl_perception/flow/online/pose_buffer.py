"""The robot's pose at any stamp, from the odometry messages around it."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ssl_perception.config import CameraMountConfig, LidarMountConfig
from ssl_perception.types import Odometry

MAX_EXTRAPOLATION = 0.1  # s: odometry that stopped is not a pose
KEPT = 1000  # messages: ten seconds at 100 Hz


def body_from_sensor(mount: LidarMountConfig | CameraMountConfig) -> NDArray[np.float64]:
    """(4, 4) where a sensor sits on the body, in axes of REP 103 (x ahead, y left, z up)."""
    pose = np.eye(4)
    pose[:3, 3] = mount.x, mount.y, mount.z
    angles = (mount.yaw, mount.pitch, mount.roll)
    pose[:3, :3] = Rotation.from_euler("ZYX", angles).as_matrix()
    return pose


class PoseBuffer:
    """The last odometry messages, in time order; asked for the lidar's pose in between."""

    def __init__(self, mount: LidarMountConfig) -> None:
        self._messages: deque[Odometry] = deque(maxlen=KEPT)
        self._body_from_lidar = body_from_sensor(mount)

    def add(self, odometry: Odometry) -> None:
        """Take a message; one older than the newest means that the clock went back: start anew."""
        if self._messages and odometry.stamp <= self._messages[-1].stamp:
            self._messages.clear()
        self._messages.append(odometry)

    def pose(self, stamp: float) -> NDArray[np.float64] | None:
        """``world_from_lidar`` (4, 4) at ``stamp``, interpolated; None when it isn't covered.

        Beyond the newest message it is carried on at constant velocity, for 0.1 s at most.
        """
        messages = self._messages
        if len(messages) < 2 or stamp < messages[0].stamp:
            return None
        if stamp > messages[-1].stamp + MAX_EXTRAPOLATION:
            return None
        later = len(messages) - 1
        while later > 1 and messages[later - 1].stamp >= stamp:
            later -= 1
        before, after = messages[later - 1], messages[later]
        share = (stamp - before.stamp) / (after.stamp - before.stamp)
        pose = np.eye(4)
        a, b = before.world_from_body, after.world_from_body
        pose[:3, 3] = a[:3, 3] + share * (b[:3, 3] - a[:3, 3])
        if share <= 1.0:
            rotations = Rotation.from_matrix(np.stack([a[:3, :3], b[:3, :3]]))
            pose[:3, :3] = Slerp([0.0, 1.0], rotations)(share).as_matrix()
        else:
            step = Rotation.from_matrix(a[:3, :3].T @ b[:3, :3]).as_rotvec()
            pose[:3, :3] = a[:3, :3] @ Rotation.from_rotvec(share * step).as_matrix()
        return pose @ self._body_from_lidar
