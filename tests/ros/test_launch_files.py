"""The launch files start the right nodes with parameters that the nodes know.

``ros2 launch`` itself isn't among the ROS packages that the tests install; what it is given is.
"""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ssl_perception.config import Config, flat, preset, presets, settings
from ssl_perception.errors import InputError
from ssl_perception.io.scan_encoding import CONSUMERS, Consumer
from ssl_perception.runtime.ros_processes import SOURCE
from ssl_perception_ros import node_plan
from ssl_perception_ros.node_plan import ARGUMENTS, NodePlan
from ssl_perception_ros.settings import ALL, ObstacleDistanceSettings, consumer_of

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["depth", "flow", "perception", "sim"]
SECTIONS: tuple[type[BaseModel], ...] = (Config, *ALL)
KNOWN = {s.name for section in SECTIONS for s in settings(section)} | {"use_sim_time"}
DEPTH_NODES = ["stereo_depth", "obstacle_distance", "mono_depth", "depth_learner"]


def by_name(plans: list[NodePlan]) -> dict[str, NodePlan]:
    assert len({plan.executable for plan in plans}) == len(plans)
    return {plan.executable: plan for plan in plans}


def test_each_launch_file_is_in_the_package_and_beside_the_readme() -> None:
    for folder in (ROOT / "launch", SOURCE / "launch"):
        assert sorted(path.name.split(".")[0] for path in folder.glob("*.launch.py")) == NAMES


def test_the_package_installs_its_own_files_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=said.update))
    monkeypatch.chdir(SOURCE)
    runpy.run_path("setup.py")
    installed = {Path(file) for _, files in said["data_files"] for file in files}
    assert all((SOURCE / file).resolve().is_relative_to(SOURCE) for file in installed)
    assert all((SOURCE / file).is_file() for file in installed)
    assert {Path("launch", f"{name}.launch.py") for name in NAMES} <= installed
    started = {entry.split(" = ")[0] for entry in said["entry_points"]["console_scripts"]}
    plans = node_plan.sim({"world": "street", "avoid": "true"}) + node_plan.flow({"bag": "a.mcap"})
    assert {plan.executable for plan in plans} <= started


@pytest.mark.parametrize("arguments", [getattr(node_plan, name.upper()) for name in NAMES])
def test_every_argument_is_described(arguments: tuple[str, ...]) -> None:
    assert len(set(arguments)) == len(arguments)
    assert all(len(ARGUMENTS[name][1]) > 10 for name in arguments)


def test_what_a_launch_file_is_asked_for_is_what_it_starts() -> None:
    assert [*by_name(node_plan.perception({}))] == ["scene_flow", *DEPTH_NODES]
    assert [*by_name(node_plan.perception({"mono": "false"}))] == ["scene_flow", *DEPTH_NODES[:2]]
    assert [*by_name(node_plan.flow({}))] == ["scene_flow"]
    assert [*by_name(node_plan.depth({}))] == DEPTH_NODES
    other = by_name(node_plan.perception({"teacher": "lidar", "points": "/ouster/points"}))
    assert [*other] == ["scene_flow", "depth_teacher", *DEPTH_NODES[1:]]
    for name in ("depth_teacher", "obstacle_distance"):
        assert other[name].parameters["teacher.source"] == "lidar"
    assert other["depth_teacher"].remaps["points"] == "/ouster/points"
    with pytest.raises(ValueError, match="true or false expected, not 'yes'"):
        node_plan.perception({"lidar": "yes"})


def test_topics_and_namespace_reach_the_nodes() -> None:
    given = {"points": "/ouster/points", "left": "/camera/left", "namespace": "robot"}
    nodes = by_name(node_plan.perception(given))
    assert {plan.namespace for plan in nodes.values()} == {"robot"}
    assert nodes["scene_flow"].remaps == {"points": "/ouster/points", "odom": "odom"}
    eye = {"left/image_rect": "/camera/left/image_rect"}
    eye |= {"left/camera_info": "/camera/left/camera_info"}
    assert nodes["mono_depth"].remaps == nodes["depth_learner"].remaps == eye
    right = {"right/image_rect": "right/image_rect", "right/camera_info": "right/camera_info"}
    assert nodes["stereo_depth"].remaps == eye | right


