"""Scene flow alone: a lidar in; motion of every point, moving objects and time to collision out.

ros2 launch ssl_perception_ros flow.launch.py points:=/ouster/points
ros2 launch ssl_perception_ros flow.launch.py points:=/velodyne_points bag:=my_bag.mcap
"""

from launch import LaunchDescription

from ssl_perception_ros.launch_description import describe
from ssl_perception_ros.node_plan import FLOW, flow


def generate_launch_description() -> LaunchDescription:
    return describe(FLOW, flow)
