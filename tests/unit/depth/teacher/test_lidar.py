"""A lidar as teacher: known points on known cells, what is hidden stays unknown, and the gate."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import CameraMountConfig, LidarMountConfig, LidarTeacherConfig
from ssl_perception.depth.teacher.lidar import LidarTeacher, camera_from_lidar, depth_grid
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.teacher.visibility import visible
from ssl_perception.types import CameraImage, CameraModel, Cue, DepthMap, PointCloud

CAMERA = CameraModel(320, 240, 200.0, 200.0, 159.5, 119.5, "left_optical_frame")
OPTIONS = LidarTeacherConfig(beam_gap=0.02, min_known=0.0)
AHEAD = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
STILL = np.zeros(6)


def image(stamp: float = 0.0, seed: int = 0) -> CameraImage:
    grey = np.random.default_rng(seed).integers(0, 256, (240, 320), np.uint8)
    return CameraImage(grey, CAMERA, stamp)


def cloud(points: np.ndarray, stamp: float = 0.0, time: np.ndarray | None = None) -> PointCloud:
    return PointCloud(np.asarray(points, np.float32), time, stamp, "lidar")


def seen(points: np.ndarray, mount: np.ndarray = AHEAD, **options: object) -> DepthMap:
    teacher = LidarTeacher(OPTIONS.model_copy(update=options), mount)
    teacher.add(cloud(points), STILL)
    depth = teacher.depth(image())
    assert depth.valid and depth.cue is Cue.LIDAR, depth.reason
    return depth


def wall(distance: float, half: float = 5.0, step: float = 0.01) -> np.ndarray:
    """Beams ``step`` rad apart that meet a wall across, in the lidar's axes."""
    angle = np.arange(-half / distance, half / distance, step)
    y, z = np.meshgrid(angle, angle)
    return distance * np.stack([np.ones_like(y), y, z], -1).reshape(-1, 3)


