"""All of perception: scene flow from a lidar, depth and obstacle distance from a stereo camera,
and one eye that learns from two.

ros2 launch ssl_perception_ros perception.launch.py points:=/ouster/points
ros2 launch ssl_perception_ros perception.launch.py bag:=my_bag.mcap use_sim_time:=true
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from ssl_perception_ros import transport

PACKAGE = "ssl_perception_ros"

ARGUMENTS = {
    "namespace": ("", "namespace of all nodes"),
    "config": ("", "YAML file with parameters under /** (empty: the package's own)"),
    "method": ("rigid_cluster", "scene flow solver"),
    "use_sim_time": ("false", "take the time from /clock"),
    "lidar": ("true", "run scene_flow"),
    "stereo": ("true", "run stereo_depth and obstacle_distance"),
    "mono": ("true", "run mono_depth and depth_learner as well: one eye learns from two"),
    "store": ("", "folder of what the student learns (empty: ssl_perception in ~/.ros)"),
    "points": ("points", "topic of the lidar's PointCloud2"),
    "odom": ("odom", "topic of odometry, optional"),
    "left": ("left", "prefix of the left camera's image_rect and camera_info"),
    "right": ("right", "prefix of the right camera's image_rect and camera_info"),
    "bag": ("", "recording to play; the launch ends with it"),
}


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory(PACKAGE))
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    default_config = str(share / "config" / "perception.yaml")
    config = PythonExpression(["'", given["config"], "' or '", default_config, "'"])
    sim_time = {"use_sim_time": ParameterValue(given["use_sim_time"], value_type=bool)}
    method = {"flow.method": ParameterValue(given["method"], value_type=str)}

    def node(executable: str, condition: IfCondition, remaps: dict, *extra: dict) -> Node:
        return Node(
            package=PACKAGE,
            executable=executable,
            name=executable,
            namespace=given["namespace"],
            parameters=[config, sim_time, *extra],
            remappings=list(remaps.items()),
            condition=condition,
            output="screen",
        )

    cameras = {
        f"{side}/{topic}": [given[side], f"/{topic}"]
        for side in ("left", "right")
        for topic in ("image_rect", "camera_info")
    }
    stereo = IfCondition(given["stereo"])
    mono = IfCondition(
        PythonExpression(["'", given["stereo"], "' == 'true' and '", given["mono"], "' == 'true'"])
    )
    store = {"store": ParameterValue(given["store"], value_type=str)}
    eye = {name: there for name, there in cameras.items() if name.startswith("left/")}
    plays = IfCondition(PythonExpression(["'", given["bag"], "' != ''"]))
    clock = PythonExpression(["100.0 if '", given["use_sim_time"], "' == 'true' else 0.0"])
    player = Node(
        package=PACKAGE,
        executable="bag_player",
        name="bag_player",
        parameters=[
            {
                "bag": ParameterValue(given["bag"], value_type=str),
                "clock": ParameterValue(clock, value_type=float),
                "wait": 120.0,
            }
        ],
        condition=plays,
        output="screen",
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            # Without it sweeps larger than about 1 MB are lost; drivers need it as well.
            *(
                SetEnvironmentVariable(name, value)
                for name, value in transport.environment(os.environ).items()
            ),
            node(
                "scene_flow",
                IfCondition(given["lidar"]),
                {"points": given["points"], "odom": given["odom"]},
                method,
            ),
            node("stereo_depth", stereo, cameras),
            node("mono_depth", mono, eye, store),
            node("depth_learner", mono, eye, store),
            node("obstacle_distance", stereo, {}),
            player,
            RegisterEventHandler(
                OnProcessExit(
                    target_action=player,
                    on_exit=[EmitEvent(event=Shutdown(reason="the bag has ended"))],
                )
            ),
        ]
    )
