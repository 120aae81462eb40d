"""Depth alone: stereo in; depth, obstacle distance, and monocular depth learnt from stereo, out.

ros2 launch ssl_perception_ros depth.launch.py left:=/camera/left right:=/camera/right
ros2 launch ssl_perception_ros depth.launch.py mono:=false preset:=drone
"""

from launch import LaunchDescription

from ssl_perception_ros.launch_description import describe
from ssl_perception_ros.node_plan import DEPTH, depth


def generate_launch_description() -> LaunchDescription:
    return describe(DEPTH, depth)
