"""Given this depth image, this obstacle scan; and what is unknown is never free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_perception.config import ScanConfig
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    ObstacleScan,
)

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5, "left_camera_optical_frame")
OPTIONS = ScanConfig(range_min=0.2, range_max=10.0, below=0.4, above=0.4)


def scan_of(depth: np.ndarray, options: ScanConfig = OPTIONS, **fields: object) -> ObstacleScan:
    return obstacle_scan(DepthMap(depth.astype(np.float32), CAMERA, **fields), options)  # type: ignore[arg-type]


def ahead(scan: ObstacleScan) -> np.ndarray:
    return scan.ranges[np.abs(scan.angles) < np.radians(30)]


def wall(z: float) -> np.ndarray:
    return np.full((240, 320), z)


def test_wall_ahead_is_at_its_horizontal_distance() -> None:
    scan = scan_of(wall(3.0))
    inner = np.abs(scan.angles) < np.radians(30)
    half = scan.angle_increment / 2
    nearest = 3.0 / np.cos(np.abs(scan.angles[inner]) - half)
    farthest = 3.0 / np.cos(np.abs(scan.angles[inner]) + half)
    assert (scan.ranges[inner] >= nearest - 1e-3).all()
    assert (scan.ranges[inner] <= farthest).all()


def test_outside_the_image_all_is_unknown() -> None:
    scan = scan_of(wall(3.0))
    edge = np.arctan(160 / CAMERA.fx)
    outside = np.abs(scan.angles) > edge + scan.angle_increment / 2
    assert len(scan.ranges) == 72
    assert np.isnan(scan.ranges[outside]).all()
    assert np.isfinite(scan.ranges[np.abs(scan.angles) < edge - scan.angle_increment]).all()


def test_angles_cover_the_circle_once_and_left_is_positive() -> None:
    depth = wall(5.0)
    depth[:, :60] = 1.0  # left of the image
    scan = scan_of(depth)
    assert scan.angles[0] == pytest.approx(-np.pi + scan.angle_increment / 2)
    assert scan.angles[-1] == pytest.approx(np.pi - scan.angle_increment / 2)
    nearest = scan.angles[np.nanargmin(scan.ranges)]
    assert np.radians(20) < nearest < np.radians(40)


def test_nothing_within_range_is_clear() -> None:
    assert (ahead(scan_of(wall(30.0))) == np.inf).all()


def test_too_near_is_minus_infinity() -> None:
    assert (ahead(scan_of(wall(0.1))) == -np.inf).all()


def test_unknown_everywhere_is_never_free() -> None:
    assert np.isnan(scan_of(wall(np.nan)).ranges).all()


def test_invalid_depth_is_never_free() -> None:
    scan = scan_of(wall(30.0), valid=False, reason="no texture")
    assert np.isnan(scan.ranges).all()
    assert scan.cue is Cue.NONE


@pytest.mark.parametrize("far", [5.0, 30.0])
def test_mostly_unknown_sector_is_unknown_not_as_far_as_what_shows_through(far: float) -> None:
    depth = wall(np.nan)
    depth[::4] = far  # a quarter of the rays is known
    assert np.isnan(ahead(scan_of(depth))).all()


def test_hole_at_the_height_that_matters_is_not_made_up_for_by_floor_and_ceiling() -> None:
    depth = wall(30.0)
    depth[105:135] = np.nan  # the rows whose rays stay in the band out to range_max
    assert np.isnan(ahead(scan_of(depth))).all()


def test_near_obstacle_is_told_although_little_else_is_known() -> None:
    depth = wall(np.nan)
    depth[115:125] = 1.0
    assert ahead(scan_of(depth)) == pytest.approx(1.0, rel=0.2)


def test_blind_strip_of_the_matcher_is_unknown() -> None:
    depth = wall(30.0)
    depth[:, :64] = np.nan
    scan = scan_of(depth)
    blind = scan.angles - scan.angle_increment / 2 > np.arctan((159.5 - 64) / CAMERA.fx)
    assert np.isnan(scan.ranges[blind]).all()
    assert (ahead(scan)[:8] == np.inf).all()


def test_floor_and_ceiling_are_no_obstacles() -> None:
    slope = (np.arange(240) - CAMERA.cy) / CAMERA.fy
    with np.errstate(divide="ignore"):
        room = np.where(slope > 0, 0.5, 1.0) / np.abs(slope)  # floor 0.5 below, ceiling 1 m above
    depth = np.repeat(np.minimum(room, 50.0)[:, None], 320, axis=1)
    assert (ahead(scan_of(depth)) == np.inf).all()
    assert np.isfinite(
        ahead(scan_of(depth, ScanConfig(range_max=10.0, below=0.6, above=0.4)))
    ).all()


def test_a_few_wrong_pixels_are_no_obstacle() -> None:
    depth = wall(5.0)
    depth[np.random.default_rng(0).random(depth.shape) < 0.02] = 0.5
    assert (ahead(scan_of(depth)) > 4.9).all()


@pytest.mark.parametrize(
    ("optical", "body"),
    [
        ("camera_infra1_optical_frame", "camera_infra1_frame"),
        ("left_camera_optical", "left_camera"),
        ("base_link", "base_link"),
    ],
)
def test_frame_is_the_cameras_body_like_one_as_drivers_name_it(optical: str, body: str) -> None:
    depth = DepthMap(wall(3.0), replace(CAMERA, frame=optical))
    assert obstacle_scan(depth, OPTIONS).frame == body
    named = OPTIONS.model_copy(update={"frame": "front_level"})
    assert obstacle_scan(depth, named).frame == "front_level"
    assert obstacle_scan(DepthMap(wall(3.0), CAMERA), OPTIONS, "base_link").frame == "base_link"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_forgetting_pixels_never_makes_a_sector_freer(seed: int, share: float) -> None:
    """Dropping known pixels may lose a sector, never open one that was unknown."""
    random = np.random.default_rng(seed)
    depth = np.repeat(np.repeat(random.uniform(0.3, 20.0, (12, 16)), 20, 0), 20, 1)
    depth[random.random(depth.shape) < 0.3] = np.nan
    less = np.where(random.random(depth.shape) < share, np.nan, depth)
    before, after = scan_of(depth), scan_of(less)
    clear = after.ranges == np.inf
    assert (before.ranges[clear] > OPTIONS.near).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 400), st.floats(0.5, 3.0))
def test_any_sector_count_and_camera(sectors: int, focal: float) -> None:
    camera = CameraModel(40, 30, 40 * focal, 40 * focal, 19.5, 14.5)
    scan = obstacle_scan(
        DepthMap(np.full((30, 40), 1.0), camera), ScanConfig(sectors=sectors, below=1)
    )
    assert len(scan.ranges) == sectors
    assert not (scan.ranges == np.inf).any()


@pytest.mark.parametrize("z", [0.7, 1.5, 3.0, 6.0, 30.0])
def test_a_coarse_grid_sees_what_the_full_image_sees(z: float) -> None:
    """The student answers on 40x30 cells, of which only two rows stay in the band out to 8 m."""
    camera = CameraModel(40, 30, 26.06, 26.06, 19.5, 14.5)
    coarse = obstacle_scan(DepthMap(np.full((30, 40), z), camera), OPTIONS)
    fine = scan_of(wall(z))
    inner = np.abs(fine.angles) < np.radians(30)
    assert not np.isnan(coarse.ranges[inner]).any()
    np.testing.assert_allclose(coarse.ranges[inner], fine.ranges[inner], rtol=0.03)


def test_a_coarse_grid_sees_a_narrow_obstacle() -> None:
    camera = CameraModel(40, 30, 26.06, 26.06, 19.5, 14.5)
    depth = np.full((30, 40), 5.0)
    depth[:, 20:22] = 1.0
    scan = obstacle_scan(DepthMap(depth, camera), OPTIONS)
    assert np.nanmin(ahead(scan)) < 1.1


@pytest.mark.parametrize(
    ("ranges", "nearest"),
    [
        ([np.inf, np.inf, np.inf], np.inf),
        ([np.inf, 2.0, 3.0], 2.0),
        ([np.nan, 2.0, 3.0], 2.0),
        ([np.nan, np.inf, np.inf], np.nan),
        ([np.nan] * 3, np.nan),
        ([5.0, -np.inf, np.nan], -np.inf),
    ],
)
def test_nearest_ahead_is_clear_only_if_all_is_known(ranges: list[float], nearest: float) -> None:
    scan = ObstacleScan(np.array([0.1, *ranges, 0.1], np.float32), -0.2, 0.1, 0.2, 10.0)
    np.testing.assert_equal(nearest_ahead(scan, 0.15), nearest)


def test_far_obstacles_beside_an_unknown_sector_are_not_the_nearest_for_certain() -> None:
    ranges = np.array([np.nan, 2.5, 3.0], np.float32)
    scan = ObstacleScan(ranges, -0.1, 0.1, 0.2, 10.0, 0.0, "a", Cue.MONO)
    assert nearest_ahead(scan, 0.15) == 2.5
    assert np.isnan(nearest_ahead(scan, 0.15, beyond=1.1))
    ranges[1] = 0.9
    assert nearest_ahead(scan, 0.15, beyond=1.1) == pytest.approx(0.9)


def grid_camera() -> CameraModel:
    """The student's 40x30 cells, the same view."""
    return CameraModel(40, 30, CAMERA.fx / 8, CAMERA.fy / 8, 19.5, 14.5)


