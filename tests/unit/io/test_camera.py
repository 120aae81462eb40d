"""Cameras as drivers publish them: raw, cropped, binned, compressed; a wall stays where it is."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ssl_perception.config import CameraConfig, StereoConfig
from ssl_perception.depth.seen import only_seen
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.errors import InputError
from ssl_perception.io.camera import Camera, StereoCamera, says_rectified
from ssl_perception.io.camera_info import Rectification, camera_model
from ssl_perception.types import CameraModel, StereoPair
from tests.unit.io.camera_messages import image_message, info_message
from tests.unit.io.raw_wall import BASELINE, LENSES, TURNS, WALL, WIDE, K, photograph, raw_info

SMALL = CameraModel(8, 6, 100.0, 100.0, 4.0, 3.0, "optical")
GREY = image_message(np.arange(48, dtype=np.uint8).reshape(6, 8))
AUTO = CameraConfig()


def photographed(lens: str, config: CameraConfig = AUTO, name: str = "image_raw") -> StereoPair:
    stereo = StereoCamera(f"/cam/left/{name}", f"/cam/right/{name}", config)
    left, right = (image_message(photograph(lens, side)) for side in ("left", "right"))
    return stereo.read(left, right, raw_info(lens, "left"), raw_info(lens, "right"), 1.0)


@pytest.mark.parametrize("lens", LENSES)
def test_a_wall_seen_through_lenses_is_where_it_is(lens: str) -> None:
    pair = photographed(lens)
    assert pair.camera == WIDE and pair.baseline == pytest.approx(BASELINE)
    depth = only_seen(StereoMatcher(StereoConfig()).depth(pair), pair.seen)
    assert depth.valid, depth.reason
    known = np.isfinite(depth.depth)
    assert known.mean() > 0.6
    assert np.median(np.abs(depth.depth[known] - WALL)) < 0.01
    assert np.mean(np.abs(depth.depth[known] - WALL) > 0.1) < 0.01


def test_without_rectification_the_wall_is_lost() -> None:
    """What the test above would show of raw images that are taken for rectified ones."""
    pair = photographed("plumb_bob", name="image_rect")
    depth = StereoMatcher(StereoConfig()).depth(pair)
    near = np.abs(depth.depth - WALL) < 0.1
    assert not depth.valid or near.mean() < 0.2


def test_corners_that_the_lens_never_saw_are_unknown() -> None:
    pair = photographed("plumb_bob")
    wider = replace(WIDE, fx=120.0, fy=120.0)
    info = info_message(wider, distortion_model="plumb_bob", d=LENSES["plumb_bob"], k=K.reshape(-1))
    found = Camera("image_raw", AUTO).read(image_message(pair.left), info)
    assert found.seen is not None and not found.seen[0, 0] and found.seen[120, 160]
    assert found.image[0, 0] == 0
    depth = StereoMatcher(StereoConfig()).depth(pair)
    full = replace(depth, depth=np.full((240, 320), 9.0, np.float32), confidence=None)
    np.testing.assert_array_equal(np.isnan(only_seen(full, found.seen).depth), ~found.seen)
    coarse = CameraModel(40, 30, 15.0, 15.0, 20.0, 15.0)
    grid = replace(full, depth=np.full((30, 40), 9.0, np.float32), camera=coarse)
    cells = only_seen(grid, found.seen).depth
    assert np.isnan(cells[0, 0]) and cells[15, 20] == 9.0


def test_a_raw_image_is_refused_by_name_or_rectified_as_the_setting_says() -> None:
    never = CameraConfig(rectify="never")
    line = r"^/cam/left/image_raw is not rectified .*camera\.rectify"
    with pytest.raises(InputError, match=line):
        photographed("plumb_bob", never)
    # image_proc publishes image_rect beside the camera_info of the raw image
    for config in (AUTO, never):
        pair = photographed("plumb_bob", config, "image_rect")
        np.testing.assert_array_equal(pair.left, photograph("plumb_bob", "left"))
    always = photographed("plumb_bob", CameraConfig(rectify="always"), "image_rect")
    np.testing.assert_array_equal(always.left, photographed("plumb_bob").left)


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/left/image_rect", True),
        ("/left/image_rect_color/compressed", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/zed/left/color/rect/image", True),
        ("/left/image_raw", False),
        ("/direct/image", False),
        ("/rectory/image_raw/compressed", False),
    ],
)
def test_names_of_rectified_topics(topic: str, rectified: bool) -> None:
    assert says_rectified(topic) == rectified


def test_maps_are_made_once_for_a_calibration() -> None:
    camera, info = Camera("image_raw", AUTO), raw_info("plumb_bob", "left")
    first = camera.rectification(info)
    assert first is not None
    assert camera.rectification(raw_info("plumb_bob", "left")) is first
    info.d = [*info.d[:-1], 0.01]
    assert camera.rectification(info) is not first
    info.d = [0.0] * 5
    assert camera.rectification(info) is None


def test_an_aligned_depth_image_is_rectified_with_its_image() -> None:
    """The wall is parallel to the rectified camera, so the raw camera's depths differ."""
    u, v = np.meshgrid(np.arange(320.0), np.arange(240.0))
    pixels = np.stack([u, v], -1).reshape(-1, 1, 2)
    plane = cv2.undistortPoints(pixels, K, np.array(LENSES["plumb_bob"]))
    rays = np.column_stack([plane.reshape(-1, 2), np.ones(u.size)]) @ TURNS["left"].T
    along_raw = (WALL / rays[:, 2]).reshape(240, 320).astype(np.float32)
    assert np.ptp(along_raw) > 0.1
    image, depth = image_message(photograph("plumb_bob", "left")), image_message(along_raw, "32FC1")
    frame = Camera("image_raw", AUTO).with_depth(image, raw_info("plumb_bob", "left"), 0.0, depth)
    assert frame.depth is not None
    known = np.isfinite(frame.depth)
    assert known.mean() > 0.9
    np.testing.assert_allclose(frame.depth[known], WALL, atol=2e-3)


