"""Compressed images: sizes bounded before decoding, and nothing made up of what was cut off."""

from __future__ import annotations

import struct
import zlib
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ssl_perception.errors import InputError
from ssl_perception.io import compressed_image, images

BGR = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8), (70, 50))


def compressed(pixels: np.ndarray, kind: str, name: str = "") -> Any:
    data = cv2.imencode(f".{kind}", pixels)[1].tobytes()
    return SimpleNamespace(format=name or kind, data=data)


def test_colour_and_grey_come_out_as_they_went_in() -> None:
    np.testing.assert_array_equal(images.camera_image(compressed(BGR, "png")), BGR)
    grey = BGR[..., 0].copy()
    np.testing.assert_array_equal(images.camera_image(compressed(grey, "png")), grey)
    got = images.camera_image(compressed(BGR, "jpg", "rgb8; jpeg compressed bgr8"))
    assert np.abs(got.astype(int) - BGR).mean() < 4
    deep = (grey.astype(np.uint16) << 4) + 5
    np.testing.assert_array_equal(images.camera_image(compressed(deep, "png"), bits=12), grey)


def test_a_bayer_pattern_that_was_compressed_as_such() -> None:
    mosaic = np.full((8, 12), 100, np.uint8)
    got = images.camera_image(compressed(mosaic, "png", "bayer_rggb8; png compressed bayer_rggb8"))
    assert got.shape == (8, 12, 3) and (got == 100).all()
    got = images.camera_image(compressed(mosaic, "png", "bayer_rggb8; png compressed mono8"))
    assert got.shape == (8, 12), "the driver made it grey"


def test_depth_in_png_and_as_compressed_depth() -> None:
    depth = np.array([[0, 1500, 65535]], np.uint16)
    expected = np.array([[np.nan, 1.5, 65.535]], np.float32)
    png = compressed(depth, "png", "16UC1; png compressed")
    np.testing.assert_array_equal(images.decode_depth(png), expected)
    png.format, png.data = "16UC1; compressedDepth png", struct.pack("<iff", 0, 0, 0) + png.data
    np.testing.assert_array_equal(images.decode_depth(png), expected)


def test_inverse_depth_in_steps() -> None:
    """As compressed_depth_image_transport writes 32FC1: depth_quantization 100, depth_max 10 m."""
    a = 100.0 * 101.0
    b = 1.0 - a / 10.0
    depth = np.array([[np.nan, 1.0, 2.5, 9.5]], np.float32)
    steps = np.where(np.isnan(depth), 0, np.nan_to_num(a / depth + b)).astype(np.uint16)
    message = compressed(steps, "png", "32FC1; compressedDepth png")
    message.data = struct.pack("<iff", 0, a, b) + message.data
    got = images.decode_depth(message)
    assert np.isnan(got[0, 0])
    np.testing.assert_allclose(got[0, 1:], depth[0, 1:], rtol=2e-3)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_small_file_that_claims_a_huge_picture_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    message = SimpleNamespace(format="png", data=bomb)
    with pytest.raises(InputError, match=r"60000x60000|not a readable"):
        images.camera_image(message)
    monkeypatch.setattr(compressed_image, "MAX_PIXELS", 100)
    with pytest.raises(InputError, match="70x50 pixels is larger than the 100 allowed"):
        images.camera_image(compressed(BGR, "png"))


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_file_that_was_cut_short(kind: str) -> None:
    whole = compressed(BGR, kind)
    for keep in (0.5, 0.9, 0.99):
        cut = SimpleNamespace(format=kind, data=whole.data[: int(keep * len(whole.data))])
        with pytest.raises(InputError, match="cut short"):
            images.camera_image(cut)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"GIF89a" + bytes(40)])
def test_what_is_no_picture(data: bytes) -> None:
    with pytest.raises(InputError, match="compressed image"):
        images.camera_image(SimpleNamespace(format="jpeg", data=data))


def test_depth_that_cant_be_read() -> None:
    with pytest.raises(InputError, match="one channel of 16 bits"):
        images.decode_depth(compressed(BGR, "png"))
    with pytest.raises(InputError, match="only PNG"):
        images.decode_depth(SimpleNamespace(format="16UC1; compressedDepth rvl", data=bytes(40)))
