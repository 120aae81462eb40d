"""Stereo against the lidar: a calibration that is wrong looks perfect to stereo alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ssl_perception.config import CameraMountConfig, Config, LidarTeacherConfig
from ssl_perception.depth.teacher.lidar_check import LidarCheck, fit, make_check
from ssl_perception.types import CameraModel, DepthMap, PointCloud, StereoPair

CAMERA = CameraModel(320, 240, 200.0, 200.0, 160.0, 120.0)
BASELINE = 0.2
RNG = np.random.default_rng(0)
# stairs that go away from the camera, 3 to 12 m, in its optical axes
STEPS = np.concatenate(
    [
        np.stack(
            np.broadcast_arrays(
                np.arange(-1.2, 1.2, 0.01)[None] * z / 1.5,
                np.linspace(top, top + 0.2, 40)[:, None] * z,
                z,
            ),
            -1,
        ).reshape(-1, 3)
        for z, top in zip((12.0, 8.0, 6.0, 4.0, 3.0), (-0.5, -0.3, -0.1, 0.1, 0.3), strict=True)
    ]
)


def truth(points: np.ndarray = STEPS) -> np.ndarray:
    """(H, W) depth of the stairs, NaN beside them."""
    depth = np.full((CAMERA.height, CAMERA.width), np.nan, np.float32)
    column, row = (np.round(p).astype(int) for p in CAMERA.project(points.astype(np.float32)))
    inside = (column >= 0) & (column < CAMERA.width) & (row >= 0) & (row < CAMERA.height)
    depth[row[inside], column[inside]] = points[inside, 2]
    return depth


def doubt_of(toe_in: float = 0.0, scale: float = 1.0, frames: int = 6) -> str:
    """After some pairs with disparities so many pixels off, and a baseline so many times too
    long."""
    check = LidarCheck(LidarTeacherConfig(min_known=0.05), np.eye(4))
    for k in range(frames):
        stamp = 1.0 * k
        points = (STEPS + RNG.normal(0, 0.01, STEPS.shape)).astype(np.float32)
        check.add(PointCloud(points, stamp=stamp), np.zeros(6))
        image = RNG.integers(0, 255, (240, 320), dtype=np.uint8)
        disparity = CAMERA.fx * BASELINE / truth() + toe_in + RNG.normal(0, 0.2, (240, 320))
        measured = (CAMERA.fx * BASELINE * scale / disparity).astype(np.float32)
        pair = StereoPair(image, image, CAMERA, BASELINE * scale, stamp)
        check.compare(DepthMap(measured, CAMERA, stamp), pair)
    return check.doubt


def test_a_right_calibration_is_not_doubted() -> None:
    assert doubt_of() == ""


@pytest.mark.parametrize("toe_in", [6.0, -3.0])
def test_toe_in(toe_in: float) -> None:
    line = doubt_of(toe_in=toe_in)
    found = re.search(r"disparities are ([-+][\d.]+) px off: a camera has turned", line)
    assert found is not None, line
    assert float(found[1]) == pytest.approx(toe_in, abs=0.3)


@pytest.mark.parametrize("scale", [1.4, 0.7])
def test_a_wrong_baseline(scale: float) -> None:
    line = doubt_of(scale=scale)
    assert f"depth is {scale:.2f}"[:11] in line and "check baseline and fx" in line


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_lidar_whose_y_is_mirrored(side: float) -> None:
    """Along a wall to the left; a lidar that mirrors y has it to the right."""
    z, y = np.meshgrid(np.arange(2.0, 12.0, 0.01), np.linspace(-1.5, 1.5, 60))
    wall = np.stack([np.full_like(z, -1.5), y, z], -1).reshape(-1, 3)
    end = np.stack(np.meshgrid(np.arange(-1.5, 6.0, 0.02), np.linspace(-2, 2, 90), [12.0]), -1)
    wall = np.concatenate([wall, end.reshape(-1, 3)])
    check = LidarCheck(LidarTeacherConfig(min_known=0.05), np.eye(4))
    for k in range(6):
        image = RNG.integers(0, 255, (240, 320), dtype=np.uint8)  # the same again would be frozen
        mirrored = (wall * (side, 1.0, 1.0) + RNG.normal(0, 0.01, (1, 3))).astype(np.float32)
        check.add(PointCloud(mirrored, stamp=1.0 * k), np.zeros(6))
        pair = StereoPair(image, image, CAMERA, BASELINE, 1.0 * k)
        check.compare(DepthMap(truth(wall), CAMERA, 1.0 * k), pair)
    assert ("is the lidar's y mirrored" in check.doubt) == (side < 0.0)
    assert bool(check.doubt) == (side < 0.0)


def test_one_comparison_is_not_enough() -> None:
    assert doubt_of(toe_in=6.0, frames=3) == ""


def test_what_tells_nothing_is_passed_over() -> None:
    wall = np.full((60, 80), 4.0)
    assert fit(wall, wall) is None, "one depth: slope and offset can't be told apart"
    few = np.full((60, 80), np.nan)
    few[:5, :10] = np.linspace(2, 9, 10)
    assert fit(few, few) is None


def test_it_needs_to_know_where_the_camera_sits() -> None:
    assert make_check(Config()) is None
    assert make_check(Config(), np.eye(4)) is not None
    assert make_check(Config(camera_mount=CameraMountConfig(x=1.0))) is not None
    assert make_check(Config(teacher={"source": "lidar"}), np.eye(4)) is None
