"""Imports run one way: no module imports from a layer above its own, and none in a circle.

The imports are read from the source, not by importing: those inside functions count, those under
``TYPE_CHECKING`` count as well (a type is knowledge, too), and so does a text that is exactly the
name of a module, as in ``flow.METHODS``, which names what ``import_module`` will load. That a
module's parent package is loaded before it doesn't count.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "ssl_perception": ROOT / "ssl_perception",
    "ssl_perception_sim": ROOT / "sim" / "ssl_perception_sim",
    "ssl_perception_ros": ROOT / "ros_ws" / "src" / "ssl_perception_ros" / "ssl_perception_ros",
}

# The layers, lowest first. A name stands for the module or package and for all in it that has no
# row of its own. A module may import from its own layer and from those above it in this table.
LAYERS = (
    "ssl_perception.errors, ssl_perception.version",
    "ssl_perception.frames, ssl_perception.types",
    "ssl_perception.config",
    "ssl_perception.runtime",  # kernels, threads, deadlines, sessions, console, processes
    "ssl_perception.io.write, ssl_perception.io.files, ssl_perception.io.output_paths, "
    "ssl_perception.io.model_store, ssl_perception.io.sealed, "
    "ssl_perception.io.store_folder, ssl_perception.io.lock",  # files
    "ssl_perception.io.point_time, ssl_perception.io.point_cloud2, ssl_perception.io.images, "
    "ssl_perception.io.livox, ssl_perception.io.sweep, ssl_perception.io.compressed_image, "
    "ssl_perception.io.camera_info, ssl_perception.io.camera, "
    "ssl_perception.io.odometry, ssl_perception.io.laser_scan, ssl_perception.io.cue_status, "
    "ssl_perception.io.scan_encoding, ssl_perception.io.spatial_points, "
    "ssl_perception.io.stamp_sync, ssl_perception.io.stream_check, "
    "ssl_perception.io.stereo_sync, ssl_perception.io.static_transforms, "
    "ssl_perception.io.extrinsics",  # messages
    "ssl_perception.io",  # recordings: log, sequences, bag_log, open_log; output, results
    "ssl_perception.datasets",
    "ssl_perception.flow.segmentation, ssl_perception.flow.neural",
    "ssl_perception.flow.rigid, ssl_perception.flow.scoop",
    "ssl_perception.flow.solvers",
    "ssl_perception.flow",  # estimate_flow
    "ssl_perception.flow.online",
    "ssl_perception.obstacles",
    "ssl_perception.depth.frozen_image, ssl_perception.depth.student.architecture",
    "ssl_perception.depth.teacher",
    "ssl_perception.depth.student",
    "ssl_perception.depth.trust",
    "ssl_perception.depth.learning, ssl_perception.depth",
    "ssl_perception.pipeline",
    "ssl_perception.warm_up, ssl_perception.preflight",
    "ssl_perception",  # the public face: names of what lies below
    "ssl_perception.evaluation",
    "ssl_perception_sim.world, ssl_perception_sim",  # shapes, textures, motion, traffic
    "ssl_perception_sim.sensors",
    "ssl_perception_sim.world.world, ssl_perception_sim.world.world_file, "
    "ssl_perception_sim.world.worlds",  # a scene with its vehicle and sensors
    "ssl_perception_sim.recording",
    "ssl_perception_sim.experiments",
    "ssl_perception_ros",
    "ssl_perception.commands",
    "ssl_perception.cli",
)
HEIGHT = {name: height for height, row in enumerate(LAYERS) for name in row.split(", ")}
ROS = re.compile(r"(rclpy|launch|ament_index_python|tf2|rosidl|\w+_msgs)(_\w+)?(\.|$)")
SIMULATOR_USERS = ("ssl_perception.commands.",)

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


def imported(source: str, known: set[str]) -> set[str]:
    """What a module imports: ``from a.b import c`` is ``a.b.c`` where ``known`` has that module,
    else ``a.b``; of texts only those that name a module of ``known``."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "a relative import hides its layer"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Constant) and "." in str(node.value) and node.value in known:
            names.add(str(node.value))
    return names


def edges(module: str, source: str, known: set[str]) -> set[str]:
    return (imported(source, known) & known) - {module}


def height(module: str) -> int:
    name = module
    while name not in HEIGHT:
        name = name.rpartition(".")[0]
        assert name, f"{module} is in no layer: give it one in the table above"
    return HEIGHT[name]


def upward(graph: Graph) -> list[str]:
    return [
        f"{module} imports {other}"
        for module, others in sorted(graph.items())
        for other in sorted(others)
        if height(other) > height(module)
    ]


def circle(graph: Graph) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def graph() -> Graph:
    files = modules()
    return {
        name: edges(name, path.read_text(encoding="utf-8"), set(files))
        for name, path in files.items()
    }


def test_no_module_imports_from_a_layer_above_its_own(graph: Graph) -> None:
    assert upward(graph) == []


def test_no_modules_import_each_other_in_a_circle(graph: Graph) -> None:
    assert circle(graph) == []


def test_every_row_of_the_table_is_there(graph: Graph) -> None:
    assert set(HEIGHT) <= set(graph)


def test_the_library_and_the_simulator_import_no_ros() -> None:
    """``doctor`` looks whether ``rclpy`` is installed; nothing uses it."""
    found = {
        f"{module} imports {name}"
        for module, path in modules().items()
        if not module.startswith("ssl_perception_ros")
        for name in imported(path.read_text(encoding="utf-8"), set())
        if ROS.match(name)
    }
    assert found == set()


def test_only_commands_import_the_simulator(graph: Graph) -> None:
    found = {
        module
        for module, others in graph.items()
        if module.split(".")[0] == "ssl_perception"
        and not module.startswith(SIMULATOR_USERS)
        and any(other.startswith("ssl_perception_sim") for other in others)
    }
    assert found == set()


def test_an_import_upwards_and_a_circle_would_be_found() -> None:
    """What the tests above rest on: late, type-only and by-name imports are all seen."""
    known = set(modules())
    source = (
        "from typing import TYPE_CHECKING\n"
        "from ssl_perception.io import images, log\n"
        "if TYPE_CHECKING:\n"
        "    from ssl_perception.pipeline import Perception\n"
        "METHOD = 'ssl_perception.flow.solvers.nsfp'\n"
        "def late():\n"
        "    import ssl_perception.cli\n"
        "    from ssl_perception.flow import estimate_flow\n"
    )
    found = edges("ssl_perception.config.flow", source, known)
    assert found == {
        "ssl_perception.io.images",
        "ssl_perception.io.log",
        "ssl_perception.pipeline",
        "ssl_perception.flow.solvers.nsfp",
        "ssl_perception.cli",
        "ssl_perception.flow",
    }
    assert len(upward({"ssl_perception.config.flow": found})) == 6
    one, two = "ssl_perception.io.log", "ssl_perception.io.sequences"
    assert set(circle({one: {two}, two: {one}})) == {one, two}
    assert ROS.match("rclpy.node") and ROS.match("sensor_msgs.msg") and ROS.match("launch_ros")
    assert not ROS.match("ssl_perception_ros.messages")
