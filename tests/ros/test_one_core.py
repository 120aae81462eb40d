"""What flies is what was measured: one recording through the pipeline in this process, and through
the real nodes in lockstep, gives the same labels, cue decisions, thresholds and scans, bit for bit.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from ssl_perception.config import Config, override, preset
from ssl_perception.io import images
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.pipeline import Perception
from ssl_perception.runtime.ros_processes import Nodes, environment
from ssl_perception.types import FloatArray, StereoPair
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import stereo_pipeline
from ssl_perception_sim.recording.topics import EPOCH_NS, stamp_ns
from ssl_perception_sim.sensors.picture_faults import CameraFaults, Dirt, Picture

pytestmark = pytest.mark.ros

SECONDS = 30.0
FAULTS: list[Picture | Dirt] = [
    Picture(fault="camera_black", side="right", start=14.0, end=17.0),
    Picture(fault="camera_frozen", side="left", start=20.0, end=21.0),
    Dirt(fault="camera_dirt", side="right", start=23.0, end=25.0, share=0.4),
    Picture(fault="camera_black", side="right", start=27.0),
]
# a gate that opens and closes within half a minute of flight
EAGER: dict[str, Any] = {
    "trust.min_positives": 2,
    "trust.min_tpr": 0.1,
    "trust.max_fpr": 0.95,
    "trust.near_window": 20,
    "learner.save_seconds": 1.5,
    "learner.memory.frames": 64,
}


@pytest.fixture(scope="module")
def flight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute in a room, with a black, a frozen and a dirty camera on the way."""
    path = tmp_path_factory.mktemp("flight") / "flight.mcap"
    flown, pipeline, faults = RoomFlight(2), stereo_pipeline(), CameraFaults(FAULTS, 2)
    with OutputBag(path) as bag:
        for frame in flown.fly(SECONDS / 60):
            # it flies on what it would see without the faults
            flown.command = flown.avoid.command(pipeline.process(frame.pair).scan)
            pair = faults.apply(frame.pair)
            ns, camera = stamp_ns(pair.stamp), pair.camera
            bag.camera_info("left/camera_info", ns, camera)
            bag.camera_info("right/camera_info", ns, camera, pair.baseline)
            bag.image("left/image_rect", ns, images.encode(pair.left, "bgr8", camera.frame))
            bag.image("right/image_rect", ns, images.encode(pair.right, "bgr8", camera.frame))
    return path


def configuration() -> Config:
    return override(preset("drone"), [f"{key}={value}" for key, value in EAGER.items()])


def in_this_process(log: Path, store: Path) -> dict[int, dict[str, Any]]:
    answers = {}
    with Perception(configuration(), store, learn=True) as perception:
        for recorded in open_log(log).read():
            assert isinstance(recorded.value, StereoPair)
            result = perception.stereo(recorded.value)
            label = result.label
            assert result.mono is not None
            answers[recorded.stamp_ns] = {
                "active_cue": result.trust.active_cue.value,
                "reason": result.trust.reason,
                "trusted": "true" if result.trust.trusted else "false",
                "threshold": repr(result.trust.threshold),
                "overrides": str(result.trust.overrides),
                "scan": result.scan.ranges,
                "label": None if result.learnt is None else _crc32(label),
                "generation": result.mono.generation or 0,
            }
    return answers


def _crc32(label: FloatArray | None) -> int:
    assert label is not None
    return zlib.crc32(label.tobytes())


def through_nodes(log: Path, labelled: list[int], folder: Path, domain: int) -> dict[str, Any]:
    parameters = folder / "parameters.yaml"
    patient = {"queue": 10, "timeout": 3600.0, "cue_wait": 3600.0, "cue_wait_least": 3600.0}
    values = {"preset": "drone", "store": str(folder / "store"), **patient, **EAGER}
    parameters.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    wanted, answers = folder / "labelled.json", folder / "answers.json"
    wanted.write_text(json.dumps(labelled))
    own = environment(domain)
    with Nodes(own, folder) as nodes:
        for name in ("stereo_depth", "mono_depth", "depth_learner", "obstacle_distance"):
            nodes.start(name, files=(parameters,))
        nodes.ready(180.0)
        driver = Path(__file__).with_name("lockstep_driver.py")
        done = subprocess.run(
            [sys.executable, str(driver), str(log), str(wanted), str(answers)],
            env=own,
            capture_output=True,
            text=True,
            timeout=900.0,
        )
        logs = {name: nodes.last(name) for name in nodes.processes}
        assert done.returncode == 0, f"{done.stderr}\n{logs}"
    found: dict[str, Any] = json.loads(answers.read_text())
    return found


def test_the_nodes_do_what_the_pipeline_does(flight: Path, domain: int, tmp_path: Path) -> None:
    cv2.setNumThreads(1)
    here = in_this_process(flight, tmp_path / "here")
    labelled = [stamp for stamp, answer in here.items() if answer["label"] is not None]
    there = through_nodes(flight, labelled, tmp_path, domain)

    cues = Counter(answer["active_cue"] for answer in here.values())
    assert len(cues) == 4, f"the flight must show every cue decision: {cues}"
    assert len(labelled) > 150 and max(answer["generation"] for answer in here.values()) >= 8
    assert len({answer["threshold"] for answer in here.values()}) > 2, "it must be calibrated"
    assert set(map(int, there)) == set(here)
    for stamp, mine in here.items():
        other, when = there[str(stamp)], f"at {(stamp - EPOCH_NS) * 1e-9:.1f} s"
        for key in ("active_cue", "reason", "trusted", "threshold", "overrides"):
            assert other["trust"][key] == mine[key], f"{key} {when}"
        scan = np.array([float(text) for text in other["scan"]], np.float32)
        np.testing.assert_array_equal(scan, mine["scan"], when)
        if mine["label"] is not None:
            assert int(other["learnt"]["label_crc32"]) == mine["label"], when
