"""The report to look through: what it shows, that it stays small, and that it asks for nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.depth.result import DepthResult
from ssl_perception.depth.trust.state import Trust
from ssl_perception.evaluation import drive as module
from ssl_perception.evaluation.drive import MAX_FRAMES, MAX_POINTS, Drive
from ssl_perception.evaluation.report import write_html
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.types import (
    CameraModel,
    DepthMap,
    MovingObject,
    ObstacleScan,
    PointCloud,
    SceneFlow,
)

CAMERA = CameraModel(4, 3, 1.0, 1.0, 1.0, 1.0)


def sweep(k: int, points: int = 5000, milliseconds: float = 30.0, reset: str = "") -> SweepFlow:
    """A sweep with 10 points that move at 5 m/s, on one track."""
    rng = np.random.default_rng(k)
    moving = np.arange(points) < 10
    flow = np.where(moving[:, None], [-0.5, 0.0, 0.0], 0.0).astype(np.float32)
    cloud = PointCloud(
        rng.uniform(-9, 9, (points, 3)).astype(np.float32), stamp=0.1 * k, frame="lidar"
    )
    track = MovingObject(
        7, np.zeros(3), np.ones(3), 0.5, np.array([5.0, 0, 0]), np.arange(10), 1.0, 0.9
    )
    return SweepFlow(
        cloud,
        SceneFlow(flow, moving, np.ones(points, np.float32), -0.1),
        np.zeros(points, np.bool_),
        np.eye(4),
        [track],
        {"solver": milliseconds / 1e3, "ground": 0.01},
        reset,
    )


def depth(k: int, valid: bool) -> DepthResult:
    map_ = DepthMap(
        np.ones((3, 4), np.float32),
        CAMERA,
        0.1 * k,
        valid=valid,
        reason="" if valid else "a blank wall",
    )
    scan = ObstacleScan(np.full(4, np.nan, np.float32), 0.0, 1.0, 0.1, 9.0, 0.1 * k)
    return DepthResult(map_, None, None, Trust(), scan, scan, None, None, {"stereo": 0.02})


def plots(page: str) -> list[str]:
    return re.findall(r"Plotly\.newPlot\(", page)


def test_the_page_holds_all_and_asks_for_nothing(tmp_path: Path) -> None:
    drive = Drive()
    for k in range(4):
        drive.sweep(sweep(k), np.eye(4))
        drive.depth(depth(k, valid=k != 2), "stereo pair")
    write_html(tmp_path / "r.html", "A run", "", drive.sections())
    page = (tmp_path / "r.html").read_text()
    assert len(plots(page)) == 3
    assert page.count("/**\n* plotly.js v") == 1
    assert r"7: 5.0 m\u002fs" in page and "a blank wall" in page
    assert not re.search(r"<(script|img|iframe)[^>]+src=[\"']?(https?:)?//", page)
    assert "<link" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert "default-src &#39;none&#39;" in policy[1] and "http" not in policy[1]
    assert "prefers-color-scheme" in page and "width=device-width" in page


def test_a_page_without_plots_has_no_script(tmp_path: Path) -> None:
    write_html(tmp_path / "r.html", "A run", "", [])
    assert "<script" not in (tmp_path / "r.html").read_text()


def test_a_long_run_keeps_a_bounded_number_of_frames_and_points(tmp_path: Path) -> None:
    drive = Drive()
    for k in range(3 * MAX_FRAMES):
        drive.sweep(sweep(k, points=2 * MAX_POINTS), np.eye(4))
    assert len(drive._frames) <= MAX_FRAMES
    assert all(len(f.static) + len(f.moving) <= MAX_POINTS for f in drive._frames)
    seconds = [frame.seconds for frame in drive._frames]
    assert np.allclose(np.diff(seconds), seconds[1] - seconds[0])
    assert seconds[0] == 0.0 and seconds[-1] > 0.9 * 0.1 * 3 * MAX_FRAMES
    write_html(tmp_path / "r.html", "A run", "", drive.sections())
    assert (tmp_path / "r.html").stat().st_size < 12e6


def test_unusable_inputs_are_worst_then_slow_ones() -> None:
    drive = Drive()
    for k in range(9):
        slow, reset = 300.0 if k == 5 else 30.0 + k, "time went back" if k == 3 else ""
        drive.sweep(sweep(k, milliseconds=slow, reset=reset), np.eye(4))
    (worst,) = [s for s in drive.sections() if s.title == "Worst inputs"]
    assert len(worst.rows) == module.WORST
    assert worst.rows[0][4] == "time went back" and worst.rows[1][2] == "310.0"
    assert worst.rows[1][3] == "solver 300.0 ms"


def test_boxes_turn_with_the_track_and_go_where_the_robot_is() -> None:
    pose = np.eye(4)
    pose[:3, 3] = 100.0, 0.0, 0.0
    track = MovingObject(
        1,
        np.array([10.0, 0, 0]),
        np.array([4.0, 2.0, 1.0]),
        np.pi / 2,
        np.zeros(3),
        np.zeros(0, np.intp),
        0.0,
        1.0,
    )
    box = module._box(track, pose)[:-1]
    np.testing.assert_allclose(np.ptp(box, axis=0), [2.0, 4.0, 1.0], atol=1e-5)
    np.testing.assert_allclose((box.max(axis=0) + box.min(axis=0)) / 2, [110.0, 0, 0], atol=1e-5)


@pytest.mark.parametrize("sweeps", [0, 1])
def test_a_run_of_hardly_anything_is_no_failure(sweeps: int, tmp_path: Path) -> None:
    drive = Drive()
    for k in range(sweeps):
        drive.sweep(sweep(k), np.eye(4))
    write_html(tmp_path / "r.html", "A run", "", drive.sections())
    assert json.dumps((tmp_path / "r.html").read_text())
