"""Publish a recording's stereo pairs one by one, each only after every node has answered the last.

    python lockstep_driver.py BAG LABELLED.json ANSWERS.json

``LABELLED.json`` lists the stamps (ns) of the pairs that the learner will learn from. Writes, per
stamp, the trust state, the scan, and what the learner reported.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, Image, LaserScan
from std_msgs.msg import UInt64

from ssl_perception.io.bag_log import typestore
from ssl_perception_ros.transport import use_shared_memory

PATIENCE = 60.0  # s for one pair
READERS = {  # who must have found whom before the first pair
    "left/image_rect": 3,
    "right/image_rect": 1,
    "left/camera_info": 2,
    "right/camera_info": 1,
    "stereo/depth": 2,
    "stereo/confidence": 2,
    "stereo/status": 2,
    "mono/depth": 1,
    "mono/status": 1,
    "model_ready": 1,
    "trust": 2,
}
KINDS = {"camera_info": CameraInfo, "image_rect": Image}
TOPICS = [f"{side}/{what}" for what in KINDS for side in ("left", "right")]


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def values_of(message: DiagnosticArray) -> dict[str, str]:
    return {pair.key: pair.value for pair in message.status[0].values}


class Driver(Node):
    def __init__(self) -> None:
        super().__init__("lockstep_driver")
        self.inputs = {t: self.create_publisher(KINDS[t.split("/")[1]], t, 10) for t in TOPICS}
        self.trust: dict[int, dict[str, str]] = {}
        self.scans: dict[int, list[float]] = {}
        self.learnt: dict[int, dict[str, str]] = {}
        self.generation = 0
        self.create_subscription(DiagnosticArray, "trust", self.take_trust, 10)
        self.create_subscription(LaserScan, "obstacle_distance", self.take_scan, 10)
        self.create_subscription(DiagnosticArray, "depth_learner/status", self.take_learnt, 10)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(UInt64, "mono/generation", self.take_generation, latched)

    def take_trust(self, message: DiagnosticArray) -> None:
        self.trust[stamp_of(message)] = values_of(message)

    def take_scan(self, message: LaserScan) -> None:
        self.scans[stamp_of(message)] = list(message.ranges)

    def take_learnt(self, message: DiagnosticArray) -> None:
        self.learnt[stamp_of(message)] = values_of(message)

    def take_generation(self, message: UInt64) -> None:
        self.generation = int(message.data)

    def learnt_at(self, stamp: int) -> dict[str, str] | None:
        """The learner's report on a frame; its stamp has been a float64 on the way."""
        return next((v for s, v in self.learnt.items() if abs(s - stamp) < 1000), None)

    def until(self, done: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            rclpy.spin_once(self, timeout_sec=0.01)
            if time.monotonic() > end:
                raise SystemExit(f"nothing after {PATIENCE:g} s: {what}")

    def found_each_other(self) -> bool:
        return all(self.count_subscribers(topic) >= n for topic, n in READERS.items())

    def play(self, stamp: int, raw: dict[str, bytes], learns: bool) -> None:
        """One pair, and all that the nodes say to it."""
        for topic in TOPICS:
            self.inputs[topic].publish(raw[topic])
        self.until(lambda: stamp in self.trust and stamp in self.scans, f"scan of {stamp}")
        if not learns:
            return
        self.until(lambda: self.learnt_at(stamp), f"learning from {stamp}")
        learnt = self.learnt_at(stamp)
        assert learnt is not None
        newest = int(learnt["generation"])
        self.until(lambda: self.generation >= newest, f"model {newest}")


def pairs(bag: Path) -> dict[int, dict[str, bytes]]:
    """Serialised messages by stamp, then by topic."""
    found: dict[int, dict[str, bytes]] = {}
    with Reader(bag) as reader:
        for connection, _, raw in reader.messages():
            topic = connection.topic.lstrip("/")
            if topic in TOPICS:
                message = typestore().deserialize_cdr(raw, connection.msgtype)
                found.setdefault(stamp_of(message), {})[topic] = bytes(raw)
    return found


def main(bag: str, labelled: str, answers: str) -> None:
    use_shared_memory()
    recorded = pairs(Path(bag))
    learns = set(json.loads(Path(labelled).read_text()))
    rclpy.init()
    driver = Driver()
    driver.until(driver.found_each_other, "readers")
    until = time.monotonic() + 3.0  # the nodes among each other
    driver.until(lambda: time.monotonic() > until, "settling")
    driver.until(lambda: driver.generation >= 1, "the prior")
    for stamp in sorted(recorded):
        driver.play(stamp, recorded[stamp], stamp in learns)
    result = {
        str(stamp): {
            "trust": driver.trust[stamp],
            "scan": [repr(value) for value in driver.scans[stamp]],
            "learnt": driver.learnt_at(stamp),
        }
        for stamp in recorded
    }
    Path(answers).write_text(json.dumps(result))
    rclpy.shutdown()


main(*sys.argv[1:])
