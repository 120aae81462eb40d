"""Scene flow alone: a lidar in; the motion of every point, what moves, and time to collision, out.

ros2 launch ssl_perception_ros flow.launch.py points:=/ouster/points
ros2 launch ssl_perception_ros flow.launch.py points:=/velodyne_points bag:=my_bag.mcap
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
    "method": ("rigid_cluster", "scene flow solver"),
    "use_sim_time": ("false", "take the time from /clock"),
    "points": ("points", "topic of the lidar's PointCloud2"),
    "odom": ("odom", "topic of odometry, optional"),
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
                launch_arguments={**given, "stereo": "false"}.items(),
            ),
        ]
    )
