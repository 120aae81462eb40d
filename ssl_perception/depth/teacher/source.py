"""The teacher of ``teacher.source``: the range sensor that is trusted while its gate is open."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.depth.teacher.depth_camera import DepthCamera
from ssl_perception.depth.teacher.lidar import LidarTeacher, camera_from_lidar
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.types import CameraImage, DepthMap, StereoPair


class Teacher(Protocol):
    """What teaches; ``StereoMatcher``, ``DepthCamera`` and ``LidarTeacher`` are ones."""

    def depth(self, frame: StereoPair | CameraImage) -> DepthMap:
        """Depth of what the (left) image shows, with the sensor's verdict on itself.

        Raises:
            InputError: a frame that lacks what this sensor needs.
        """


def make_teacher(config: Config, measured: NDArray[np.float64] | None = None) -> Teacher:
    """A new one, as ``teacher.source`` says.

    Args:
        config: sections ``teacher``, ``stereo``, ``camera_mount`` and ``lidar_mount``.
        measured: (4, 4) the camera's optical axes from the lidar's, as a recording's ``tf_static``
            has it; taken where ``camera_mount`` isn't set.
    """
    if config.teacher.source == "depth":
        return DepthCamera(config.teacher.depth)
    if config.teacher.source == "lidar":
        mount = camera_from_lidar(config.camera_mount, config.lidar_mount)
        return LidarTeacher(config.teacher.lidar, measured if mount is None else mount)
    return StereoMatcher(config.stereo)
