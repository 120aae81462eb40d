"""Where the sensors sit, as TF has it: what settings leave open, node by node.

Needs ``tf2_msgs``, which a ROS 2 from wheels lacks; without it the settings alone count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.io import extrinsics
from ssl_perception.io.static_transforms import StaticTransforms
from ssl_perception_ros.messages import message_type
from ssl_perception_ros.node import PerceptionNode

TF_STATIC = "/tf_static"  # absolute, as tf2_ros has it
DEPTH = 100  # of each publisher


class Transforms:
    """Listens to ``/tf_static`` while its node is active.

    Args:
        node: that it belongs to, active.
        base: the robot's frame.
    """

    def __init__(self, node: PerceptionNode, base: str) -> None:
        self.tree = StaticTransforms()
        self._base = base
        self._node = node
        self._asked: tuple[int, Config, str, str] | None = None
        self._config = node.config
        kind = message_type("tf2_msgs/msg/TFMessage")
        if kind is not None:
            node.subscribe(kind, TF_STATIC, self.tree.add, DEPTH, latched=True)

    def complete(self, config: Config, lidar: str = "", camera: str = "") -> Config:
        """See ``extrinsics.complete``; the same object while nothing new is heard.

        What can't be used is logged, and the settings stay as they were.
        """
        asked = (self.tree.messages, config, lidar, camera)
        if asked != self._asked:
            self._asked = asked
            try:
                completed = extrinsics.complete(config, self.tree, self._base, lidar, camera)
            except InputError as error:
                self._node.complain(str(error))
                completed = config
            if completed != self._config:
                self._config = completed
        return self._config

    def level_camera(self, camera: str) -> NDArray[np.float64] | None:
        """(4, 4) the robot's frame from the level one at the camera; None: not known."""
        return extrinsics.level_camera(self.tree, self._base, camera)
