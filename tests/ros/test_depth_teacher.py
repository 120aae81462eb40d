"""Node ``depth_teacher``: what it publishes is what the library says of the same bag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception.config import from_dict
from ssl_perception.io import images
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.cue_status import CueStatus
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import encode_points
from ssl_perception.io.results import read_depth
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.ros_processes import Nodes
from ssl_perception.types import CameraImage, CameraModel, Cue, PointCloud

pytestmark = pytest.mark.ros

START = 180.0
STAMP = 1_700_000_000_000_000_000
CAMERA = CameraModel(160, 120, 104.0, 104.0, 79.5, 59.5, "left_optical_frame")
SETTINGS: dict[str, dict[str, Any]] = {
    "depth": {"teacher.source": "depth"},
    # what has no ego motion yet, its first sweep, is too old for no image of its own stamp
    "lidar": {"teacher.source": "lidar", "camera_mount.x": 0.1, "teacher.lidar.beam_gap": 0.012},
}
FRAMES = 5


def sweep(k: int) -> PointCloud:
    """A wall ahead and one to either side, from where the lidar stands."""
    across, up = np.meshgrid(np.arange(-5.0, 5.0, 0.06), np.arange(-2.0, 2.0, 0.06))
    flat = [np.full_like(across, 5.0), across, up]
    walls = [flat, [across, flat[0], up], [across, -flat[0], up]]
    points = np.concatenate([np.stack(wall, -1).reshape(-1, 3) for wall in walls])
    points += np.random.default_rng(k).normal(0, 0.003, points.shape)
    return PointCloud(points.astype(np.float32), None, 0.1 * k, "lidar")


def write(path: Path) -> None:
    with OutputBag(path) as bag:
        for k in range(FRAMES):
            now, rng = STAMP + k * 100_000_000, np.random.default_rng(k)
            grey = rng.integers(0, 256, (120, 160), np.uint8)
            depth = rng.integers(900, 3000, (120, 160), np.uint16)
            bag.camera_info("left/camera_info", now, CAMERA)
            bag.cloud("points", now, encode_points(sweep(k)))
            # after the sweep of the same stamp: how a bag is ordered within one is up to it
            later = now + 5_000_000
            bag.image("left/image_rect", later, images.encode(grey, "mono8", CAMERA.frame))
            bag.image("left/depth", later, images.encode(depth, "16UC1", CAMERA.frame))


@pytest.mark.parametrize("source", ["depth", "lidar"])
def test_every_image_comes_back_as_depth(nodes: Nodes, tmp_path: Path, source: str) -> None:
    bag, output = tmp_path / "in.mcap", tmp_path / "out.mcap"
    write(bag)
    outputs = "stereo/depth stereo/status"
    nodes.start("bag_recorder", {"output": str(output), "outputs": outputs, "idle": 8.0})
    nodes.start("depth_teacher", {"queue": 100, **SETTINGS[source]})
    nodes.ready(START)
    nodes.start("bag_player", {"bag": str(bag)})
    assert nodes.wait("bag_player", START) == 0, nodes.last("bag_player")
    assert nodes.wait("bag_recorder", 60.0) == 0, nodes.last("bag_recorder")
    assert nodes.failures() == {}
    told = []
    with Reader(output) as reader:
        for connection, _, raw in reader.messages():
            if connection.topic == "/stereo/status":
                (status,) = typestore().deserialize_cdr(raw, connection.msgtype).status
                told.append(CueStatus.parse({pair.key: pair.value for pair in status.values}))
    assert [status.source for status in told] == [Cue(source)] * FRAMES
    assert all(status.valid for status in told[1:]), told
    depths = [depth for _, depth in read_depth(output, "/stereo/depth")]
    if source == "depth":
        pipeline = DepthPipeline(from_dict({"teacher": {"source": "depth"}}))
        values = [r.value for r in open_log(bag, teacher="depth")]
        frames = [value for value in values if isinstance(value, CameraImage)]
        for frame, depth in zip(frames, depths, strict=True):
            np.testing.assert_array_equal(depth, pipeline.process(frame).stereo.depth)
    else:
        ahead = depths[-1][25:35, 35:45]
        assert np.nanmedian(ahead) == pytest.approx(4.9, abs=0.02), "from the camera"
