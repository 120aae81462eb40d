"""KITTI scene flow in its published forms and KITTI stereo, written small, read back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ssl_perception.datasets import open_depth, open_flow
from ssl_perception.datasets.kitti_scene_flow import KittiSceneFlow
from ssl_perception.errors import InputError
from ssl_perception.types import CameraModel
from tests.unit.datasets.clouds import points


def test_flownet3d_files(tmp_path: Path) -> None:
    pos1, pos2, gt = points(40), points(50, 1), points(40, 2, 0.5)
    pos1[0, 0] = 36.0
    np.savez(tmp_path / "000000.npz", pos1=pos1, pos2=pos2, gt=gt)
    dataset = open_flow("kitti-scene-flow", tmp_path)
    sample = dataset[0]
    assert len(dataset) == 1
    np.testing.assert_array_equal(sample.source.points, pos1[1:])
    np.testing.assert_array_equal(sample.target.points, pos2)
    np.testing.assert_array_equal(sample.flow, gt[1:])
    assert sample.ground_free and not sample.ego_compensated
    assert len(KittiSceneFlow(tmp_path, furthest=0)[0].source) == 40


def test_hplflownet_folders(tmp_path: Path) -> None:
    # camera axes there: x left, y up, z forward
    pc1 = np.array([[1, 0, 10], [2, -2, 12], [3, 1, 40], [4, -1, 5], [0, 0, 34.8]], np.float32)
    pc2 = pc1 + np.array([0.1, 0.0, 0.5], np.float32)  # the last one ends beyond 35 m: out of both
    (tmp_path / "000007").mkdir()
    np.save(tmp_path / "000007" / "pc1.npy", pc1)
    np.save(tmp_path / "000007" / "pc2.npy", pc2)
    sample = open_flow("kitti-scene-flow", tmp_path)[0]
    assert sample.name == "000007"
    np.testing.assert_array_equal(sample.source.points, [[10, 1, 0], [5, 4, -1]])
    assert sample.flow is not None
    np.testing.assert_allclose(sample.flow, [[0.5, 0.1, 0.0]] * 2, atol=1e-6)
    assert sorted(sample.target.points[:, 0].tolist()) == [5.5, 10.5]


def test_the_test_split_of_kitti_is_fifty_of_flownet3ds_files(tmp_path: Path) -> None:
    for number in range(150):
        np.savez(tmp_path / f"{number:06d}.npz", pos1=points(4), pos2=points(4), gt=points(4))
    dataset = open_flow("kitti-scene-flow-t", tmp_path)
    names = [dataset[k].name for k in (0, 49)]
    assert (len(dataset), names) == (50, ["000001", "000098"])
    (tmp_path / "000072.npz").unlink()
    with pytest.raises(InputError, match=r"lacks 1: 000072\.npz"):
        open_flow("kitti-scene-flow-t", tmp_path)


def write_kitti_2015(root: Path) -> CameraModel:
    """A wall at 20 m that comes 2 m nearer and 0.5 m to the right between the frames."""
    camera = CameraModel(60, 40, 100.0, 100.0, 30.0, 20.0)
    baseline = 0.5
    for name in ("disp_occ_0", "disp_noc_0", "disp_occ_1", "flow_occ", "image_2", "image_3"):
        (root / name).mkdir(parents=True)
    (root / "calib_cam_to_cam").mkdir()
    d0 = np.full((40, 60), camera.fx * baseline / 20, np.float32)
    d1 = np.full((40, 60), camera.fx * baseline / 18, np.float32)
    v, u = np.mgrid[:40, :60].astype(np.float32)
    x, y = (u - camera.cx) * 20 / camera.fx, (v - camera.cy) * 20 / camera.fy
    flow = np.stack(
        [(x + 0.5) / 18 * camera.fx + camera.cx - u, y / 18 * camera.fy + camera.cy - v], -1
    )
    seen = np.ones((40, 60), bool)
    seen[:, :10] = False
    both = seen.copy()
    both[:, :20] = False
    for name, disparity, mask in (
        ("disp_occ_0", d0, seen),
        ("disp_noc_0", d0, both),
        ("disp_occ_1", d1, seen),
    ):
        coded = np.where(mask, np.rint(disparity * 256), 0).astype(np.uint16)
        cv2.imwrite(str(root / name / "000003_10.png"), coded)
    coded_flow = np.rint(flow * 64 + 2**15).astype(np.uint16)
    # stored red u, green v, blue known; OpenCV writes blue, green, red
    bgr = np.stack([seen.astype(np.uint16), coded_flow[..., 1], coded_flow[..., 0]], -1)
    cv2.imwrite(str(root / "flow_occ" / "000003_10.png"), bgr)
    grey = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for name in ("image_2", "image_3"):
        cv2.imwrite(str(root / name / "000003_10.png"), grey)
    # both cameras are given from a third one: 4.0 is where the left one is
    p2, p3 = (f"100 0 30 {shift} 0 100 20 0 0 0 1 0" for shift in (4.0, 4.0 - 100 * baseline))
    text = f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {p2}\nP_rect_03: {p3}\n"
    (root / "calib_cam_to_cam" / "000003.txt").write_text(text)
    return camera


def test_kitti_2015_scene_flow(tmp_path: Path) -> None:
    write_kitti_2015(tmp_path / "training")
    sample = open_flow("kitti-scene-flow", tmp_path)[0]
    assert sample.flow is not None
    # rows below 1.4 m under the camera are ground: 20 m / 100 px * row
    rows = np.arange(40)
    kept = ~((rows - 20) * 0.2 > 1.45)
    assert len(sample.source) == kept.sum() * 50
    np.testing.assert_allclose(sample.source.points[:, 0], 20.0, rtol=1e-3)
    np.testing.assert_allclose(sample.flow[:, 0], -2.0, atol=0.05)
    np.testing.assert_allclose(sample.flow[:, 1], -0.5, atol=0.02), "right is negative y"
    np.testing.assert_allclose(sample.flow[:, 2], 0.0, atol=0.02)


# KITTI stereo, Middlebury, KITTI lidar


def test_kitti_2015_stereo(tmp_path: Path) -> None:
    camera = write_kitti_2015(tmp_path / "training")
    dataset = open_depth("kitti-stereo", tmp_path)
    sample = dataset[0]
    assert len(dataset) == 1 and sample.name == "000003"
    assert sample.camera.fx == camera.fx and sample.camera.cx == camera.cx
    assert sample.pair is not None and sample.disparity is not None
    assert sample.pair.baseline == pytest.approx(0.5)
    assert np.isnan(sample.depth[:, :10]).all()
    np.testing.assert_allclose(sample.depth[:, 10:], 20.0, rtol=1e-3)
    np.testing.assert_allclose(sample.disparity[:, 10:], 2.5, rtol=1e-3)
    assert not sample.non_occluded[:, :20].any() and sample.non_occluded[:, 20:].all()
    assert sample.image.shape == (40, 60, 3)


@pytest.mark.parametrize("colour", [False, True])
def test_kitti_2012_stereo(tmp_path: Path, colour: bool) -> None:
    left, right = ("colored_0", "colored_1") if colour else ("image_0", "image_1")
    names = ("P2", "P3") if colour else ("P0", "P1")
    for name in (left, right, "disp_occ", "disp_noc", "calib"):
        (tmp_path / name).mkdir()
    disparity = np.full((40, 60), 5 * 256, np.uint16)
    for name in ("disp_occ", "disp_noc"):
        cv2.imwrite(str(tmp_path / name / "000027_10.png"), disparity)
    picture = np.zeros((40, 60, 3) if colour else (40, 60), np.uint8)
    for name in (left, right):
        cv2.imwrite(str(tmp_path / name / "000027_10.png"), picture)
    text = (
        f"{names[0]}: 100 0 30 0 0 100 20 0 0 0 1 0\n{names[1]}: 100 0 30 -50 0 100 20 0 0 0 1 0\n"
    )
    (tmp_path / "calib" / "000027.txt").write_text(text)
    sample = open_depth("kitti-stereo", tmp_path)[0]
    np.testing.assert_allclose(sample.depth, 100 * 0.5 / 5)
