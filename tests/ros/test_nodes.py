"""The real node processes, fed with real recordings at their own rate."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import Output, OutputBag
from ssl_perception.io.point_cloud2 import (
    FLOAT32,
    PackedCloud,
    PointField,
    encode_points,
)
from ssl_perception.io.results import read_depth, read_flow, read_scans
from ssl_perception.runtime.ros_processes import Nodes
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    ObstacleScan,
    PointCloud,
    StereoPair,
)

pytestmark = pytest.mark.ros

STAMP = 1_700_000_000_000_000_000
TENTH = 100_000_000
START = 180.0  # s: the first run after an edit compiles kernels
CAMERAS = {
    f"{side}/{topic}": f"/stereo/{side}/{topic}"
    for side in ("left", "right")
    for topic in ("image_rect", "camera_info")
}


class KeptOutput(Output):
    """Keeps what it is given: (time of sending, topic, type, serialised message).

    Attributes:
        delay: ns from a message's stamp to its sending.
    """

    def __init__(self) -> None:
        super().__init__()
        self.delay = 0
        self.messages: list[tuple[int, str, str, bytes]] = []

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        self.messages.append((stamp_ns + self.delay, topic, kind, bytes(raw)))


def record(nodes: Nodes, output: Path, topics: str) -> None:
    # a busy machine may take seconds over one sweep: that is no end of the recording
    nodes.start("bag_recorder", {"output": str(output), "outputs": topics, "idle": 8.0})


def play(nodes: Nodes, bag: Path) -> None:
    """Play it whole, let the recorder finish, end all: everyone with exit code 0."""
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(bag)})
    assert nodes.wait("bag_player", START) == 0, nodes.last("bag_player")
    assert nodes.wait("bag_recorder", 60.0) == 0, nodes.last("bag_recorder")
    assert nodes.failures() == {}


def stamps(log: Path, kind: type) -> list[int]:
    return [r.stamp_ns for r in open_log(log) if isinstance(r.value, kind)]


def complaints(bag: Path) -> list[str]:
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == "/diagnostics"]
        return [
            f"{status.level[0] if isinstance(status.level, bytes) else status.level} "
            f"{status.name} {status.message} "
            + ", ".join(f"{value.key} {value.value}" for value in status.values)
            for connection, _, raw in reader.messages(wanted)
            for status in typestore().deserialize_cdr(raw, connection.msgtype).status
        ]


def messages_on(bag: Path, topic: str) -> list[Any]:
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [
            typestore().deserialize_cdr(raw, connection.msgtype)
            for connection, _, raw in reader.messages(wanted)
        ]


def test_every_sweep_of_a_bag_comes_back_as_flow(nodes: Nodes, data: Path, tmp_path: Path) -> None:
    bag, output = data / "ros2_bags_reencoded" / "vlp16_points_mcap", tmp_path / "out.mcap"
    record(nodes, output, "scene_flow moving_points points_accumulated time_to_collision")
    dense = {"accumulation.sweeps": 3}
    box = {"front": 0.3, "rear": 0.3, "width": 0.6, "below": 0.25, "above": 0.1}
    box = {f"collision.{size}": metres for size, metres in box.items()}
    # no time to collision that is made up when the sweeps end
    once = {"queue": 100, "timeout": 3600.0}
    nodes.start("scene_flow", {**once, **dense, **box}, {"points": "/velodyne_points"})
    play(nodes, bag)
    with Reader(output) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
    told = [message.data for message in messages_on(output, "/time_to_collision")]
    assert counts["/points_accumulated"] == counts["/scene_flow"] == counts["/moving_points"]
    of_sweeps = told[-counts["/scene_flow"] :]
    assert len(told) - len(of_sweeps) <= 1, "one before the first sweep, if anybody listened"
    assert np.isnan(of_sweeps[0]), "after one sweep nobody knows"
    assert np.isposinf(of_sweeps[1:]).all(), "parked, and nobody comes"
    flows = list(read_flow(output))
    assert [stamp for stamp, _ in flows] == stamps(bag, PointCloud)
    assert np.isnan(flows[0][1].velocity).all()
    for _, flow in flows[1:]:
        assert np.isfinite(flow.velocity).any()
        assert not flow.moving.any(), "the scene is parked"


def test_when_sweeps_stop_time_to_collision_and_the_consumers_scan_say_unknown(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    """A Float32 has no stamp: the last +Inf would be believed for ever."""
    bag, output = data / "ros2_bags_reencoded" / "vlp16_points_mcap", tmp_path / "out.mcap"
    told = "time_to_collision lidar/obstacle_distance scene_flow /diagnostics"
    nodes.start("bag_recorder", {"output": str(output), "outputs": told})
    box = {"front": 0.3, "rear": 0.3, "width": 0.6, "below": 0.25, "above": 0.1}
    sizes = {f"collision.{size}": metres for size, metres in box.items()}
    told_nav2 = {"queue": 100, "lidar_consumer": "nav2"}
    nodes.start("scene_flow", {**told_nav2, **sizes}, {"points": "/velodyne_points"})
    nodes.ready(START)
    time.sleep(1.5)
    nodes.start("bag_player", {"bag": str(bag), "linger": 3.0})
    assert nodes.wait("bag_player", START) == 0
    assert nodes.failures() == {}
    seconds = np.array([message.data for message in messages_on(output, "/time_to_collision")])
    known = np.flatnonzero(np.isposinf(seconds))
    assert len(known) >= 2
    assert known[0] > 5 and np.isnan(seconds[: known[0]]).all(), "before the first sweep, again"
    assert len(seconds) - known[-1] > 10 and np.isnan(seconds[known[-1] + 1 :]).all()
    scans = messages_on(output, "/lidar/obstacle_distance")
    blind = [bool((scan.ranges == np.float32(scan.range_min)).all()) for scan in scans]
    last = len(blind) - blind[::-1].index(False) - 1
    # while a busy machine is still at the last sweeps, both go out in turn
    assert blind.count(False) == len(messages_on(output, "/scene_flow"))
    assert all(blind[last + 1 :]) and len(scans) - last > 10
    stamps = [scan.header.stamp.sec + 1e-9 * scan.header.stamp.nanosec for scan in scans[last:]]
    assert (np.diff(stamps) > 0).all() and stamps[-1] - stamps[0] > 1.5
    assert any("time_to_collision_s nan" in line for line in complaints(output)[-1:])


def test_every_pair_of_a_bag_comes_back_as_depth_and_scan(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    bag, output = data / "ros2_bags_reencoded" / "kitti_stereo_db3", tmp_path / "out.mcap"
    record(nodes, output, "stereo/depth obstacle_distance")
    nodes.start("stereo_depth", {"queue": 100}, CAMERAS)
    # the scans that it makes up when depth stops are not what is counted here
    nodes.start("obstacle_distance", {"queue": 100, "timeout": 3600.0})
    play(nodes, bag)
    expected = stamps(bag, StereoPair)
    assert [stamp for stamp, _ in read_depth(output, "/stereo/depth")] == expected
    scans = list(read_scans(output))
    assert [stamp for stamp, _ in scans] == expected
    assert all(np.isfinite(scan.ranges).any() for _, scan in scans)


def test_when_depth_stops_the_scan_goes_on_and_knows_nothing(
    nodes: Nodes, data: Path, tmp_path: Path
) -> None:
    bag, output = data / "ros2_bags_reencoded" / "kitti_stereo_db3", tmp_path / "out.mcap"
    nodes.start(
        "bag_recorder",
        {"output": str(output), "outputs": "obstacle_distance /diagnostics"},
    )
    nodes.start("stereo_depth", {"queue": 100}, CAMERAS)
    nodes.start("obstacle_distance", {"queue": 100})
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(bag), "linger": 3.0})
    assert nodes.wait("bag_player", START) == 0
    assert nodes.failures() == {}
    known = [bool(np.isfinite(scan.ranges).any()) for _, scan in read_scans(output)]
    assert sum(known) == len(stamps(bag, StereoPair))
    after = known[len(known) - known[::-1].index(True) :]
    assert len(after) > 10, "it goes on"
    last = list(read_scans(output))[-1][1]
    assert np.isnan(last.ranges).all(), "unknown, not free"
    assert any("obstacle_distance" in line and line[0] in "12" for line in complaints(output))


def test_before_any_depth_nav2_is_told_to_stop(nodes: Nodes, tmp_path: Path) -> None:
    """Nothing is known, and NaN, which the collision monitor skips, isn't what says so."""
    output = tmp_path / "out.mcap"
    told = "obstacle_distance obstacle_range obstacle_points"
    nodes.start("bag_recorder", {"output": str(output), "outputs": told})
    also = {"outputs.also": "obstacle_points depth_points detections"}
    nodes.start("obstacle_distance", {"consumer": "nav2", "view": 1.0, **also})
    nodes.ready(START)
    time.sleep(2.0)
    assert nodes.failures() == {}
    found = messages_on(output, "/obstacle_distance")
    ranges = [message.range for message in messages_on(output, "/obstacle_range")]
    assert len(found) > 5 and len(ranges) > 5
    near = np.float32(found[0].range_min)
    for scan in found:
        seen = np.abs(scan.angle_min + scan.angle_increment * np.arange(72)) <= 0.5
        assert (scan.ranges[seen] == near).all() and np.isnan(scan.ranges[~seen]).all()
    assert {np.float32(metres) for metres in ranges} == {near}
    clouds = messages_on(output, "/obstacle_points")
    assert len(clouds) > 5
    for cloud in clouds:
        points = cloud.data.view("<f4").reshape(-1, 3)
        np.testing.assert_allclose(np.hypot(points[:, 0], points[:, 1]), near, rtol=1e-5)
        assert len(points) and (np.abs(np.arctan2(points[:, 1], points[:, 0])) <= 0.55).all()


