"""The demo, short: what it writes, and that its figures say something."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception import cli
from ssl_perception.commands.demo import files_written
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.results import read_depth, read_flow, read_scans
from ssl_perception.types import PointCloud, StereoPair


@pytest.mark.parametrize("through", [[], pytest.param(["--ros"], marks=pytest.mark.ros)])
def test_demo(through: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, figures = tmp_path / "demo", tmp_path / "demo.json"
    arguments = ["demo", "--seconds", "3", "--out", str(folder), "--json", str(figures)]
    flight = "0" if through else "12"  # the drone's half is the same with --ros
    cli.app([*arguments, "--drone-seconds", flight, *through], standalone_mode=False)

    log, output = folder / "log.mcap", folder / "output.mcap"
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
        assert (folder / name).stat().st_size > 10_000
    page = (folder / "report.html").read_text()
    assert "Thin black arrows are the true displacement" in page
    assert "collision.front=2.5" in page, "settings off their defaults"
    if through:
        assert "drone" not in found and not (folder / "drone.png").exists()
        return

    assert set(folder.iterdir()) == set(files_written(folder).values())
    drone = found["drone"]
    with_stereo, after = drone["with_stereo"], drone["after_loss"]
    assert with_stereo["seconds"] == pytest.approx(5.9) and after["seconds"] == pytest.approx(6.1)
    assert drone["trust"]["trusted"], "trust came along with the shipped student"
    guarded = with_stereo["active_cue"]["mono guarded by stereo"]
    assert guarded > 0.8, "after one test beside stereo"
    assert after["active_cue"] == {"mono": 1.0}, "from the first frame without stereo on"
    assert after["metres"] > 0.5 and drone["crashes"] == 0
    assert after["imminent_reported_free"] == 0
    assert "A drone that loses stereo" in page and "Stereo and student, side by side" in page
    printed = capsys.readouterr().out
    assert "stereo lost" in printed and str(folder / "drone.png") in printed.replace("\n", "")
    street, whole = (cv2.imread(str(folder / f"{name}.png")) for name in ("depth", "overview"))
    assert street is not None and whole is not None
    assert whole.shape[0] > 1000 and street.shape[1] > 500, "the overview shows both halves"