def test_binning_and_a_region_of_interest() -> None:
    """A camera that bins two by two within a window sees what the full camera sees there."""
    full = CameraModel(64, 48, 60.0, 62.0, 31.0, 24.0, "optical")
    roi = SimpleNamespace(x_offset=8, y_offset=4, width=40, height=32, do_rectify=True)
    info = info_message(full, binning_x=2, binning_y=4, roi=roi)
    small = camera_model(info)
    assert (small.width, small.height) == (20, 8)
    point = np.array([[0.1, -0.05, 2.0]])
    (u,), (v,) = full.project(point)
    (a,), (b,) = small.project(point)
    # pixel k of the small image is the mean of pixels 2k and 2k + 1 of the window
    assert a == pytest.approx((u - 8 - 0.5) / 2) and b == pytest.approx((v - 4 - 1.5) / 4)
    stereo = StereoCamera("l", "r", AUTO)
    right = info_message(full, -60.0 * 0.2, binning_x=2, binning_y=4, roi=roi)
    grey = image_message(np.zeros((8, 20), np.uint8))
    pair = stereo.read(grey, grey, info, right, 0.0)
    assert pair.baseline == pytest.approx(0.2) and pair.camera.fx == 30.0
    with pytest.raises(InputError, match="images are 8x6 but camera_info says 20x8"):
        stereo.read(GREY, GREY, info, right, 0.0)