def test_without_depth_the_scan_says_what_the_lidar_knows_and_forgets_it_when_that_stops(
    nodes: Nodes, tmp_path: Path
) -> None:
    bag, output = tmp_path / "scans.mcap", tmp_path / "out.mcap"
    seen = np.full(72, np.nan, np.float32)
    seen[10], seen[20] = 4.0, np.inf
    speed = np.where(np.isfinite(seen), 2.0, np.nan)
    step = 2 * np.pi / 72
    with OutputBag(bag) as written:
        for k in range(30):
            stamp = STAMP + k * TENTH
            geometry = (-np.pi + step / 2, step, 0.2, 40.0)
            scan = ObstacleScan(seen, *geometry, stamp * 1e-9, "lidar", Cue.LIDAR, speed)
            written.lidar_obstacle_distance(stamp, scan)
    nodes.start("bag_recorder", {"output": str(output), "outputs": "obstacle_distance"})
    nodes.start("obstacle_distance", {})
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(bag), "linger": 2.0})
    assert nodes.wait("bag_player", START) == 0
    assert nodes.failures() == {}
    scans = [scan for _, scan in read_scans(output)]
    told = [scan for scan in scans if not np.isnan(scan.ranges).all()]
    assert len(told) > 5
    for scan in told:
        np.testing.assert_array_equal(scan.ranges, seen)
        assert scan.frame == "lidar"
    assert np.isnan(scans[-1].ranges).all(), "a lidar that stopped leaves the unknown"