def grid_scan(depth: np.ndarray) -> ObstacleScan:
    return obstacle_scan(DepthMap(depth.astype(np.float32), grid_camera(), cue=Cue.MONO), OPTIONS)


def test_the_student_must_be_certain_of_nearly_all_of_a_sector() -> None:
    """Stereo sees through holes in its answer; where the student isn't certain may be anything, and
    a small obstacle fills a few cells."""
    coarse, fine = np.full((30, 40), 3.0), wall(3.0)
    assert np.isfinite(ahead(grid_scan(coarse))).all()
    coarse[14:17], fine[64:176] = np.nan, np.where(np.arange(112)[:, None] % 2, 3.0, np.nan)
    assert np.isnan(ahead(grid_scan(coarse))).all()
    assert np.isfinite(ahead(scan_of(fine))).all()


def test_between_the_beams_of_a_lidar_nothing_is_free_however_many_there_are() -> None:
    """Its depth says where something near is, never that there is nothing."""
    far, near = wall(30.0), wall(1.5)
    near[::3] = np.nan
    assert np.isposinf(ahead(scan_of(far))).all()
    assert np.isnan(scan_of(far, cue=Cue.LIDAR).ranges).all()
    assert np.isnan(scan_of(wall(3.0), cue=Cue.LIDAR).ranges).all()
    np.testing.assert_allclose(ahead(scan_of(near, cue=Cue.LIDAR)), ahead(scan_of(near)))


