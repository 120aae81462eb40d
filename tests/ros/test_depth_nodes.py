"""Mono learns from stereo through the real node processes, and is used only once trusted."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.trust.persistence import TRUST_FILE
from ssl_perception.io import images
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception.io.results import read_depth
from ssl_perception.runtime.ros_processes import Nodes
from ssl_perception.types import CameraModel, Cue

pytestmark = pytest.mark.ros

START = 180.0
MODELS = Path(__file__).parents[2] / "models"
DRONE = {"preset": "drone"}


def diagnostics(bag: Path, node: str) -> list[tuple[float, int, str, dict[str, str]]]:
    """Time of coming, level, message and values of each status of one node."""
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == "/diagnostics"]
        found = []
        for connection, stamp, raw in reader.messages(wanted):
            for status in typestore().deserialize_cdr(raw, connection.msgtype).status:
                if status.name.startswith(node):
                    level = status.level
                    number = level[0] if isinstance(level, bytes) else int(level)
                    values = {v.key: v.value for v in status.values}
                    found.append((stamp * 1e-9, number, status.message, values))
    return found


def messages(bag: Path, topic: str) -> list[tuple[float, Any]]:
    """Time of coming and message."""
    with Reader(bag) as reader:
        wanted = [c for c in reader.connections if c.topic == topic]
        return [
            (when * 1e-9, typestore().deserialize_cdr(raw, connection.msgtype))
            for connection, when, raw in reader.messages(wanted)
        ]


def scans(bag: Path) -> list[tuple[float, bool]]:
    """Time of coming of each scan, and whether it knows anything."""
    found = messages(bag, "/obstacle_distance")
    return [(when, not np.isnan(scan.ranges).all()) for when, scan in found]


def answers(bag: Path, cue: Cue, since: float, until: float = math.inf) -> list[bool]:
    """Of each depth image that came then: does its scan know anything? Each must have one.

    Up to the last one that has one: what came later was still under way when all ended. Scans that
    are made up when nothing comes for a while, as on a busy machine, are no answers. Images of mono
    count from stereo's last one on: what stereo skips while it lives gets no scan, by design.
    """
    scans = {stamp_ns(scan.header.stamp): scan for _, scan in messages(bag, "/obstacle_distance")}
    depths = messages(bag, f"/{cue.value}/depth")
    said = [stamp_ns(depth.header.stamp) for when, depth in depths if since < when < until]
    if cue is Cue.MONO:
        newest = max(stamp_ns(depth.header.stamp) for _, depth in messages(bag, "/stereo/depth"))
        said = [stamp for stamp in said if stamp > newest]
    last = max((stamp for stamp in said if stamp in scans), default=0)
    said = [stamp for stamp in said if stamp <= last]
    assert said and scans.keys() >= set(said), f"each image of {cue.value} has its scan"
    return [not np.isnan(scans[stamp].ranges).all() for stamp in said]


def kill(nodes: Nodes, name: str) -> float:
    """kill -9, its children too; when."""
    os.killpg(nodes.processes[name].pid, signal.SIGKILL)
    nodes.processes.pop(name).wait()
    return time.time()


def wait_for_model(store: Path, newer_than: int, seconds: float = 90.0) -> int:
    until = time.monotonic() + seconds
    while (newest := ModelStore(store).newest() or 0) <= newer_than:
        assert time.monotonic() < until, "the learner saved nothing"
        time.sleep(0.1)
    return newest


def wait_for_steps(store: Path, more_than: int, seconds: float = 90.0) -> int:
    """Until the newest generation has learnt so many steps; how many it has."""
    until = time.monotonic() + seconds
    while True:
        found = ModelStore(store).load(names=[], extras=False)
        steps = 0 if found is None else int(found.notes["steps"])
        if steps > more_than:
            return steps
        assert time.monotonic() < until, f"only {steps} steps were learnt"
        time.sleep(0.1)


@pytest.mark.alone
def test_the_student_learns_in_flight_and_is_not_used_before_it_is_trusted(
    nodes: Nodes, tmp_path: Path
) -> None:
    output, store = tmp_path / "out.mcap", tmp_path / "store"
    outputs = "obstacle_distance stereo/depth mono/depth /diagnostics"
    nodes.start(
        "bag_recorder",
        {"output": str(output), "outputs": outputs},
    )
    nodes.start("stereo_depth", DRONE)
    # after seconds of learning most views are novel: without those limits trust alone keeps it out
    anywhere = {"student.max_novelty": 2.0, "student.new_place": 100.0}
    nodes.start("mono_depth", {**DRONE, **anywhere, "store": str(store)})
    # the cameras may be found by mono_depth seconds later than by the learner: no model before then
    learns = {"store": str(store), "learner.save_seconds": 4.0, "learner.prior": "none"}
    nodes.start("depth_learner", {**DRONE, **learns})
    trust_file = tmp_path / "trust.json"
    # with room for all that waits, each image of mono has its scan, on a busy machine too
    nodes.start("obstacle_distance", {**DRONE, "trust_file": str(trust_file), "queue": 100})
    nodes.start("avoid", DRONE)
    nodes.ready(START)
    nodes.start("sim_world", {**DRONE, "seed": 6})
    nodes.ready(START)
    first = wait_for_model(store, 0)
    wait_for_model(store, first + 1)
    time.sleep(2.0)

    learner_died = kill(nodes, "depth_learner")
    time.sleep(5.0)
    stereo_died = kill(nodes, "stereo_depth")
    time.sleep(4.0)
    assert nodes.failures() == {}

    seen = scans(output)
    between = [when for when, _ in seen if learner_died < when < stereo_died]
    pauses = np.diff([learner_died, *between, stereo_died])
    assert pauses.max() < 1.0, "without the learner obstacle distance goes on"
    assert np.mean(answers(output, Cue.STEREO, learner_died, stereo_died)) > 0.9
    after = {when: known for when, known in seen if when > stereo_died + 0.7}
    # however slowly a busy machine simulates: no pause
    pauses = np.diff([stereo_died + 0.7, *after, stereo_died + 4.0])
    assert pauses.max() < 1.0, "without stereo the scan goes on"
    assert not any(answers(output, Cue.MONO, stereo_died + 0.7))
    assert not any(after.values()), "a student that is not trusted is not used"
    reported = diagnostics(output, "obstacle_distance")
    alarms = [(when, message) for when, level, message, _ in reported if level == 2]
    assert alarms, reported[-3:]
    assert "mono is not trusted yet" in alarms[-1][1]
    assert any(values.get("trust") == "stereo" for *_, values in reported)
    answered = [depth for _, depth in read_depth(output, "/mono/depth")]
    known = [bool(np.isfinite(depth).any()) for depth in answered]
    assert not known[0], "before the first model it knows nothing"
    assert any(known), "then it answers"
    models = {values["generation"] for *_, values in diagnostics(output, "mono_depth")
              if "generation" in values}  # fmt: skip
    assert len(models - {"none"}) >= 2, "models were exchanged in flight"
    assert trust_file.exists()


@pytest.mark.alone
def test_a_trusted_student_takes_over_when_stereo_fails(nodes: Nodes, tmp_path: Path) -> None:
    """The student that ships, in the room that it knows, with the trust that it earned there."""
    output, store = tmp_path / "out.mcap", tmp_path / "store"
    shutil.copytree(MODELS / "drone_room", store)
    outputs = "obstacle_distance stereo/depth mono/depth /diagnostics"
    nodes.start("bag_recorder", {"output": str(output), "outputs": outputs})
    nodes.start("stereo_depth", DRONE)
    nodes.start("mono_depth", {**DRONE, "store": str(store)})
    trust_file = store / TRUST_FILE
    nodes.start("obstacle_distance", {**DRONE, "trust_file": str(trust_file), "queue": 100})
    nodes.start("avoid", DRONE)
    nodes.ready(START)
    nodes.start("sim_world", {**DRONE, "seed": 2})
    nodes.ready(START)
    time.sleep(8.0)
    stereo_died = kill(nodes, "stereo_depth")
    time.sleep(4.0)
    assert nodes.failures() == {}

    after = [when for when, _ in scans(output) if when > stereo_died + 1.5]
    pauses = np.diff([stereo_died + 1.5, *after, stereo_died + 4.0])
    assert pauses.max() < 1.0 and np.mean(answers(output, Cue.MONO, stereo_died + 1.5)) > 0.9
    reported = [
        values["trust"]
        for when, _, _, values in diagnostics(output, "obstacle_distance")
        if "trust" in values and when > stereo_died + 1.5
    ]
    assert reported and set(reported) == {"mono"}


@pytest.mark.alone
def test_what_was_learnt_survives_and_can_be_forgotten(nodes: Nodes, tmp_path: Path) -> None:
    store = tmp_path / "store"

    def call(service: str) -> str:
        client = Path(__file__).with_name("trigger_client.py")
        done = subprocess.run(
            [sys.executable, str(client), service],
            env=nodes._environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    nodes.start("stereo_depth", DRONE)
    rarely = {"learner.save_seconds": 3000.0, "learner.prior": "none"}  # a prior is saved at once
    nodes.start("depth_learner", {"store": str(store), **rarely})
    nodes.ready(START)
    nodes.start("sim_world", {**DRONE, "seed": 6})
    nodes.ready(START)
    time.sleep(4.0)
    assert ModelStore(store).newest() is None, "not of itself"
    until = time.monotonic() + START
    while ModelStore(store).newest() is None:  # there is nothing to save before the first step
        assert time.monotonic() < until, "nothing is saved"
        assert call("depth_learner/save").startswith("True")
        time.sleep(1.0)
    first = wait_for_model(store, 0)

    os.killpg(nodes.processes["depth_learner"].pid, signal.SIGKILL)
    nodes.processes.pop("depth_learner").wait()
    nodes.start("depth_learner", {"store": str(store), "learner.save_seconds": 1.0})
    nodes.ready(START)
    wait_for_model(store, first)
    learnt = wait_for_steps(store, 40)

    assert call("depth_learner/reset").startswith("True")
    wait_for_model(store, 0)
    again = ModelStore(store).load(names=[], extras=False)
    assert again is not None
    assert again.notes["steps"] < learnt
    assert nodes.failures() == {}


def test_mono_depth_is_unknown_while_the_camera_is_frozen(nodes: Nodes, tmp_path: Path) -> None:
    log, output, store = tmp_path / "log.mcap", tmp_path / "out.mcap", tmp_path / "store"
    with ModelStore(store) as opened:
        Checkpoint(opened).save(Learner(seed=0))
    camera = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5, "left_optical_frame")
    shown = [0, 1, 2, 2, 2, 2, 6, 7]
    start, step = 1_700_000_000_000_000_000, 600_000_000  # diagnostics come once a second
    with OutputBag(log) as bag:
        for k, seed in enumerate(shown):
            picture = np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8)
            bag.camera_info("left/camera_info", start + k * step, camera)
            bag.image("left/image_rect", start + k * step, images.encode(picture, "bgr8"))
    wanted = {"output": str(output), "outputs": "mono/depth /diagnostics"}
    nodes.start("bag_recorder", wanted)
    nodes.start("mono_depth", {"store": str(store), "queue": 100})
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(log)})
    assert nodes.wait("bag_player", START) == 0, nodes.last("bag_player")
    assert nodes.failures() == {}
    known = [bool(np.isfinite(depth).any()) for _, depth in read_depth(output, "/mono/depth")]
    assert known == [True, True, True, False, False, False, True, True]
    reported = {message for _, _, message, _ in diagnostics(output, "mono_depth")}
    assert any("left image frozen" in message for message in reported), reported


def test_two_learners_on_one_store_are_one_too_many(nodes: Nodes, tmp_path: Path) -> None:
    with ModelStore(tmp_path / "store"):
        process = nodes.start("depth_learner", {"store": str(tmp_path / "store")})
        assert process.wait(60.0) == 2
        assert "another learner writes here already" in nodes.last("depth_learner")
