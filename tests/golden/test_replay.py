"""The whole road on real recordings: one result per input, each with its source's own stamp."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ssl_perception import cli
from ssl_perception.config import Config
from ssl_perception.io.open_log import open_log
from ssl_perception.io.results import read_depth, read_flow, read_scans
from ssl_perception.types import PointCloud, StereoPair

LIDAR = ["lidar_seq_kitti_city", "ros2_bags_reencoded/vlp16_points_mcap"]
STEREO = ["stereo_seq_kitti_a", "ros2_bags_reencoded/kitti_stereo_db3"]


def stamps(log: Path, kind: type) -> list[int]:
    return [r.stamp_ns for r in open_log(log) if isinstance(r.value, kind)]


@pytest.mark.parametrize("name", LIDAR)
def test_a_lidar_log_gives_a_flow_cloud_per_sweep(
    name: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, figures = tmp_path / "out.mcap", tmp_path / "out.json"
    cli.app(
        ["replay", str(data / name), "--out", str(output), "--json", str(figures)],
        standalone_mode=False,
    )
    assert capsys.readouterr().out.count("footprint not set") == 1
    flows = list(read_flow(output))
    expected = stamps(data / name, PointCloud)
    assert [stamp for stamp, _ in flows] == expected
    first, later = flows[0][1], flows[1:]
    assert np.isnan(first.velocity).all() and not first.moving.any()
    for _, flow in later:
        known = np.isfinite(flow.velocity).all(axis=1)
        assert known.mean() > 0.5
        np.testing.assert_array_equal(known, flow.confidence > 0)
        assert not (flow.moving & ~known).any()
    assert json.loads(figures.read_text())["flow_messages"] == len(expected)


@pytest.mark.parametrize("name", STEREO)
def test_a_stereo_log_gives_a_depth_and_a_scan_per_pair(
    name: str, data: Path, tmp_path: Path
) -> None:
    output, report = tmp_path / "out.mcap", tmp_path / "report.html"
    cli.app(
        ["replay", str(data / name), "--out", str(output), "--report", str(report)],
        standalone_mode=False,
    )
    expected = stamps(data / name, StereoPair)
    depths = list(read_depth(output, "/stereo/depth"))
    scans = list(read_scans(output))
    assert [stamp for stamp, _ in depths] == expected
    assert [stamp for stamp, _ in scans] == expected
    for (_, depth), (_, scan) in zip(depths, scans, strict=True):
        assert np.isfinite(depth).mean() > 0.4
        assert len(scan.ranges) == Config().scan.sectors == 72
        behind = np.abs(scan.angles) > np.pi / 2
        assert np.isnan(scan.ranges[behind]).all(), "what no camera sees is unknown"
        assert not np.isnan(scan.ranges[~behind]).all()
    page = report.read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "<script" not in page


def test_the_same_log_gives_the_same_flow_twice(data: Path, tmp_path: Path) -> None:
    found = []
    for name in ("a.mcap", "b.mcap"):
        log = str(data / "lidar_vlp16_rosbag")
        cli.app(["replay", log, "--out", str(tmp_path / name)], standalone_mode=False)
        found.append([flow.velocity for _, flow in read_flow(tmp_path / name)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