def test_where_a_depth_camera_sees_nothing_may_be_something() -> None:
    half = wall(3.0)
    half[::2] = np.nan
    assert np.isfinite(ahead(scan_of(half))).all()
    assert np.isnan(ahead(scan_of(half, cue=Cue.DEPTH))).all()
    assert np.isfinite(ahead(scan_of(wall(3.0), cue=Cue.DEPTH))).all()


@pytest.mark.parametrize(("metres", "known"), [(0.9, True), (1.6, False)])
def test_what_the_student_is_certain_of_is_told_only_where_it_is_near(
    metres: float, known: bool
) -> None:
    """At 1.6 m something else may be nearer; at 0.9 m it is near enough."""
    depth = np.full((30, 40), np.nan)
    depth[12:18] = metres
    assert np.isfinite(ahead(grid_scan(depth))).all() is np.bool_(known)


@pytest.mark.parametrize(("pitch", "roll"), [(0.15, 0.0), (-0.15, 0.1)])
def test_what_a_tilted_camera_does_not_see_is_not_uncertain(pitch: float, roll: float) -> None:
    """A few rows of the level view lie outside its image, of which the student gives all."""
    depth = DepthMap(np.full((30, 40), 3.0, np.float32), grid_camera(), cue=Cue.MONO)
    tilted = OPTIONS.model_copy(update={"camera_pitch": pitch, "camera_roll": roll})
    assert np.isfinite(ahead(obstacle_scan(depth, tilted))).all()
    holes = depth.depth.copy()
    holes[::4] = np.nan
    assert np.isnan(ahead(obstacle_scan(replace(depth, depth=holes), tilted))).all()


def seen_by_tilted_camera(pitch: float, roll: float) -> DepthMap:
    """A floor 0.5 m below the camera and a wall 3 m ahead, by the geometry of each ray."""
    u, v = np.meshgrid(np.arange(CAMERA.width), np.arange(CAMERA.height))
    right, down = (u - CAMERA.cx) / CAMERA.fx, (v - CAMERA.cy) / CAMERA.fy
    lower = right * np.sin(roll) + down * np.cos(roll)  # leaning right: the image's right is down
    forward = np.cos(pitch) - lower * np.sin(pitch)
    drop = np.sin(pitch) + lower * np.cos(pitch)
    with np.errstate(divide="ignore"):
        floor = np.where(drop > 0, 0.5 / drop, np.inf)
    depth = np.minimum(np.where(forward > 0, 3.0 / forward, np.inf), floor)
    return DepthMap(depth.astype(np.float32), CAMERA)


@pytest.mark.parametrize(("pitch", "roll"), [(0.3, 0.0), (-0.2, 0.0), (0.0, 0.3), (0.2, -0.15)])
def test_a_tilted_camera_gives_the_scan_of_a_level_one(pitch: float, roll: float) -> None:
    depth = seen_by_tilted_camera(pitch, roll)
    tilted = OPTIONS.model_copy(update={"camera_pitch": pitch, "camera_roll": roll})
    scan = obstacle_scan(depth, tilted)
    known = np.isfinite(scan.ranges)
    assert known[np.abs(scan.angles) < 0.35].all()
    off, half = np.abs(scan.angles[known]), scan.angle_increment / 2
    assert (scan.ranges[known] >= 3.0 / np.cos(off - half) - 0.02).all()
    assert (scan.ranges[known] <= 3.0 / np.cos(off + half) + 0.02).all()
    if abs(pitch) > 0.25:  # the floor within the band that is taken for the robot's
        wrong = obstacle_scan(depth, OPTIONS).ranges
        assert not np.allclose(wrong[known], scan.ranges[known], rtol=0.1, equal_nan=True)
