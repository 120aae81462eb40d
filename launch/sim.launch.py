"""A simulated world instead of a robot: sensors, perception, and a vehicle that avoids obstacles.

ros2 launch ssl_perception_ros sim.launch.py
ros2 launch ssl_perception_ros sim.launch.py seed:=3 seconds:=600.0 rate:=0.0 lockstep:=true
ros2 launch ssl_perception_ros sim.launch.py world:=street
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PythonExpression
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

PACKAGE = "ssl_perception_ros"

IS_ROOM = ["'", LaunchConfiguration("world"), "' == 'room'"]
IS_STREET = ["'", LaunchConfiguration("world"), "' == 'street'"]

ARGUMENTS = {
    "world": ("room", "room, street, or the path of a .yaml world file"),
    "seed": ("0", "chooses the world and the random turns"),
    "seconds": ("0.0", "of world time; the launch ends with it (0.0: never; a street: 120 s)"),
    "rate": ("1.0", "times real time (0.0: as fast as it can be computed)"),
    "lockstep": ("false", "the world waits for the answer to each stereo pair"),
    "report": ("", ".json file that tells at the end how the flight went"),
    "config": ("", "YAML file with parameters under /** (empty: drone, street or perception.yaml)"),
    "lidar": (PythonExpression(["'false' if ", *IS_ROOM, " else 'true'"]), "run scene_flow"),
    "mono": ("true", "run mono_depth and depth_learner: one eye learns from two"),
    "store": ("", "folder of what the student learns (empty: ssl_perception in ~/.ros)"),
    "avoid": (PythonExpression(["'true' if ", *IS_ROOM, " else 'false'"]), "steer the vehicle"),
}


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory(PACKAGE))
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    drone, car, other = (
        str(share / "config" / f"{name}.yaml") for name in ("drone", "street", "perception")
    )
    config = PythonExpression(
        [
            *["'", given["config"], f"' or ('{drone}' if ", *IS_ROOM],
            *[f" else '{car}' if ", *IS_STREET, f" else '{other}')"],
        ]
    )
    kinds = {
        "world": str,
        "seed": int,
        "seconds": float,
        "rate": float,
        "lockstep": bool,
        "report": str,
    }
    world = Node(
        package=PACKAGE,
        executable="sim_world",
        name="sim_world",
        parameters=[
            config,
            {name: ParameterValue(given[name], value_type=kind) for name, kind in kinds.items()},
        ],
        output="screen",
    )
    seed = {"seed": ParameterValue(given["seed"], value_type=int)}
    pilot = Node(
        package=PACKAGE,
        executable="avoid",
        name="avoid",
        parameters=[config, {"use_sim_time": True}, seed],
        condition=IfCondition(given["avoid"]),
        output="screen",
    )
    perception = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "perception.launch.py")),
        launch_arguments={
            "config": config,
            "use_sim_time": "true",
            "lidar": given["lidar"],
            "mono": given["mono"],
            "store": given["store"],
        }.items(),
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            perception,
            pilot,
            world,
            RegisterEventHandler(
                OnProcessExit(
                    target_action=world,
                    on_exit=[EmitEvent(event=Shutdown(reason="the world has ended"))],
                )
            ),
        ]
    )
