"""What the launch files have in common: arguments, transport, and nodes as ``node_plan`` says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ssl_perception_ros import transport
from ssl_perception_ros.node_plan import (
    ARGUMENTS,
    CHOICES,
    SWITCHES,
    Arguments,
    NodePlan,
    parameter_files,
)

PACKAGE = "ssl_perception_ros"
RESPAWN_DELAY = 5.0  # s
# s from SIGINT to SIGTERM, and on to SIGKILL. The usual 5 are too few for a learner that saves.
PATIENCE = {"sigterm_timeout": "20.0", "sigkill_timeout": "5.0"}


def describe(
    names: Iterable[str],
    plan: Callable[[Arguments], list[NodePlan]],
    defaults: Arguments | None = None,
) -> LaunchDescription:
    """A launch file's description.

    Args:
        names: its arguments.
        plan: the nodes, from the values of the arguments.
        defaults: of arguments, where they differ from the usual ones.
    """
    names = tuple(names)

    def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        given = {name: LaunchConfiguration(name).perform(context) for name in names}
        share = Path(get_package_share_directory(PACKAGE))
        files = parameter_files(given["config"], share / "config" / "perception.yaml")
        level = given["log_level"]
        nodes = [action for one in plan(given) for action in _actions(one, files, level)]
        # first: when it isn't installed the launch breaks off, and would leave the nodes running
        return [*_viewer(given["viewer"], share), *nodes]

    # Without it sweeps larger than about 1 MB are lost; drivers need it as well.
    profile = transport.environment(os.environ)
    return LaunchDescription(
        [
            *(_argument(name, (defaults or {}).get(name)) for name in names),
            *(SetEnvironmentVariable(name, value) for name, value in profile.items()),
            OpaqueFunction(function=start),
        ]
    )


def _argument(name: str, default: str | None) -> DeclareLaunchArgument:
    usual, description = ARGUMENTS[name]
    value = usual if default is None else default
    choices = [*CHOICES[name]] if name in CHOICES else None
    if name in SWITCHES:
        choices = ["true", "false", *([""] if value == "" else [])]
    return DeclareLaunchArgument(
        name, default_value=value, description=description, choices=choices
    )


def _viewer(name: str, share: Path) -> list[LaunchDescriptionEntity]:
    """What shows the results; a launch fails with one line where its package isn't installed."""
    if name == "rviz":
        shown = ["-d", str(share / "rviz" / "perception.rviz")]
        return [Node(package="rviz2", executable="rviz2", arguments=shown, output="screen")]
    if name == "foxglove":
        return [Node(package="foxglove_bridge", executable="foxglove_bridge", output="screen")]
    return []


def _actions(plan: NodePlan, files: list[Path], log_level: str) -> list[LaunchDescriptionEntity]:
    # a text would else be read as YAML: a folder called 7 as a number
    values = {
        name: ParameterValue(value, value_type=str) if isinstance(value, str) else value
        for name, value in plan.parameters.items()
    }
    node = Node(
        package=PACKAGE,
        executable=plan.executable,
        name=None if plan.components else plan.executable,
        arguments=[*plan.components],
        ros_arguments=["--log-level", log_level],
        namespace=plan.namespace,
        parameters=[*(map(str, files) if plan.from_file else ()), values],
        remappings=list(plan.remaps.items()),
        output="screen",
        respawn=plan.respawn,
        respawn_delay=RESPAWN_DELAY,
        **PATIENCE,
    )
    if not plan.ends_launch:
        return [node]
    end = EmitEvent(event=Shutdown(reason=f"{plan.executable} has ended"))
    # first the handler: a node that can't start ends at once
    return [RegisterEventHandler(OnProcessExit(target_action=node, on_exit=[end])), node]
