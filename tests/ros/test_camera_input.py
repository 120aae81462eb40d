"""Raw, compressed images through ``stereo_depth``: the library's depth of the same bag."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ssl_perception.config import Config
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.results import read_depth
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.ros_processes import Nodes
from ssl_perception.types import StereoPair
from tests.unit.io.raw_wall import WALL, photograph, raw_info

pytestmark = pytest.mark.ros

STAMP = 1_700_000_000_000_000_000
SIDES = ("left", "right")


def write(path: Path) -> None:
    with OutputBag(path) as bag:
        for side in SIDES:
            given = vars(raw_info("plumb_bob", side))
            header, roi = bag.header(STAMP, "optical"), bag._whole_image()
            fields = {**given, "header": header, "roi": roi, "d": np.array(given["d"])}
            info = bag.message("sensor_msgs/msg/CameraInfo", **fields)
            bag.write(f"cam/{side}/camera_info", STAMP, info)
            data = cv2.imencode(".png", photograph("plumb_bob", side))[1].reshape(-1)
            kind = "sensor_msgs/msg/CompressedImage"
            image = bag.message(kind, header=header, format="mono8; png compressed", data=data)
            bag.write(f"cam/{side}/image_raw/compressed", STAMP, image)


def test_raw_compressed_images_come_back_as_depth(nodes: Nodes, tmp_path: Path) -> None:
    bag, output = tmp_path / "in.mcap", tmp_path / "out.mcap"
    write(bag)
    remaps = {f"{side}/image_rect": f"/cam/{side}/image_raw" for side in SIDES}
    remaps |= {f"{side}/camera_info": f"/cam/{side}/camera_info" for side in SIDES}
    nodes.start("bag_recorder", {"output": str(output), "outputs": "stereo/depth", "idle": 8.0})
    nodes.start("stereo_depth", {"queue": 10, "image_transport": "compressed"}, remaps)
    nodes.ready(60.0)
    nodes.start("bag_player", {"bag": str(bag)})
    assert nodes.wait("bag_player", 60.0) == 0, nodes.last("bag_player")
    assert nodes.wait("bag_recorder", 60.0) == 0, nodes.last("bag_recorder")
    assert nodes.failures() == {}
    ((_, depth),) = read_depth(output, "/stereo/depth")
    (pair,) = [recorded.value for recorded in open_log(bag)]
    assert isinstance(pair, StereoPair)
    np.testing.assert_array_equal(depth, DepthPipeline(Config()).process(pair).stereo.depth)
    assert np.nanmedian(depth) == pytest.approx(WALL, abs=0.02)
