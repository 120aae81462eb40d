"""The whole road on real recordings: one result per input, each with its source's own stamp."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from ssl_perception import cli
from ssl_perception.config import Config
from ssl_perception.io.model_store import ModelStore
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
    output, figures, path = (tmp_path / f"out.{end}" for end in ("mcap", "json", "tum"))
    arguments = ["replay", str(data / name), "--out", str(output), "--json", str(figures)]
    cli.app([*arguments, "--trajectory", str(path)], standalone_mode=False)
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
    told = json.loads(figures.read_text())
    assert told["flow_messages"] == len(expected)
    with Reader(output) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert counts["/tf"] == len(expected) and counts["/trajectory"] == 1
    lines = path.read_text().splitlines()
    assert [round(float(line.split()[0]) * 1e3) for line in lines] == [
        round(stamp * 1e-6) for stamp in expected
    ]
    assert told["ego_motion_unknown"] == 0 and told["trajectory_m"] >= 0.0


def test_without_an_output_results_are_shown_and_nothing_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.app(["replay", str(data / "lidar_vlp16_rosbag")], standalone_mode=False)
    assert "sweep" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


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
    assert page.count('<img src="data:image/png;base64,') == 3
    assert page.count("Plotly.newPlot(") == 2 and "<script src" not in page


def test_the_same_log_gives_the_same_flow_twice(data: Path, tmp_path: Path) -> None:
    found = []
    for name in ("a.mcap", "b.mcap"):
        log = str(data / "lidar_vlp16_rosbag")
        cli.app(["replay", log, "--out", str(tmp_path / name)], standalone_mode=False)
        found.append([flow.velocity for _, flow in read_flow(tmp_path / name)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of a drone in a room; the student hands over its first model after five."""
    log = tmp_path_factory.mktemp("room") / "room.mcap"
    cli.app(
        ["simulate", "room", "--seconds", "6", "--seed", "2", "--out", str(log)],
        standalone_mode=False,
    )
    return log


def test_replay_learns_and_a_later_one_uses_what_was_learnt(
    room: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, output, report = (tmp_path / name for name in ("store", "o.mcap", "r.html"))
    figures = tmp_path / "o.json"
    common = ["--config", "drone", "--store", str(store), "--json", str(figures)]
    common += ["--report", str(report)]
    cli.app(["replay", str(room), "--out", str(output), *common, "--learn"], standalone_mode=False)
    pairs = stamps(room, StereoPair)
    learnt = json.loads(figures.read_text())["trust"]
    # it starts from a prior that is so good here that six seconds of learning don't show
    assert 0.0 < learnt["student_error_last"] < 0.15 and 0.0 < learnt["student_error_first"] < 0.15
    stored = ModelStore(store).load(names=[], extras=False)
    assert stored is not None and stored.notes["steps"] >= 50
    assert learnt["active_cue_seconds"]["stereo"] > 5.0 and not learnt["trusted"]
    page = report.read_text()
    assert page.count('<img src="data:image/png;base64,') >= 5
    assert "stereo.disparities=48" in page and "ssl_perception" in page
    assert "true displacement" not in page, "a recording has no truth"
    assert "learner" in capsys.readouterr().out

    kept = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    again = tmp_path / "again.mcap"
    cli.app(["replay", str(room), "--out", str(again), *common], standalone_mode=False)
    used = json.loads(figures.read_text())
    assert used["latency_ms"].keys() == {"stereo pair", "student"}, "nothing is learnt"
    assert used["trust"]["student_error_last"] is None
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == kept
    mono = list(read_depth(again, "/mono/depth"))
    assert [stamp for stamp, _ in mono] == pairs
    assert all(np.isfinite(depth).any() for _, depth in mono), "from the first frame on"


def test_far_scenes_give_no_tests_and_replay_says_so(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, figures = tmp_path / "r.html", tmp_path / "o.json"
    arguments = ["replay", str(data / "stereo_seq_kitti_a"), "--out", str(tmp_path / "o.mcap")]
    arguments += ["--learn", "--report", str(report), "--json", str(figures)]
    cli.app(arguments, standalone_mode=False)
    found = json.loads(figures.read_text())["trust"]
    assert found["tpr"] is None and found["fpr"] is None and not found["trusted"]
    line = "no obstacle within the trigger distance (1.1 m) ahead was seen, so no tests"
    assert line in capsys.readouterr().out and line in report.read_text()
