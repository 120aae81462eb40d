"""Nodes in one process: what they publish is what they publish in processes of their own."""

from __future__ import annotations

import signal
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from rclpy.executors import Executor
from rosbags.rosbag2 import Reader as BagReader

from ssl_perception.io import images
from ssl_perception.io.output import OutputBag
from ssl_perception.runtime.ros_processes import Nodes, environment
from ssl_perception.types import CameraModel
from ssl_perception_ros import node_plan
from ssl_perception_ros.exchange import Exchange, Reader
from ssl_perception_ros.topic_output import TopicOutput
from tests.ros.in_process import listened_to

pytestmark = pytest.mark.ros

START = 180.0
STAMP = 1_700_000_000_000_000_000
FRAMES = 12
CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5, "left_optical_frame")
NODES = ("obstacle_distance", "mono_depth", "stereo_depth")
RESULTS = "stereo/depth stereo/status mono/status trust depth obstacle_distance obstacle_range"


class Tasks:
    """An executor that does its work when told to."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def create_task(self, work: Any) -> None:
        self.waiting.append(work)

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


def test_a_reader_gets_the_message_itself_later_and_the_newest_when_there_are_too_many() -> None:
    exchange, tasks = Exchange(), Tasks()
    taken: list[Any] = []
    reader = Reader(taken.append, 2, cast(Executor, tasks))
    exchange.offer("/depth")
    exchange.read("/depth", reader)
    assert exchange.offers("/depth") and not exchange.offers("/other")
    messages = [object(), object(), object()]
    for message in messages:
        exchange.publish("/depth", message)
    assert taken == [], "in the executor, not in the publisher's thread"
    tasks.run()
    assert taken == messages[1:]
    exchange.publish("/depth", messages[0])
    exchange.leave(reader)
    exchange.publish("/depth", messages[0])
    tasks.run()
    assert len(taken) == 2, "it has left"


@pytest.mark.parametrize(("subscribers", "active"), [(0, True), (1, True), (1, False)])
def test_what_stays_in_the_process_is_not_serialised(subscribers: int, active: bool) -> None:
    exchange, tasks = Exchange(), Tasks()
    taken: list[Any] = []
    exchange.read("/robot/depth", Reader(taken.append, 5, cast(Executor, tasks)))
    output = TopicOutput()
    output.exchange = exchange
    one = listened_to("/robot/depth", subscribers, active)
    output.publishers["depth"] = one
    output.image("depth", STAMP, images.encode(np.ones((3, 4), np.float32), "32FC1", "optical"))
    tasks.run()
    assert len(one.sent) == subscribers
    assert [message.encoding for message in taken] == ["32FC1"] * active


def test_a_launch_in_one_process_has_all_parameters_and_topics() -> None:
    given = {"component": "true", "namespace": "robot", "consumer": "nav2", "bag": "a.mcap"}
    apart = node_plan.perception({**given, "component": "false"})
    container, player = node_plan.perception(given)
    assert container.executable == "component_container" and not container.respawn
    assert container.components == tuple(plan.executable for plan in apart[:-1])
    assert container.namespace == "robot" and player == apart[-1]
    nothing = node_plan.perception({"component": "true", "lidar": "false", "stereo": "false"})
    assert nothing == []
    for plan in apart[:-1]:
        assert container.parameters.items() >= plan.parameters.items()
        assert container.remaps.items() >= plan.remaps.items()


def write(path: Path) -> None:
    with OutputBag(path) as bag:
        for k in range(FRAMES):
            now = STAMP + k * 200_000_000
            texture = np.random.default_rng(k).integers(0, 256, (240, 340), dtype=np.uint8)
            bag.camera_info("left/camera_info", now, CAMERA)
            bag.camera_info("right/camera_info", now, CAMERA, 0.1)
            bag.image("left/image_rect", now, images.encode(texture[:, :320], "mono8", "left"))
            bag.image("right/image_rect", now, images.encode(texture[:, 8 + k : 328 + k], "mono8"))


def results(path: Path) -> dict[str, list[bytes]]:
    found = defaultdict(list)
    with BagReader(path) as reader:
        for connection, _, raw in reader.messages():
            found[connection.topic].append(raw)
    return found


def played(bag: Path, folder: Path, domain: int, together: bool) -> dict[str, list[bytes]]:
    folder.mkdir()
    output = folder / "out.mcap"
    patient = {"queue": 100, "timeout": 3600.0, "cue_wait": 3600.0, "cue_wait_least": 3600.0}
    values = {**patient, "store": str(folder / "store")}
    with Nodes(environment(domain), folder) as nodes:
        nodes.start("bag_recorder", {"output": str(output), "outputs": RESULTS, "idle": 8.0})
        if together:
            nodes.start("component_container", values, components=NODES)
        else:
            for name in NODES:
                nodes.start(name, values)
        nodes.ready(START)
        nodes.start("bag_player", {"bag": str(bag)})
        assert nodes.wait("bag_player", START) == 0, nodes.last("bag_player")
        assert nodes.wait("bag_recorder", 60.0) == 0, nodes.last("bag_recorder")
        assert nodes.failures() == {}
    return results(output)


def test_one_process_publishes_what_several_do(domain: int, tmp_path: Path) -> None:
    bag = tmp_path / "in.mcap"
    write(bag)
    apart = played(bag, tmp_path / "apart", domain, together=False)
    together = played(bag, tmp_path / "together", domain, together=True)
    counts = {topic: len(messages) for topic, messages in apart.items()}
    assert 0 < counts.pop("/depth") <= FRAMES, "where a cue is active"
    assert counts == {f"/{topic}": FRAMES for topic in RESULTS.split() if topic != "depth"}
    assert together == apart


@pytest.mark.parametrize(
    ("components", "parameter", "line"),
    [
        (("stereo_depth", "scene_flaw"), {}, "error: 'scene_flaw' given; nodes are scene_flow"),
        (("stereo_depth", "obstacle_distance"), {"scan.sectors": 0}, "scan.sectors"),
    ],
)
def test_what_cannot_run_ends_the_process_with_one_line_and_code_2(
    nodes: Nodes, components: tuple[str, ...], parameter: dict[str, Any], line: str
) -> None:
    process = nodes.start("component_container", parameter, components=components)
    assert process.wait(60.0) == 2
    assert line in nodes.last("component_container")


def test_it_ends_cleanly_when_asked_to(nodes: Nodes) -> None:
    process = nodes.start("component_container", components=("stereo_depth", "obstacle_distance"))
    nodes.ready(START)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20.0) == 0