def test_stereo_that_is_later_than_mono_is_waited_for(nodes: Nodes, tmp_path: Path) -> None:
    """Mono depth at once, stereo depth 0.3 s later, at 5 Hz."""
    camera = CameraModel(80, 60, 52.0, 52.0, 39.5, 29.5, "optical")
    lag, frames = 300_000_000, 30
    written = KeptOutput()
    for k in range(frames):
        stamp = STAMP + 2 * k * TENTH
        for cue, metres in ((Cue.MONO, 3.0), (Cue.STEREO, 2.0)):
            values = np.full((60, 80), metres, np.float32)
            written.delay = lag if cue is Cue.STEREO else 0
            written.camera_info(f"{cue.value}/camera_info", stamp, camera)
            written.depth(stamp, DepthMap(values, camera, stamp * 1e-9, cue))
    log, output = tmp_path / "log.mcap", tmp_path / "out.mcap"
    with OutputBag(log) as bag:
        for when, topic, kind, raw in sorted(written.messages, key=lambda message: message[0]):
            bag.write_raw(topic, when, kind, raw)
    record(nodes, output, "obstacle_distance trust")
    # no scans that it makes up itself: each is the answer to a frame
    nodes.start("obstacle_distance", {"queue": 100, "timeout": 3600.0})
    play(nodes, log)
    nearest = [
        float(np.min(scan.ranges, initial=np.inf, where=np.isfinite(scan.ranges)))
        for _, scan in read_scans(output)
    ]
    assert len(nearest) == frames
    from_stereo = [abs(metres - 2.0) < 0.1 for metres in nearest]
    # the wait is learnt from the first frames, and stereo is active after some good ones
    assert all(from_stereo[10:]), nearest


def test_a_bad_cloud_is_reported_and_the_next_one_is_worked_on(
    nodes: Nodes, tmp_path: Path
) -> None:
    points = np.random.default_rng(0).uniform(-20, 20, (3000, 3)).astype(np.float32)
    good = encode_points(PointCloud(points, frame="lidar"))
    lying = PackedCloud("lidar", good.fields, 16, good.data, good.width, True)
    blind = PackedCloud("lidar", (PointField("x", 0, FLOAT32),), 12, good.data, good.width, True)
    log, output = tmp_path / "log.mcap", tmp_path / "out.mcap"
    step = 12 * TENTH  # diagnostics come once a second and tell of the last problem
    with OutputBag(log) as bag:
        for k, cloud in enumerate((good, lying, good, blind, good)):
            bag.cloud("points", STAMP + k * step, cloud)
    record(nodes, output, "scene_flow /diagnostics")
    nodes.start("scene_flow", {"queue": 100, "flow.max_gap": 5.0})
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(log)})
    assert nodes.wait("bag_player", START) == 0
    assert nodes.failures() == {}
    told = complaints(output)
    answered = [stamp for stamp, _ in read_flow(output)]
    assert answered == [STAMP + k * step for k in (0, 2, 4)], told
    assert any("data holds" in line for line in told), told
    assert any("has no field y, z" in line for line in told), told
    assert any("footprint not set" in line for line in told), told


