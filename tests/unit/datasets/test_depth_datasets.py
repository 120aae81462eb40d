"""Middlebury and KITTI lidar, written small in their true formats, read back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ssl_perception.datasets import open_depth


@pytest.mark.parametrize("pfm", ["", "-1.0", "-0.003922", "0.003922"])
def test_middlebury(tmp_path: Path, pfm: str) -> None:
    """The scale in a .pfm's header tells the byte order, and nothing about the values."""
    scene = tmp_path / "Piano"
    scene.mkdir()
    for name in ("im0.png", "im1.png"):
        cv2.imwrite(str(scene / name), np.zeros((20, 30, 3), np.uint8))
    disparity = np.full((20, 30), 10.0, np.float32)
    disparity[:5] = 20.0
    disparity[0, 0] = np.inf
    if pfm:
        order = "<f4" if pfm.startswith("-") else ">f4"
        rows = disparity[::-1].astype(order).tobytes()  # PFM counts rows from below
        (scene / "disp0GT.pfm").write_bytes(f"Pf\n30 20\n{pfm}\n".encode() + rows)
    else:
        coded = np.where(np.isfinite(disparity), disparity * 256, 0).astype(np.uint16)
        cv2.imwrite(str(scene / "disp0.png"), coded)
    mask = np.full((20, 30), 255, np.uint8)
    mask[:, :4] = 128
    cv2.imwrite(str(scene / "mask0nocc.png"), mask)
    (scene / "calib.txt").write_text(
        "cam0=[500 0 15; 0 500 10; 0 0 1]\ncam1=[500 0 45; 0 500 10; 0 0 1]\ndoffs=30\n"
        "baseline=200\nwidth=30\nheight=20\nndisp=64\n"
    )
    sample = open_depth("middlebury", tmp_path)[0]
    assert sample.pair is not None and sample.pair.cx_difference == 30 and sample.search == 64
    assert np.isnan(sample.depth[0, 0])
    np.testing.assert_allclose(sample.depth[10:], 0.2 * 500 / (10 + 30), rtol=1e-6)
    np.testing.assert_allclose(sample.depth[1:5], 0.2 * 500 / (20 + 30), rtol=1e-6)
    assert sample.non_occluded.sum() == 20 * 26


def test_kitti_lidar(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "000004_left.png"), np.zeros((20, 30, 3), np.uint8))
    # lidar: x forward, y left, z up. Behind, beside, and two on one pixel
    cloud = np.array([[10, 0, 0], [12, 0, 0], [-10, 0, 0], [10, 5, 0], [10, -0.5, 0.25]])
    counts = np.rint(cloud / 0.004).astype(np.int16)
    np.savez(tmp_path / "000004_lidar.npz", **dict(zip("xyz", counts.T, strict=True)))
    camera_from_lidar = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    calibration = {
        "image_size": [30, 20],
        "K_half": [[20, 0, 15], [0, 20, 10], [0, 0, 1]],
        "R_rect": np.eye(3).tolist(),
        "cam0_from_lidar": camera_from_lidar,
    }
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    sample = open_depth("kitti-lidar", tmp_path)[0]
    known = np.argwhere(np.isfinite(sample.depth))
    # 0.5 m right, 0.25 m up at 10 m: one pixel right, half a pixel up (rounded to even)
    assert known.tolist() == [[10, 5], [10, 15], [10, 16]]
    assert sample.depth[10, 15] == pytest.approx(10.0), "the nearer of two"
    assert sample.pair is None and sample.disparity is None


def test_kitti_depth_benchmark(tmp_path: Path) -> None:
    stem = "2011_09_26_drive_0002_sync_{}_0000000005_image_02"
    for name in ("image", "groundtruth_depth", "intrinsics"):
        (tmp_path / name).mkdir()
    image = stem.format("image")
    cv2.imwrite(str(tmp_path / "image" / f"{image}.png"), np.zeros((20, 30, 3), np.uint8))
    truth = np.zeros((20, 30), np.uint16)
    truth[3, 4] = 12 * 256
    name = stem.format("groundtruth_depth")
    cv2.imwrite(str(tmp_path / "groundtruth_depth" / f"{name}.png"), truth)
    (tmp_path / "intrinsics" / f"{image}.txt").write_text("20 0 15 0 20 10 0 0 1")
    sample = open_depth("kitti-lidar", tmp_path)[0]
    assert np.isfinite(sample.depth).sum() == 1 and sample.depth[3, 4] == 12.0
    assert sample.camera.fx == 20
