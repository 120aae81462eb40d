"""Stereo on made-up pairs with known disparity, and each fault that must close the gate."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ssl_perception.config import StereoConfig
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.errors import InputError
from ssl_perception.types import CameraModel, Cue, StereoPair

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
BASELINE = 0.06
OPTIONS = StereoConfig(disparities=32)


def picture(seed: int = 0, width: int = 400) -> np.ndarray:
    """A textured plane, (240, width) grey levels as float."""
    noise = np.random.default_rng(seed).standard_normal((240, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return 128 + 40 * smooth / smooth.std()


def noisy(image: np.ndarray, seed: int, sigma: float = 2.0) -> np.ndarray:
    noise = sigma * np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def pair_at(disparity: int, seed: int = 0, stamp: float = 0.0) -> StereoPair:
    scene = picture()
    left, right = scene[:, :320], scene[:, disparity : disparity + 320]
    return StereoPair(noisy(left, 2 * seed), noisy(right, 2 * seed + 1), CAMERA, BASELINE, stamp)


def with_right(pair: StereoPair, right: np.ndarray) -> StereoPair:
    return replace(pair, right=right)


@pytest.mark.parametrize("disparity", [2, 7, 20, 31])
def test_depth_is_focal_length_times_baseline_over_disparity(disparity: int) -> None:
    depth = StereoMatcher(OPTIONS).depth(pair_at(disparity, stamp=4.5))
    assert depth.valid and depth.reason == ""
    assert depth.cue is Cue.STEREO and depth.stamp == 4.5
    known = np.isfinite(depth.depth)
    assert known[:, 40:].mean() > 0.9
    expected = CAMERA.fx * BASELINE / disparity
    assert np.median(depth.depth[known]) == pytest.approx(expected, rel=0.05)
    assert not known[:, : disparity - 2].any(), "what the right camera can't see is unknown"


def test_difference_of_principal_points_counts() -> None:
    plain = pair_at(20)
    shifted = StereoPair(plain.left, plain.right, CAMERA, BASELINE, cx_difference=10.0)
    depth = StereoMatcher(OPTIONS).depth(shifted)
    expected = CAMERA.fx * BASELINE / 30
    assert np.nanmedian(depth.depth) == pytest.approx(expected, rel=0.05)


def test_colour_and_grey_agree() -> None:
    grey = pair_at(9)
    colour = StereoPair(np.dstack([grey.left] * 3), np.dstack([grey.right] * 3), CAMERA, BASELINE)
    a, b = StereoMatcher(OPTIONS).depth(grey), StereoMatcher(OPTIONS).depth(colour)
    np.testing.assert_array_equal(a.depth, b.depth)


def test_beyond_max_depth_is_unknown() -> None:
    depth = StereoMatcher(StereoConfig(disparities=32, max_depth=3.0)).depth(pair_at(2))
    assert np.isnan(depth.depth).mean() > 0.99


def test_confidence_is_full_where_both_matchers_agree_and_zero_where_unknown() -> None:
    matcher = StereoMatcher(OPTIONS)
    pair = pair_at(9)
    match = matcher.match(pair)
    depth = matcher.to_depth(pair, match)
    assert depth.confidence is not None
    assert (depth.confidence[np.isnan(depth.depth)] == 0).all()
    assert (depth.confidence[match.agreed & np.isfinite(depth.depth)] == 1).all()
    assert set(np.unique(depth.confidence)) <= {0.0, 0.5, 1.0}


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0, 4.0])
def test_blank_wall_closes_the_gate(sigma: float) -> None:
    """SGBM alone 'matches' a sixth (much noise) to all (none) of these pixels."""
    wall = np.linspace(110, 140, 320)[None, :] + np.zeros((240, 1))
    pair = StereoPair(noisy(wall, 1, sigma), noisy(wall, 2, sigma), CAMERA, BASELINE)
    match = StereoMatcher(OPTIONS).match(pair)
    assert match.matched > 0.15
    assert match.agreement < 0.05
    assert not match.valid


def test_blank_part_of_a_textured_view_is_unknown() -> None:
    pair = pair_at(9)
    left, right = pair.left.copy(), pair.right.copy()
    left[:, 160:], right[:, 150:] = (
        noisy(np.full((240, 160), 120.0), 5),
        noisy(np.full((240, 170), 120.0), 6),
    )
    depth = StereoMatcher(OPTIONS).depth(StereoPair(left, right, CAMERA, BASELINE))
    assert np.isfinite(depth.depth[:, 190:]).mean() < 0.05
    assert np.isfinite(depth.depth[:, 40:150]).mean() > 0.9


def black(pair: StereoPair) -> np.ndarray:
    return np.zeros_like(pair.right)


def another_place(pair: StereoPair) -> np.ndarray:
    return noisy(picture(seed=99)[:, :320], 3)


def turned(degrees: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((159.5, 119.5), degrees, 1.0)
    return cv2.warpAffine(pair_at(9).right, matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize(
    ("right", "reason"),
    [
        (black(pair_at(9)), "no texture"),
        (np.full((240, 320), 255, np.uint8), "no texture"),
        (another_place(pair_at(9)), "too few matches|matchers disagree"),
        (np.roll(pair_at(9).right, 1, axis=0), "rows don't line up"),
        (np.roll(pair_at(9).right, -1, axis=0), "rows don't line up"),
        (np.roll(pair_at(9).right, 4, axis=0), "rows|too few|disagree"),  # pitched 1 degree
        (turned(1.0), "rows|too few|disagree"),
        (turned(-1.0), "rows|too few|disagree"),
    ],
    ids=["black", "white", "another", "row up", "row down", "pitched", "rolled", "rolled back"],
)
def test_fault_of_the_right_camera_closes_the_gate(right: np.ndarray, reason: str) -> None:
    depth = StereoMatcher(OPTIONS).depth(with_right(pair_at(9), right))
    assert not depth.valid
    assert any(part in depth.reason for part in reason.split("|")), depth.reason


@pytest.mark.parametrize(
    ("sides", "named"),
    [
        (("left",), "left image frozen"),
        (("right",), "right image frozen"),
        (("left", "right"), "left and right images frozen"),
    ],
    ids=["left", "right", "both"],
)
def test_frozen_camera_is_noticed_on_the_next_frame(sides: tuple[str, ...], named: str) -> None:
    matcher = StereoMatcher(OPTIONS)
    first = pair_at(9, seed=0, stamp=0.0)
    assert matcher.depth(first).valid
    for k in (1, 2, 3):
        pair = pair_at(9, seed=k, stamp=0.1 * k)
        stuck = matcher.depth(replace(pair, **{side: getattr(first, side) for side in sides}))
        assert not stuck.valid
        assert stuck.reason == f"{named}: bit-identical to the previous frame"
    assert matcher.depth(pair_at(9, seed=4, stamp=0.4)).valid, "and so is its return"


def test_still_scene_is_not_a_frozen_camera() -> None:
    """Nothing moves; the least noise, one grey level here and there, tells it from a fault."""
    matcher = StereoMatcher(OPTIONS)
    still = pair_at(9)
    for k in range(4):
        left, right = still.left.copy(), still.right.copy()
        left[120, 160] ^= k & 1
        right[120, 160] ^= k & 1
        pair = StereoPair(left, right, CAMERA, BASELINE, 0.1 * k)
        assert matcher.depth(pair).valid


def test_same_pair_twice_under_one_stamp_is_one_frame() -> None:
    matcher = StereoMatcher(OPTIONS)
    matcher.depth(pair_at(9, stamp=2.0))
    assert matcher.depth(pair_at(9, stamp=2.0)).valid


def test_different_exposure_is_no_fault() -> None:
    pair = pair_at(9)
    assert StereoMatcher(OPTIONS).depth(with_right(pair, (pair.right * 0.8).astype(np.uint8))).valid


def test_image_narrower_than_the_search_is_refused() -> None:
    with pytest.raises(InputError, match="320x240 px, too small to search 320 disparities"):
        StereoMatcher(StereoConfig(disparities=320)).depth(pair_at(9))


@pytest.mark.parametrize("setting", ["block", "check_block"])
def test_even_block_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=f"stereo.{setting} must be odd"):
        StereoMatcher(StereoConfig(**{setting: 6}))
