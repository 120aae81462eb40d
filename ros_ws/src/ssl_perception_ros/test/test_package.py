"""What ``colcon test`` asks of the installed package: complete, importable, described."""

from __future__ import annotations

import ast
import configparser
import sys
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "ssl_perception_ros").glob("*.py")) + sorted(
    (ROOT / "launch").glob("*.py")
)
# modules of packages that are no ROS dependency: the library, and what it brings
OTHERS = {"ssl_perception", "ssl_perception_ros", "ssl_perception_sim", "numpy", "pydantic"}
OTHERS |= {"rosbags", "scipy", "yaml", "cv2"}
NODES = [
    *("scene_flow", "stereo_depth", "depth_teacher", "mono_depth", "depth_learner"),
    *("obstacle_distance", "avoid", "sim_world", "bag_player", "bag_recorder"),
]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def dependencies(tag: str) -> set[str]:
    return {str(element.text) for element in ET.parse(ROOT / "package.xml").getroot().iter(tag)}


def test_package_xml_names_every_ros_package_that_is_imported() -> None:
    used = set().union(*map(imports, SOURCES)) - OTHERS - set(sys.stdlib_module_names)
    missing = used - dependencies("exec_depend")
    assert missing == set()
    assert "python3-pytest" in dependencies("test_depend")


@pytest.mark.parametrize("node", NODES)
def test_every_node_can_be_imported_and_has_a_main(node: str) -> None:
    assert callable(import_module(f"ssl_perception_ros.{node}").main)


def test_scripts_take_the_environment_that_is_active() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["build_scripts"]["executable"] == "/usr/bin/env python3"
    assert settings["develop"]["script_dir"].endswith("lib/ssl_perception_ros")


def test_what_is_shipped_is_there() -> None:
    for name in ("perception.yaml", "fastdds.xml", "diagnostics.yaml"):
        assert (ROOT / "config" / name).is_file()
    assert len(list((ROOT / "launch").glob("*.launch.py"))) == 4
