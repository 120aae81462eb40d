"""A depth camera as teacher: what is in range counts, and the gate says when nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import Config, DepthCameraConfig, from_dict
from ssl_perception.depth.teacher.depth_camera import DepthCamera
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.teacher.source import make_teacher
from ssl_perception.errors import InputError
from ssl_perception.types import CameraImage, CameraModel, Cue, StereoPair

CAMERA = CameraModel(80, 60, 52.0, 52.0, 39.5, 29.5)
RNG = np.random.default_rng(0)


def grey() -> np.ndarray:
    return RNG.integers(0, 256, (60, 80), np.uint8)


def frame(depth: np.ndarray | None, stamp: float = 0.0) -> CameraImage:
    return CameraImage(grey(), CAMERA, stamp, depth)


def test_what_is_in_range_is_known() -> None:
    depth = np.full((60, 80), 2.0, np.float32)
    depth[0, :6] = 0.0, np.nan, np.inf, -1.0, 0.1, 30.0
    answer = DepthCamera(DepthCameraConfig(min_depth=0.2, max_depth=10.0)).depth(frame(depth, 7.5))
    assert answer.valid and answer.cue is Cue.DEPTH and answer.stamp == 7.5
    assert np.isnan(answer.depth[0, :6]).all() and (answer.depth[1:] == 2.0).all()
    assert answer.confidence is not None and answer.confidence.sum() == 60 * 80 - 6
    label = pseudo_label(answer)
    assert label is not None
    np.testing.assert_allclose(label, np.log(2.0), rtol=1e-6)


def test_the_gate() -> None:
    camera = DepthCamera()
    near, far = np.full((60, 80), 2.0, np.float32), np.full((60, 80), 20.0, np.float32)
    assert camera.depth(frame(near)).valid
    assert camera.depth(frame(near, 0.1)).reason.startswith("depth image frozen: bit-identical")
    assert camera.depth(frame(near + 0.001, 0.2)).valid
    outside = camera.depth(frame(far, 0.3))
    assert not outside.valid and np.isnan(outside.depth).all()
    assert outside.reason == (
        "too few known pixels: 0% of the image (100% out of range as well), 20% asked"
    )
    blind = camera.depth(frame(np.zeros((60, 80), np.float32), 0.4))
    assert blind.reason == "too few known pixels: 0% of the image, 20% asked"
    assert pseudo_label(blind) is None
    assert camera.depth(frame(None, 0.5)).reason == "no depth image of this image"
    stuck = frame(near, 0.6)
    assert camera.depth(stuck).valid
    again = CameraImage(stuck.image, CAMERA, 0.7, near + 0.002)
    assert camera.depth(again).reason.startswith("left image frozen"), "its labels would be wrong"


def test_a_depth_image_that_is_not_aligned_is_refused() -> None:
    with pytest.raises(InputError, match="depth image is 40x30 but the image is 80x60: it must be"):
        frame(np.ones((30, 40), np.float32))


def test_the_source_decides_and_refuses_what_it_cannot_use() -> None:
    pair = StereoPair(grey(), grey(), CAMERA, 0.1)
    depth = make_teacher(from_dict({"teacher": {"source": "depth"}}))
    assert depth.depth(pair).reason == "no depth image of this image"
    with pytest.raises(InputError, match="one image only; teacher"):
        make_teacher(Config()).depth(frame(None))