def test_raw_and_compressed_images_reach_the_nodes_that_read_cameras() -> None:
    given = {"left": "/cam/left", "image": "image_raw", "image_transport": "compressed"}
    nodes = by_name(node_plan.perception(given))
    cameras = [name for name, plan in nodes.items() if "left/image_rect" in plan.remaps]
    assert cameras == ["stereo_depth", "mono_depth", "depth_learner"]
    for name in cameras:
        assert nodes[name].remaps["left/image_rect"] == "/cam/left/image_raw"
        assert nodes[name].parameters["image_transport"] == "compressed"
    livox = {**given, "teacher": "lidar", "points_type": "CustomMsg"}
    nodes = by_name(node_plan.perception(livox))
    assert nodes["depth_teacher"].parameters["image_transport"] == "compressed"
    for name in ("scene_flow", "depth_teacher"):
        assert nodes[name].parameters["points_type"] == "CustomMsg"


def test_depth_alone_hears_the_lidar_that_teaches_where_it_is() -> None:
    given = {"teacher": "lidar", "points": "/ouster/points", "odom": "/wheel/odom"}
    assert set(given) <= set(node_plan.DEPTH)
    teacher = by_name(node_plan.depth(given))["depth_teacher"]
    assert teacher.remaps["points"] == "/ouster/points"
    assert teacher.remaps["odom"] == "/wheel/odom"


def test_every_launch_file_can_show_and_tell() -> None:
    for arguments in (node_plan.FLOW, node_plan.DEPTH, node_plan.PERCEPTION, node_plan.SIM):
        assert {"viewer", "log_level"} <= set(arguments)
    assert node_plan.ARGUMENTS["viewer"][0] == "none", "a robot has no screen"


def test_a_recording_ends_the_launch_and_gives_the_time_when_asked_to() -> None:
    assert not any(plan.ends_launch for plan in node_plan.perception({}))
    (player,) = (p for p in node_plan.flow({"bag": "7"}) if p.ends_launch)
    assert player.executable == "bag_player"
    assert (player.parameters["bag"], player.parameters["clock"]) == ("7", 0.0)
    plans = by_name(node_plan.flow({"bag": "7", "use_sim_time": "true"}))
    assert plans["bag_player"].parameters["clock"] == 100.0
    assert plans["scene_flow"].parameters["use_sim_time"] is True


def test_a_recording_waits_for_the_nodes_that_it_is_played_for() -> None:
    given = {"bag": "a.mcap", "namespace": "robot", "mono": "false"}
    player = by_name(node_plan.perception(given))["bag_player"]
    names = ["scene_flow", "stereo_depth", "obstacle_distance"]
    assert player.parameters["readers"].split() == [f"robot/{name}" for name in names]


def test_a_file_of_ones_own_changes_what_it_names_and_must_be_there(tmp_path: Path) -> None:
    shipped, own = SOURCE / "config" / "perception.yaml", tmp_path / "own.yaml"
    assert node_plan.parameter_files("", shipped) == [shipped]
    own.write_text("/**: {ros__parameters: {queue: 2}}\n")
    assert node_plan.parameter_files(str(own), shipped) == [shipped, own], "the last one wins"
    with pytest.raises(ValueError, match=r"^config:=missing.yaml: no such file$"):
        node_plan.parameter_files("missing.yaml", shipped)


def test_the_learner_alone_is_started_again() -> None:
    plans = node_plan.perception({}) + node_plan.sim({})
    assert {plan.executable for plan in plans if plan.respawn} == {"depth_learner"}


def test_a_preset_reaches_every_node_and_none_is_left_to_the_file() -> None:
    for plan in node_plan.perception({"preset": "drone"}):
        assert plan.parameters["preset"] == "drone"
    assert not any("preset" in plan.parameters for plan in node_plan.perception({}))
    assert not any("flow.method" in plan.parameters for plan in node_plan.perception({}))


