"""``tf_static``: where a robot's sensors sit, relative to each other. Nothing here imports ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.io.odometry import rigid_transform

Pose = NDArray[np.float64]


class StaticTransforms:
    """Transforms between frames that don't move against each other, as a tree (REP 105).

    Attributes:
        messages: how many were taken; while it stays, so does all that ``between`` says.
    """

    def __init__(self) -> None:
        self.messages = 0
        self._parents: dict[str, tuple[str, Pose]] = {}

    def add(self, message: Any) -> None:
        """Take a tf2_msgs/TFMessage (rclpy's or rosbags'); a frame's newest transform counts.

        Raises:
            InputError: NaN or infinite numbers, or a quaternion that isn't one.
        """
        try:
            for one in message.transforms:
                t, q = one.transform.translation, one.transform.rotation
                pose = rigid_transform((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))
                self._parents[_bare(one.child_frame_id)] = _bare(one.header.frame_id), pose
        finally:  # last: another thread that sees the number must see what came with it
            self.messages += 1

    def between(self, target: str, source: str) -> Pose | None:
        """(4, 4) that maps coordinates of ``source`` to ``target``'s; None: not connected."""
        to_source, to_target = self._ancestors(source), self._ancestors(target)
        for frame, ancestor_from_source in to_source.items():
            if frame in to_target:
                return np.linalg.inv(to_target[frame]) @ ancestor_from_source
        return None

    def _ancestors(self, frame: str) -> dict[str, Pose]:
        """(4, 4) to each ancestor from ``frame``, itself among them, nearest first."""
        frame, pose = _bare(frame), np.eye(4)
        found = {frame: pose}
        while frame in self._parents:
            frame, step = self._parents[frame]
            if frame in found:  # a circle is no tree
                break
            pose = step @ pose
            found[frame] = pose
        return found


def _bare(frame: str) -> str:
    return frame.lstrip("/")
