"""Several nodes in one process and one executor; they pass messages to each other as they are.

    ros2 run ssl_perception_ros component_container scene_flow stereo_depth obstacle_distance

Each node keeps its name, parameters, lifecycle services and diagnostics. What can't be configured
ends the process with one line and exit code 2, whichever node it is.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module

from rclpy.utilities import remove_ros_args

from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run_together

COMPONENTS = {
    "scene_flow": "SceneFlowNode",
    "stereo_depth": "StereoDepthNode",
    "depth_teacher": "DepthTeacherNode",
    "mono_depth": "MonoDepthNode",
    "depth_learner": "DepthLearnerNode",
    "obstacle_distance": "ObstacleDistanceNode",
    "avoid": "AvoidNode",
}


def create(name: str) -> PerceptionNode:
    """The node of this name."""
    module = import_module(f"ssl_perception_ros.{name}")
    node: PerceptionNode = getattr(module, COMPONENTS[name])()
    return node


def main() -> int:
    names = remove_ros_args(sys.argv)[1:]
    unknown = [name for name in names if name not in COMPONENTS]
    if unknown or not names:
        given = repr(unknown[0]) if unknown else "nothing"
        print(f"error: {given} given; nodes are {', '.join(COMPONENTS)}", file=sys.stderr)
        return 2
    return run_together([partial(create, name) for name in dict.fromkeys(names)])


if __name__ == "__main__":
    raise SystemExit(main())