def test_a_binned_raw_image_is_rectified_as_the_full_one() -> None:
    raw = np.asarray(cv2.GaussianBlur(photograph("plumb_bob", "left"), (0, 0), 4.0), np.uint8)
    whole = Rectification(raw_info("plumb_bob", "left")).image(raw)
    info = raw_info("plumb_bob", "left")
    info.binning_x = info.binning_y = 2
    half = np.asarray(cv2.resize(raw, (160, 120), interpolation=cv2.INTER_AREA), np.uint8)
    binned = Rectification(info).image(half)
    expected = cv2.resize(whole, (160, 120), interpolation=cv2.INTER_AREA)
    inner = slice(10, -10)
    likeness = np.corrcoef(binned[inner, inner].ravel(), expected[inner, inner].ravel())[0, 1]
    assert likeness > 0.998


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"distortion_model": "thin_prism"}, "distortion model 'thin_prism' is not one of"),
        ({"d": [0.1] * 3}, "plumb_bob doesn't have 3 coefficients"),
        ({"distortion_model": "equidistant"}, "equidistant doesn't have 5 coefficients"),
        ({"d": [np.nan] * 5}, "D must be finite"),
        ({"k": [0.0] * 9}, "fx or fy of K is not positive"),
        ({"r": [0.0] * 9}, "R must be a rotation"),
        ({"r": np.diag([-1.0, 1.0, -1.0]).reshape(-1)}, "no rectified pixel is in the raw image"),
        ({"binning_x": 1000}, "binning of 1000"),
        ({"p": [np.nan] * 12}, "P must be 12 finite numbers"),
        ({"width": 1 << 20}, "not within 1 to 32768"),
    ],
)
def test_calibrations_that_cant_be_used(change: dict[str, Any], line: str) -> None:
    info = raw_info("plumb_bob", "left")
    vars(info).update(change)
    with pytest.raises(InputError, match=line):
        Camera("image_raw", AUTO).read(GREY, info)


def test_a_calibration_of_a_gigapixel_is_refused_before_maps_are_made() -> None:
    info = raw_info("plumb_bob", "left")
    info.width = info.height = 32_768
    with pytest.raises(InputError, match="32768x32768 pixels is larger"):
        Camera("left/image_raw", CameraConfig()).rectification(info)


def test_a_region_beyond_the_image() -> None:
    roi = SimpleNamespace(x_offset=4, y_offset=0, width=8, height=6, do_rectify=False)
    with pytest.raises(InputError, match="roi of 8x6 at 4, 0 is not inside 8x6"):
        camera_model(info_message(SMALL, roi=roi))


def test_camera_model_is_what_p_says() -> None:
    assert camera_model(info_message(SMALL)) == SMALL


def rectified(right: Any, left: Any = None) -> StereoPair:
    left = info_message(SMALL) if left is None else left
    return StereoCamera("l/image_rect", "r/image_rect", AUTO).read(GREY, GREY, left, right, 12.5)


def test_stereo_pair_takes_its_baseline_from_the_right_camera() -> None:
    pair = rectified(info_message(replace(SMALL, cx=5.5), shift=-100.0 * 0.25))
    assert pair.baseline == pytest.approx(0.25)
    assert pair.cx_difference == pytest.approx(1.5)
    assert pair.stamp == 12.5 and pair.seen is None
    # KITTI gives both cameras' shift from a third one
    pair = rectified(info_message(SMALL, shift=-15.0), info_message(SMALL, shift=10.0))
    assert pair.baseline == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("right", "line"),
    [
        (info_message(SMALL), "baseline must be positive"),
        (info_message(SMALL, shift=25.0), "baseline must be positive"),
        (info_message(replace(SMALL, fx=90.0), shift=-25.0), "not of one rectified pair"),
        (info_message(replace(SMALL, cy=9.0), shift=-25.0), "not of one rectified pair"),
    ],
)
def test_cameras_that_are_no_pair(right: Any, line: str) -> None:
    with pytest.raises(InputError, match=line):
        rectified(right)


def test_uncalibrated_or_broken_camera_info() -> None:
    with pytest.raises(InputError, match="holds no calibration"):
        camera_model(info_message(SMALL, p=[0.0] * 12))
    for p in ([np.nan] * 12, [1.0] * 9):
        with pytest.raises(InputError, match="P must be 12 finite numbers"):
            camera_model(info_message(SMALL, p=p))


def test_images_of_different_size() -> None:
    small = image_message(np.zeros((5, 8), np.uint8))
    left, right = info_message(SMALL), info_message(SMALL, shift=-25.0)
    stereo = StereoCamera("l", "r", AUTO)
    with pytest.raises(InputError, match="left image is 8x6 but right image is 8x5"):
        stereo.read(GREY, small, left, right, 0.0)
    with pytest.raises(InputError, match="images are 8x5 but camera_info says 8x6"):
        stereo.read(small, small, left, right, 0.0)
