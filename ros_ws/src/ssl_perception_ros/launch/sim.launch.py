"""A simulated world instead of a robot: sensors, perception, and a vehicle that avoids obstacles.

ros2 launch ssl_perception_ros sim.launch.py
ros2 launch ssl_perception_ros sim.launch.py seed:=3 seconds:=600.0 rate:=0.0 lockstep:=true
ros2 launch ssl_perception_ros sim.launch.py world:=street
"""

from launch import LaunchDescription

from ssl_perception_ros.launch_description import describe
from ssl_perception_ros.node_plan import SIM, SIM_DEFAULTS, sim


def generate_launch_description() -> LaunchDescription:
    return describe(SIM, sim, SIM_DEFAULTS)