@pytest.mark.parametrize(
    ("node", "parameter", "line"),
    [
        ("scene_flow", {"flow.methud": "nsfp"}, "flow.methud"),
        ("scene_flow", {"flow.method": "magic"}, "flow.method"),
        ("scene_flow", {"outputs.also": "detections"}, "detections needs vision_msgs"),
        ("scene_flow", {"points_type": "CustomMsg"}, "CustomMsg needs livox_ros_driver2"),
        ("obstacle_distance", {"outputs.also": "clouds"}, "there is no output 'clouds'"),
        ("stereo_depth", {"stereo.disparities": 60}, "stereo.disparities"),
        ("obstacle_distance", {"scan.sectors": 0}, "scan.sectors"),
        ("obstacle_distance", {"consumer": "ros1"}, "consumer"),
        ("obstacle_distance", {"lidar_consumer": "nav2"}, "parameter lidar_consumer"),
        ("obstacle_distance", {"consumer": "px4", "scan.sectors": 144}, "at most 72 for px4"),
        ("bag_player", {"bag": "/nowhere/log.mcap"}, "/nowhere/log.mcap: no such recording"),
    ],
)
def test_bad_parameters_end_the_process_with_one_line_and_code_2(
    nodes: Nodes, node: str, parameter: dict, line: str
) -> None:
    process = nodes.start(node, parameter)
    assert process.wait(60.0) == 2
    assert line in nodes.last(node)


def test_lifecycle_transitions_are_honoured(nodes: Nodes) -> None:
    process = nodes.start("stereo_depth", {"autostart": False})
    client = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("lifecycle_client.py")), "stereo_depth"],
        env=nodes._environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert client.returncode == 0, client.stdout + client.stderr
    assert client.stdout.split() == [
        "unconfigured",
        "inactive",
        "active",
        "inactive",
        "unconfigured",
        "finalized",
    ]
    assert process.poll() is None


@pytest.mark.parametrize("dying", [False, True])
def test_a_callback_that_fails_ends_no_node_and_an_end_in_its_midst_is_no_failure(
    nodes: Nodes, dying: bool
) -> None:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("failing_node.py")), *(["dying"] * dying)],
        env=nodes._environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.endswith("]: active\n") for line in process.stdout)
    if not dying:
        time.sleep(2.0)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=20)
    assert process.returncode == 0, told
    found = re.search(r"ended after (\d+), (\d+) failed", told)
    assert found, told
    ticks, failed = int(found[1]), int(found[2])
    assert (ticks, failed) == (2, 0) if dying else failed == ticks // 2 > 7, told
    assert ("what nobody thought of" in told) is not dying


def test_sigint_ends_every_node_with_0(nodes: Nodes) -> None:
    for name in ("stereo_depth", "obstacle_distance"):
        nodes.start(name)
    nodes.ready(START)
    nodes.start("scene_flow")
    until = time.monotonic() + START
    while "footprint not set" not in (nodes.logs / "scene_flow.log").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert nodes.failures() == {}, "active, or in the midst of starting"


def test_a_second_sigint_does_not_cut_the_end_short(nodes: Nodes) -> None:
    for name in ("stereo_depth", "obstacle_distance"):
        nodes.start(name)
    nodes.ready(START)
    for process in nodes.processes.values():
        process.send_signal(signal.SIGINT)
    time.sleep(0.15)
    assert nodes.failures() == {}


def test_nodes_do_not_outlive_who_started_them(domain: int, tmp_path: Path) -> None:
    """SIGTERM to the process that started them, as a time limit or a service manager sends it."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from ssl_perception.runtime.ros_processes import Nodes, environment\n"
            "with Nodes(environment(int(sys.argv[2])), Path(sys.argv[1])) as nodes:\n"
            "    print(nodes.start('obstacle_distance').pid, flush=True)\n"
            "    nodes.ready(60.0)\n"
            "    print('ready', flush=True)\n"
            "    time.sleep(60.0)\n",
            str(tmp_path),
            str(domain),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    node = int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    assert Path(f"/proc/{node}").exists()
    parent.terminate()
    assert parent.wait(20.0) == 128 + signal.SIGTERM
    assert not Path(f"/proc/{node}").exists()