def test_a_known_point_lies_on_its_cell() -> None:
    """1.025 m left and 0.525 m up at 10 m are pixel (139, 109); a cell is 4 pixels wide."""
    depth = seen(np.array([[10.0, 1.025, 0.525], [-10.0, 1.0, 0.5], [10.0, 40.0, 0.0]]))
    assert np.argwhere(np.isfinite(depth.depth)).tolist() == [[109 // 4, 139 // 4]]
    assert depth.depth[27, 34] == pytest.approx(10.0)
    assert depth.confidence is not None and depth.confidence.sum() == 1
    assert depth.camera == depth_grid(CAMERA) and depth.camera.width == 80


def test_both_frames_as_the_settings_have_them() -> None:
    """Body axes of REP 103: the camera 1 m ahead of the body's origin, 0.5 m to its left, turned
    90 degrees to the left; the lidar 2 m above the origin, turned by as much to the right."""
    camera = CameraMountConfig(x=1.0, y=0.5, yaw=np.pi / 2)
    lidar = LidarMountConfig(z=2.0, yaw=-np.pi / 2)
    to_camera = camera_from_lidar(camera, lidar)
    assert to_camera is not None
    # in the lidar's axes 4 m behind it: on the body 4 m left; from the camera 3.5 m ahead of it,
    # and, of what lies 1 m behind the camera's place on the body, 1 m left; 2 m up
    np.testing.assert_allclose(to_camera @ [-4.0, 0, 0, 1], [-1.0, -2.0, 3.5, 1.0], atol=1e-3)
    down = camera_from_lidar(CameraMountConfig(pitch=0.1), LidarMountConfig())
    assert down is not None
    ahead = down @ [10.0, 0, 0, 1]
    assert ahead[1] < 0, "a camera that looks down sees the horizon above its axis"
    assert camera_from_lidar(CameraMountConfig(), lidar) is None, "not set"


def test_what_something_nearer_hides_is_left_out() -> None:
    """A lidar 1 m above the camera looks over a box at 5 m onto the wall at 20 m behind it."""
    mount = AHEAD.copy()
    mount[1, 3] = -1.0  # up is negative
    box = wall(5.0, 1.0) - [0, 0, 1.0]
    points = np.concatenate([box, wall(20.0, 8.0)])
    naive, handled = (seen(points, mount, occlusion=on) for on in (False, True))
    # rows and columns of the box's inside in the picture, of cells of 4 px
    inside = np.s_[22:38, 32:48]
    assert (naive.depth[inside] > 6.0).any(), "far points fall onto the box"
    assert (handled.depth[inside] < 6.0).mean() > 0.9
    assert not (handled.depth[inside] > 6.0).any()
    beside = np.s_[22:30, 22:28]
    np.testing.assert_array_equal(naive.depth[beside], handled.depth[beside])
    assert np.isfinite(handled.depth[beside]).mean() > 0.5, "the wall beside it is seen"


def test_the_ground_does_not_hide_itself() -> None:
    elevation = np.arange(-0.4, -0.04, 0.007)
    azimuth = np.arange(-0.5, 0.5, 0.003)
    down, across = np.meshgrid(elevation, azimuth)
    distance = 1.6 / np.tan(-down)
    ground = np.stack([np.tan(across) * distance, np.full_like(distance, 1.6), distance], -1)
    assert visible(ground.reshape(-1, 3).astype(np.float32), 0.009).all()


def test_points_are_carried_on_to_the_image() -> None:
    """10 m/s ahead, the image 0.1 s after the stamp: a wall at 10 m is then 9 m away; each point
    goes on from its own time."""
    ahead = np.array([10.0, 0, 0, 0, 0, 0])
    points = wall(10.0, 3.0)
    teacher = LidarTeacher(OPTIONS, AHEAD)
    teacher.add(cloud(points), ahead)
    assert np.nanmedian(teacher.depth(image(0.1)).depth) == pytest.approx(9.0, rel=1e-4)
    teacher.add(cloud(1.00001 * points, 1.0, np.full(len(points), 0.05, np.float32)), ahead)
    assert np.nanmedian(teacher.depth(image(1.1, 1)).depth) == pytest.approx(9.5, rel=1e-4)
    turning = np.array([0.0, 0, 0, 0, 0, 1.0])  # to the left: what was ahead is then to the right
    teacher.add(cloud(np.array([[10.0, 0, 0]]), 2.0), turning)
    column = np.argwhere(np.isfinite(teacher.depth(image(2.1, 2)).depth))[0, 1]
    assert column == (159.5 + 200 * 0.1 + 0.5) // 4


def test_the_gate() -> None:
    points = wall(10.0)
    teacher = LidarTeacher(LidarTeacherConfig(max_age=0.2, max_age_unmoved=0.05), AHEAD)
    assert teacher.depth(image(0.0)).reason == "no sweep yet"
    teacher.add(cloud(points), STILL)
    assert teacher.depth(image(0.15, 1)).valid
    old = teacher.depth(image(0.25, 2))
    assert not old.valid and old.reason == "sweep too old: 0.25 s, at most 0.2 s"
    assert np.isnan(old.depth).all() and pseudo_label(old) is None
    teacher.add(cloud(points + 0.001, 1.0), None)
    unmoved = teacher.depth(image(1.1, 3))
    assert unmoved.reason == "sweep too old: 0.10 s, at most 0.05 s, and the ego motion isn't known"
    assert teacher.depth(image(1.04, 4)).valid
    teacher.add(cloud(points + 0.001, 1.1), STILL)
    assert teacher.depth(image(1.1, 5)).reason.startswith("sweep frozen: bit-identical")
    teacher.add(cloud(points, 1.2), STILL)
    assert teacher.depth(image(1.2, 6)).valid, "another sweep, another verdict"
    assert teacher.depth(image(1.3, 6)).reason.startswith("left image frozen")
    teacher.add(cloud(points[:20], 1.4), STILL)
    few = teacher.depth(image(1.4, 7))
    assert not few.valid and few.reason == "too few points: in 0% of the cells, 5% asked"
    teacher.add(cloud(10.0 * points, 1.5), STILL)
    assert not teacher.depth(image(1.5, 8)).valid, "all beyond max_depth"
    teacher.camera_from_lidar = None
    assert teacher.depth(image(1.5, 9)).reason.startswith("it isn't known where the camera sits")
