"""Images: every encoding, padded rows, both byte orders, and their lies."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.types import CameraModel, DepthMap

CAMERA = CameraModel(8, 6, 100.0, 100.0, 4.0, 3.0, "optical")


def picture(encoding: str, height: int, width: int, seed: int = 0) -> np.ndarray:
    kind, channels = images.ENCODINGS[encoding]
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    if kind == "f4":
        return rng.uniform(0.1, 50, shape).astype(np.float32)
    return rng.integers(0, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def message(pixels: np.ndarray, encoding: str, padding: int = 0, big_endian: bool = False) -> Any:
    """An Image as a driver with its own row padding and byte order would send it."""
    order = ">" if big_endian else "<"
    rows = [row.astype(order + row.dtype.str[1:]).tobytes() + b"\xee" * padding for row in pixels]
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=len(rows[0]),
        data=array("B", b"".join(rows)),
    )


@given(
    encoding=st.sampled_from(sorted(images.ENCODINGS)),
    height=st.integers(1, 7),
    width=st.integers(1, 9),
    padding=st.integers(0, 5),
    big_endian=st.booleans(),
)
def test_any_layout_gives_the_same_pixels(
    encoding: str, height: int, width: int, padding: int, big_endian: bool
) -> None:
    pixels = picture(encoding, height, width)
    back = images.decode(message(pixels, encoding, padding, big_endian))
    np.testing.assert_array_equal(back, pixels)
    assert back.dtype == pixels.dtype


@given(
    encoding=st.sampled_from(sorted(images.ENCODINGS)),
    height=st.integers(1, 7),
    width=st.integers(1, 9),
)
def test_encode_then_decode(encoding: str, height: int, width: int) -> None:
    pixels = picture(encoding, height, width)
    packed = images.encode(pixels, encoding, "optical")
    assert packed.frame == "optical"
    np.testing.assert_array_equal(images.decode(packed), pixels)


def test_decoding_copies_nothing() -> None:
    sent = message(picture("bgr8", 4, 5), "bgr8", padding=3)
    view = images.decode(sent)
    assert np.shares_memory(view, np.frombuffer(sent.data, np.uint8))
    assert not view.flags.writeable


def test_camera_images_come_out_grey_or_bgr() -> None:
    bgr = picture("bgr8", 4, 5)
    alpha = np.full((4, 5, 1), 9, np.uint8)
    rgb = bgr[..., ::-1]
    for encoding, sent in {
        "bgr8": bgr,
        "8UC3": bgr,
        "rgb8": rgb,
        "bgra8": np.concatenate([bgr, alpha], 2),
        "rgba8": np.concatenate([rgb, alpha], 2),
    }.items():
        got = images.camera_image(message(sent, encoding, padding=2))
        np.testing.assert_array_equal(got, bgr, err_msg=encoding)
        assert got.flags.c_contiguous
    grey = picture("mono8", 4, 5)
    np.testing.assert_array_equal(images.camera_image(message(grey, "mono8", 1)), grey)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"encoding": "nv21"}, "'nv21' is not one of"),
        ({"encoding": "bgr8"}, "step 5 is less than the 15 bytes"),
        ({"step": 4}, "step 4 is less than the 5 bytes"),
        ({"height": 5}, "data holds 20 bytes, but height 5"),
        ({"height": 3}, "data holds 20 bytes, but height 3"),
        ({"height": 0}, "size 5x0"),
        ({"width": 1 << 31}, "size 2147483648x4"),
        ({"data": b""}, "data holds 0 bytes"),
    ],
)
def test_lying_images(change: dict[str, Any], line: str) -> None:
    sent = message(picture("mono8", 4, 5), "mono8")
    for name, value in change.items():
        setattr(sent, name, value)
    with pytest.raises(InputError, match=line):
        images.decode(sent)


def test_deep_images_give_their_highest_bits() -> None:
    grey = np.array([[0, 255, 256, 65535]], np.uint16)
    got = images.camera_image(message(grey, "mono16"))
    assert got.dtype == np.uint8 and got.tolist() == [[0, 0, 1, 255]]
    twelve = np.array([[0, 16, 4095, 4096]], np.uint16)
    for encoding in ("mono16", "16UC1"):
        got = images.camera_image(message(twelve, encoding, big_endian=True), bits=12)
        assert got.tolist() == [[0, 1, 255, 255]]
    colour = picture("rgb16", 4, 5)
    np.testing.assert_array_equal(
        images.camera_image(message(colour, "rgb16")), (colour >> 8)[..., ::-1]
    )


COLOUR = (200, 120, 40)  # blue, green, red
# Y, U and V of ITU-R BT.601 in video's range
BT601 = np.array([[0.098, 0.504, 0.257], [0.439, -0.291, -0.148], [-0.071, -0.368, 0.439]])


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_bayer_pattern_gives_the_colour_back(pattern: str, bits: int) -> None:
    mosaic = np.zeros((8, 12), f"u{bits // 8}")
    for k, letter in enumerate(pattern):
        mosaic[k // 2 :: 2, k % 2 :: 2] = COLOUR["bgr".index(letter)] << (bits - 8)
    got = images.camera_image(message(mosaic, f"bayer_{pattern}{bits}"))
    assert got.shape == (8, 12, 3)
    assert (got[2:-2, 2:-2] == COLOUR).all()


def test_yuv_gives_the_colour_back() -> None:
    y, u, v = BT601 @ COLOUR + (16, 128, 128)
    first = np.array([[u, y], [v, y]], np.uint8)  # UYVY: two pixels share U and V
    uyvy = np.tile(first, (4, 3, 1)).reshape(4, 6, 2)
    for encoding, sent in {
        "uyvy": uyvy,
        "yuv422": uyvy,
        "yuyv": uyvy[..., ::-1],
        "yuv422_yuy2": uyvy[..., ::-1],
    }.items():
        got = images.camera_image(message(np.ascontiguousarray(sent), encoding, 2))
        assert np.abs(got.astype(int) - COLOUR).max() <= 3, encoding


def test_what_is_no_camera_image() -> None:
    with pytest.raises(InputError, match="camera image is 32FC1"):
        images.camera_image(message(picture("32FC1", 4, 6), "32FC1"))
    with pytest.raises(InputError, match="5x4 pixels: an even number"):
        images.camera_image(message(picture("bayer_rggb8", 4, 5), "bayer_rggb8"))


def test_encode_wants_the_right_array() -> None:
    with pytest.raises(InputError, match="needs uint8"):
        images.encode(np.zeros((2, 2), np.float32), "mono8")
    with pytest.raises(InputError, match="needs 3 channels"):
        images.encode(np.zeros((2, 2), np.uint8), "bgr8")
    with pytest.raises(InputError, match="not one of"):
        images.encode(np.zeros((2, 2), np.uint8), "grey")


def test_depth_round_trip_and_millimetres() -> None:
    depth = picture("32FC1", 6, 8)
    depth[0, 0] = np.nan
    packed = images.encode_depth(DepthMap(depth, CAMERA))
    assert packed.encoding == "32FC1"
    assert packed.frame == "optical"
    np.testing.assert_array_equal(images.decode_depth(packed), depth)
    millimetres = np.array([[0, 1500]], np.uint16)
    back = images.decode_depth(message(millimetres, "16UC1"))
    np.testing.assert_array_equal(back, np.array([[np.nan, 1.5]], np.float32))
    with pytest.raises(InputError, match="depth image is mono8"):
        images.decode_depth(message(picture("mono8", 2, 2), "mono8"))


def test_depth_that_is_not_valid_is_unknown_everywhere() -> None:
    depth = DepthMap(picture("32FC1", 6, 8), CAMERA, valid=False, reason="blank wall")
    assert np.isnan(images.decode(images.encode_depth(depth))).all()
    packed = images.encode_disparity(depth, 0.25, 64.0)
    assert (images.decode(packed.image) < packed.min_disparity).all()
    assert np.isfinite(depth.depth).all(), "the map itself is left alone"


def test_disparity_gives_the_depth_back_and_marks_the_unknown() -> None:
    depth = picture("32FC1", 6, 8)
    depth[2, 3] = np.nan
    packed = images.encode_disparity(DepthMap(depth, CAMERA), 0.25, 64.0)
    disparity = images.decode(packed.image)
    assert disparity[2, 3] < packed.min_disparity
    known = np.isfinite(depth)
    np.testing.assert_allclose(packed.f * packed.t / disparity[known], depth[known], rtol=1e-5)


def confidence_map(confidence: np.ndarray | None, depth: np.ndarray | None = None) -> DepthMap:
    values = np.ones((6, 8), np.float32) if depth is None else depth
    return DepthMap(values, CAMERA, confidence=confidence)


def sent_and_received(depth: DepthMap) -> np.ndarray:
    packed = images.encode_confidence(depth)
    assert packed.encoding == "mono8" and packed.frame == CAMERA.frame
    return images.decode_confidence(SimpleNamespace(**vars(packed)))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_confidences_of_the_teacher_arrive_exactly(value: float) -> None:
    """Pseudo-labels are weighted by them, on the robot as in the experiments."""
    received = sent_and_received(confidence_map(np.full((6, 8), value, np.float32)))
    assert received.dtype == np.float32 and (received == np.float32(value)).all()


@given(st.lists(st.floats(0.0, 1.0, width=32), min_size=48, max_size=48))
def test_any_confidence_arrives_within_half_a_step(values: list[float]) -> None:
    sent = np.array(values, np.float32).reshape(6, 8)
    received = sent_and_received(confidence_map(sent))
    assert np.abs(received.astype(np.float64) - sent).max() <= 1 / 508 + 1e-7
    assert received.min() >= 0.0 and received.max() <= 1.0
    again = sent_and_received(confidence_map(received))
    np.testing.assert_array_equal(again, received, "what was received once is sent exactly")


def test_depth_without_confidence_is_confident_where_it_is_known() -> None:
    depth = np.ones((6, 8), np.float32)
    depth[2, 3] = np.nan
    received = sent_and_received(confidence_map(None, depth))
    np.testing.assert_array_equal(received, np.isfinite(depth).astype(np.float32))


def test_confidence_of_another_encoding_or_above_one_is_not_taken_as_it_is() -> None:
    brightest = message(np.full((6, 8), 255, np.uint8), "mono8")
    assert (images.decode_confidence(brightest) == 1.0).all()
    with pytest.raises(InputError, match="32FC1; mono8 can be used"):
        images.decode_confidence(message(picture("32FC1", 6, 8), "32FC1"))
