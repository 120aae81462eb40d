"""Depth alone: a stereo camera in; depth, obstacle distance, and a student that learns to do it on
one eye, out.

ros2 launch ssl_perception_ros depth.launch.py left:=/camera/left right:=/camera/right
ros2 launch ssl_perception_ros depth.launch.py mono:=false
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

ARGUMENTS = {
    "namespace": ("", "namespace of all nodes"),
    "config": ("", "YAML file with parameters under /** (empty: the package's own)"),
    "use_sim_time": ("false", "take the time from /clock"),
    "left": ("left", "prefix of the left camera's image_rect and camera_info"),
    "right": ("right", "prefix of the right camera's image_rect and camera_info"),
    "mono": ("true", "run mono_depth and depth_learner as well: one eye learns from two"),
    "store": ("", "folder of what the student learns (empty: ssl_perception in ~/.ros)"),
    "bag": ("", "recording to play; the launch ends with it"),
}


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("ssl_perception_ros"))
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(share / "launch" / "perception.launch.py")),
                launch_arguments={**given, "lidar": "false"}.items(),
            ),
        ]
    )
