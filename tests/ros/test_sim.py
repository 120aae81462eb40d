"""The closed loop through real processes: a simulated world, perception, and who steers."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.runtime.ros_processes import Nodes
from ssl_perception.types import PointCloud, StereoPair
from ssl_perception_sim.experiments.fly import fly_through_nodes

pytestmark = pytest.mark.ros

START = 180.0
DRONE = {"preset": "drone"}


def told(bag: Path, topic: str = "/cmd_vel") -> list[tuple[float, float, float]]:
    """Every command with the time of its coming."""
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        twists = [
            (stamp * 1e-9, typestore().deserialize_cdr(raw, connection.msgtype))
            for connection, stamp, raw in reader.messages(wanted)
        ]
    return [(stamp, twist.linear.x, twist.angular.z) for stamp, twist in twists]


def test_a_flight_through_the_nodes_touches_nothing_and_comes_out_the_same_again() -> None:
    first = fly_through_nodes(seed=6, minutes=0.2)
    assert first["crashes"] == 0
    assert first["distance"] > 1.0
    second = fly_through_nodes(seed=6, minutes=0.2)
    for figure in ("distance", "least_clearance", "turns"):
        assert second[figure] == first[figure], "in lockstep the machine's speed plays no part"


def test_the_vehicle_stands_still_when_perception_dies(nodes: Nodes, tmp_path: Path) -> None:
    output = tmp_path / "out.mcap"
    nodes.start("bag_recorder", {"output": str(output), "outputs": "cmd_vel truth/odom"})
    for name in ("stereo_depth", "obstacle_distance", "avoid"):
        nodes.start(name, DRONE)
    nodes.ready(START)
    nodes.start("sim_world", {**DRONE, "seed": 6})
    nodes.ready(START)
    time.sleep(6.0)
    nodes.processes["obstacle_distance"].send_signal(signal.SIGKILL)
    nodes.processes["obstacle_distance"].wait()
    dead = time.time()
    time.sleep(4.0)
    nodes.processes["avoid"].send_signal(signal.SIGKILL)
    time.sleep(6.0)  # on a busy machine the world's time runs slowly, and it brakes late
    codes = nodes.stop()
    assert codes["sim_world"] == 0
    commands = told(output)
    assert any(vx or turn for _, vx, turn in commands), "it flew"
    after = [(vx, turn) for when, vx, turn in commands if when > dead + 0.8]
    assert len(after) > 13, "and goes on being told"
    assert set(after) == {(0.0, 0.0)}
    with Reader(output) as reader:
        wanted = [c for c in reader.connections if c.topic == "/truth/odom"]
        poses = [
            typestore().deserialize_cdr(raw, connection.msgtype).pose.pose
            for connection, _, raw in reader.messages(wanted)
        ]
    path = np.array([(p.position.x, p.position.y, p.orientation.z) for p in poses])
    assert np.ptp(path, axis=0).max() > 0.05, "it moved or turned before"
    assert np.abs(path[-40:] - path[-1]).max() < 0.01, "and hangs where it was"


def test_a_street_is_lived_through_with_its_truth(nodes: Nodes, tmp_path: Path) -> None:
    output = tmp_path / "out.mcap"
    nodes.start(
        "bag_recorder",
        {"output": str(output), "outputs": "points left/image_rect right/image_rect "
         "left/camera_info right/camera_info odom truth/odom truth/scene_flow"},
    )  # fmt: skip
    nodes.ready(START)
    nodes.start("sim_world", {"world": "street", "seconds": 2.0, "rate": 0.25})
    assert nodes.wait("sim_world", START) == 0, nodes.last("sim_world")
    time.sleep(1.0)  # what is still under way
    assert nodes.failures() == {}
    values = [recorded.value for recorded in open_log(output)]
    sweeps = [value for value in values if isinstance(value, PointCloud)]
    pairs = [value for value in values if isinstance(value, StereoPair)]
    # a world that isn't in lockstep doesn't wait for its readers to find it; then all comes
    for found in (sweeps, pairs):
        assert len(found) >= 16
        np.testing.assert_allclose(np.diff([value.stamp for value in found]), 0.1, atol=1e-3)
    assert all(sweep.time is not None for sweep in sweeps)
    assert "minutes 0.03333" in (tmp_path / "sim_world.log").read_text()


@pytest.mark.parametrize(
    ("node", "parameters", "line"),
    [
        ("sim_world", {"world": "forest"}, "unknown kind of world 'forest'"),
        ("sim_world", {"world": "WORLD"}, "lidar.columns: "),
        ("sim_world", {"report": "/dev/null/r.json", "seconds": 0.1}, "/dev/null/r.json: "),
        ("avoid", {"mavros": True}, "mavros"),
        ("avoid", {"consumer": "nav2"}, "parameter consumer: avoid reads scans as REP 117"),
        ("avoid", {"avoid.trigger": 3.0}, "trigger must not be above clear"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    nodes: Nodes, tmp_path: Path, node: str, parameters: dict[str, object], line: str
) -> None:
    if parameters.get("world") == "WORLD":
        bad = tmp_path / "bad.yaml"
        bad.write_text("kind: street\nlidar: {columns: 3}\n")
        parameters = {"world": str(bad)}
    process = nodes.start(node, parameters)
    assert process.wait(60.0) == 2
    text = (tmp_path / f"{node}.log").read_text()
    assert line in text
    assert "Traceback" not in text


def test_the_report_tells_the_flight(nodes: Nodes, tmp_path: Path) -> None:
    report = tmp_path / "flight.json"
    nodes.start("sim_world", {"seconds": 0.5, "rate": 0.0, "seed": 7, "report": str(report)})
    assert nodes.wait("sim_world", START) == 0
    figures = json.loads(report.read_text())
    assert figures["seed"] == 7
    assert figures["distance"] == 0.0, "nobody steers"
    assert figures["least_clearance"] > 0.1
