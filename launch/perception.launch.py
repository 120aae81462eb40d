"""All of perception: perception.launch.py of the package ssl_perception_ros."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription

SHARE = Path(get_package_share_directory("ssl_perception_ros"))


def generate_launch_description() -> LaunchDescription:
    included = str(SHARE / "launch" / "perception.launch.py")
    return LaunchDescription([IncludeLaunchDescription(included)])