def test_who_reads_the_distances_is_told_to_the_node_that_tells_them() -> None:
    """With cameras obstacle_distance reads the lidar's scan, which must stay as REP 117 has it."""
    given = {"consumer": "nav2", "view": "1.2"}
    both = by_name(node_plan.perception(given))
    assert both["obstacle_distance"].parameters.items() >= {"consumer": "nav2", "view": 1.2}.items()
    assert "lidar_consumer" not in both["scene_flow"].parameters
    alone = by_name(node_plan.flow(given))
    assert alone["scene_flow"].parameters["lidar_consumer"] == "nav2"
    assert not any(
        {"consumer", "lidar_consumer", "view"} & set(plan.parameters)
        for plan in node_plan.perception({})
    )
    for name in NAMES:
        assert "consumer" in getattr(node_plan, name.upper())


def test_avoid_does_not_run_on_scans_for_another_consumer() -> None:
    assert "avoid" in by_name(node_plan.sim({"consumer": "rep117"}))
    assert "avoid" not in by_name(node_plan.sim({"consumer": "nav2", "avoid": "false"}))
    with pytest.raises(ValueError, match="avoid reads REP 117 scans, not for mavros"):
        node_plan.sim({"consumer": "mavros"})


def test_a_consumer_has_its_preset_and_what_is_set_beside_it() -> None:
    def told(**given: object) -> Consumer:
        return consumer_of(ObstacleDistanceSettings.model_validate(given), 72)

    assert told() == CONSUMERS["rep117"]
    assert told(mavros=True) == told(mavros=True, consumer="mavros") == CONSUMERS["mavros"]
    own = told(consumer="nav2", range_unknown="silent", scan_too_close="rep117")
    assert own.range == replace(CONSUMERS["nav2"].range, unknown="silent")
    assert own.scan == replace(CONSUMERS["nav2"].scan, too_close="rep117")
    with pytest.raises(InputError, match="mavros and consumer contradict: true and nav2"):
        told(mavros=True, consumer="nav2")


@pytest.mark.parametrize(
    ("world", "of_world", "starts"),
    [
        ("room", "drone", [*DEPTH_NODES, "avoid", "sim_world"]),
        ("street", "street", ["scene_flow", *DEPTH_NODES, "sim_world"]),
        ("my.yaml", None, ["scene_flow", *DEPTH_NODES, "sim_world"]),
    ],
)
def test_a_simulated_world_gets_the_nodes_and_settings_that_it_needs(
    world: str, of_world: str | None, starts: list[str]
) -> None:
    nodes = by_name(node_plan.sim({"world": world, "seed": "3", "rate": "0"}))
    assert [*nodes] == starts
    assert of_world is None or of_world in presets()
    for name, plan in nodes.items():
        assert plan.parameters.get("preset") == of_world
        assert plan.ends_launch is (name == "sim_world")
        assert plan.parameters.get("use_sim_time", name == "sim_world") is True
    world_node = nodes["sim_world"].parameters
    assert (world_node["world"], world_node["seed"], world_node["rate"]) == (world, 3, 0.0)
    given = by_name(node_plan.sim({"world": world, "preset": "drone", "avoid": "true"}))
    assert {given[name].parameters["preset"] for name in given} == {"drone"}
    assert "avoid" in given


def test_nodes_know_the_parameters_that_they_are_given() -> None:
    file = yaml.safe_load((SOURCE / "config" / "perception.yaml").read_text())
    asked = {"method": "nsfp", "store": "s", "bag": "b", "preset": "drone"}
    plans = node_plan.perception(asked) + node_plan.sim({"avoid": "true"})
    passed = {name for plan in plans for name in plan.parameters}
    assert passed | set(file["/**"]["ros__parameters"]) <= KNOWN


def test_the_parameter_file_leaves_to_a_preset_what_it_decides() -> None:
    """A value in a file goes before the preset's."""
    file = yaml.safe_load((SOURCE / "config" / "perception.yaml").read_text())
    usual = flat(Config())
    for name in presets():
        decided = {key for key, value in flat(preset(name)).items() if value != usual[key]}
        assert decided and not decided & set(file["/**"]["ros__parameters"]), name


def test_only_the_streets_preset_has_a_footprint() -> None:
    assert preset("street").collision.has_footprint
    assert not Config().collision.has_footprint, "no size fits all robots"


def test_every_parameter_of_the_nodes_is_documented() -> None:
    documented = (ROOT / "docs" / "ros.md").read_text()
    names = {setting.name for section in ALL for setting in settings(section)}
    assert not {name for name in names if f"`{name}`" not in documented}
