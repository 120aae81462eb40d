"""The demo, short: what it writes, and that its figures say something."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception import cli
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.results import read_depth, read_flow, read_scans
from ssl_perception.types import PointCloud, StereoPair


@pytest.mark.parametrize("through", [[], pytest.param(["--ros"], marks=pytest.mark.ros)])
def test_demo(through: list[str], tmp_path: Path) -> None:
    figures = tmp_path / "demo.json"
    arguments = ["demo", "--seconds", "3", "--out", str(tmp_path), "--json", str(figures)]
    cli.app([*arguments, *through], standalone_mode=False)

    log, output = tmp_path / "log.mcap", tmp_path / "output.mcap"
    inputs = list(open_log(log))
    sweeps = [r.stamp_ns for r in inputs if isinstance(r.value, PointCloud)]
    pairs = [r.stamp_ns for r in inputs if isinstance(r.value, StereoPair)]
    assert len(sweeps) >= 29 and len(pairs) >= 29
    assert [stamp for stamp, _ in read_flow(output)] == sweeps, "none lost"
    assert [stamp for stamp, _ in read_depth(output, "/stereo/depth")] == pairs
    assert [stamp for stamp, _ in read_scans(output)] == pairs

    if not through:  # the recorder of the nodes keeps no time to collision
        with Reader(output) as reader:
            wanted = [c for c in reader.connections if c.topic == "/time_to_collision"]
            told = [
                typestore().deserialize_cdr(raw, connection.msgtype).data
                for connection, _, raw in reader.messages(wanted)
            ]
        assert np.isnan(told).sum() == 1, "the car's footprint is set; a first sweep tells nothing"

    found = json.loads(figures.read_text())
    assert found["velocity_error_moving"] < 0.7 * found["velocity_error_moving_zero_flow"]
    assert found["velocity_error_static"] < 0.1
    assert found["depth_error_relative"] < 0.05 < found["depth_error_relative_constant_median"]
    for name in ("report.html", "scene_flow.png", "depth.png", "obstacle_distance.png"):
        assert (tmp_path / name).stat().st_size > 10_000
