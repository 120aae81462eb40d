"""All of perception: scene flow from a lidar, depth and obstacle distance from a stereo camera, and
monocular depth learnt from stereo.

ros2 launch ssl_perception_ros perception.launch.py points:=/ouster/points
ros2 launch ssl_perception_ros perception.launch.py bag:=my_bag.mcap use_sim_time:=true
"""

from launch import LaunchDescription

from ssl_perception_ros.launch_description import describe
from ssl_perception_ros.node_plan import PERCEPTION, perception


def generate_launch_description() -> LaunchDescription:
    return describe(PERCEPTION, perception)
