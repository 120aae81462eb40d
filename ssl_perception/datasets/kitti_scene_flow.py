"""KITTI scene flow in the three forms in which papers use it.

| form | files | axes |
|---|---|---|
| FlowNet3D ``kitti_rm_ground`` | ``*.npz`` with ``pos1``, ``pos2``, ``gt`` | x forward, z up |
| HPLFlowNet ``KITTI_processed_occ_final`` | ``NNNNNN/pc1.npy``, ``pc2.npy`` | x left, y up |
| KITTI 2015 | ``disp_occ_0``, ``disp_occ_1``, ``flow_occ``, ``calib_cam_to_cam`` | pixels |

All come out with x forward, y left, z up, cut at 35 m ahead as in the papers: each cloud by itself
in the first form, whose clouds don't correspond; in the others a row goes if either end is that
far. The flow includes ego motion and the clouds are not compensated: so do the published numbers.
Ground is out: removed by FlowNet3D's authors, or as HPLFlowNet does, below 1.4 m under the camera
in both frames.

In the last two forms the target holds the very points that the source's moved to. They are
shuffled here, but a method that looks for exact partners finds them: prefer the first form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.kitti_stereo import camera_from, disparity_png, projections
from ssl_perception.datasets.samples import FlowDataset, FlowSample
from ssl_perception.errors import InputError
from ssl_perception.io.files import (
    load_array,
    load_arrays,
    load_picture,
    require_finite,
)
from ssl_perception.types import FloatArray, PointCloud

LAYOUT = (
    "expected *.npz with pos1, pos2, gt (FlowNet3D), folders with pc1.npy and pc2.npy "
    "(HPLFlowNet), or training/disp_occ_0, disp_occ_1, flow_occ, calib_cam_to_cam (KITTI 2015)"
)
GROUND_BELOW = -1.4  # metres; HPLFlowNet, NeurIPS code, is_ground
FURTHEST = 35.0  # metres ahead; HPLFlowNet's DEPTH_THRESHOLD
PERIOD = 0.1  # seconds; KITTI records at 10 Hz

# The 50 files of FlowNet3D's 150 on which self-supervised methods are scored (KITTI_t), of Mittal
# et al. (CVPR 2020); the other 100 (KITTI_v) may be trained on.
TEST_SPLIT = (
    1, 5, 7, 8, 10, 12, 15, 17, 20, 21, 24, 25, 29, 30, 31, 32, 34, 35, 36, 39, 40, 44, 45, 47, 48,
    49, 50, 51, 53, 55, 56, 58, 59, 60, 70, 71, 72, 74, 76, 77, 78, 79, 81, 82, 88, 91, 93, 94, 95,
    98,
)  # fmt: skip

Clouds = tuple[FloatArray, FloatArray, FloatArray]


class KittiSceneFlow(FlowDataset):
    """See the module. ``furthest`` in metres ahead; 0 keeps all."""

    name = "kitti-scene-flow"

    def __init__(self, path: Path, furthest: float = FURTHEST) -> None:
        self._furthest = furthest
        root = path / "training" if (path / "training").is_dir() else path
        if not path.is_dir():
            self._places = []
        elif (root / "flow_occ").is_dir():
            self._places = sorted((root / "flow_occ").glob("*_10.png"))
        else:
            folders = sorted(file.parent for file in path.glob("*/pc1.npy"))
            self._places = folders or sorted(path.glob("*.npz"))
        if not self._places:
            raise InputError(f"{path}: {LAYOUT}")

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, k: int) -> FlowSample:
        place = self._places[k]
        furthest = self._furthest or np.inf
        if place.is_dir():
            source, target, flow = _matched(*_hplflownet(place), furthest)
        elif place.suffix == ".npz":
            source, target, flow = _flownet3d(place)
            near = source[:, 0] < furthest
            source, flow = source[near], flow[near]
            target = target[target[:, 0] < furthest]
        else:
            source, target, flow = _matched(*_kitti_2015(place), furthest)
        known = np.ones(len(source), np.bool_)
        frame = "camera_flu"
        return FlowSample(
            place.stem.removesuffix("_10"),
            PointCloud(source, None, 0.0, frame),
            PointCloud(target, None, PERIOD, frame),
            flow,
            known,
            ego_compensated=False,
        )


class KittiSceneFlowTest(KittiSceneFlow):
    """KITTI_t: of FlowNet3D's files those of ``TEST_SPLIT``."""

    name = "kitti-scene-flow-t"

    def __init__(self, path: Path, furthest: float = FURTHEST) -> None:
        super().__init__(path, furthest)
        by_number = {
            int(place.stem): place
            for place in self._places
            if place.suffix == ".npz" and place.stem.isdecimal()
        }
        missing = [f"{number:06d}.npz" for number in TEST_SPLIT if number not in by_number]
        if missing:
            raise InputError(
                f"{path}: KITTI_t is 50 of FlowNet3D's files; lacks {len(missing)}: "
                + ", ".join(missing[:3] + ["..."] * (len(missing) > 3))
            )
        self._places = [by_number[number] for number in TEST_SPLIT]


def _flownet3d(file: Path) -> Clouds:
    arrays = load_arrays(file, ("pos1", "pos2", "gt"))
    source, target, flow = (_rows(arrays[name], file, name) for name in ("pos1", "pos2", "gt"))
    if len(flow) != len(source):
        raise InputError(f"{file}: gt has {len(flow)} rows for {len(source)} points")
    return source, target, flow


def _hplflownet(folder: Path) -> tuple[FloatArray, FloatArray]:
    first, second = (
        _rows(load_array(folder / name), folder, name) for name in ("pc1.npy", "pc2.npy")
    )
    if len(first) != len(second):
        raise InputError(f"{folder}: pc1.npy has {len(first)} rows, pc2.npy {len(second)}")
    forward_left_up = [2, 0, 1]
    return first[:, forward_left_up], second[:, forward_left_up]


def _kitti_2015(file: Path) -> tuple[FloatArray, FloatArray]:
    root, number = file.parents[1], file.stem.removesuffix("_10")
    before = disparity_png(root / "disp_occ_0" / file.name)
    after = disparity_png(root / "disp_occ_1" / file.name)
    flow, flow_known = optical_flow_png(file)
    if not before.shape == after.shape == flow_known.shape:
        raise InputError(f"{file}: disp_occ_0, disp_occ_1 and flow_occ differ in size")
    p, q = projections(root / "calib_cam_to_cam" / f"{number}.txt", ("P_rect_02", "P_rect_03"))
    camera = camera_from(p, before)
    scale = camera.fx * (p[0, 3] - q[0, 3]) / camera.fx
    known = np.isfinite(before) & np.isfinite(after) & flow_known
    v, u = np.nonzero(known)

    def points(
        column: NDArray[np.floating], row: NDArray[np.floating], disparity: FloatArray
    ) -> FloatArray:
        z = scale / disparity.astype(np.float64)
        x, y = (column - camera.cx) * z / camera.fx, (row - camera.cy) * z / camera.fy
        return np.stack([z, -x, -y], axis=1).astype(np.float32)

    shift = flow[known]
    return (
        points(u.astype(np.float64), v.astype(np.float64), before[known]),
        points(u + shift[:, 0], v + shift[:, 1], after[known]),
    )


def optical_flow_png(path: Path) -> tuple[FloatArray, NDArray[np.bool_]]:
    """(H, W, 2) float32 pixels (u, v) and (H, W) bool where known, from KITTI's 16-bit pictures.

    Raises:
        InputError: not a 16-bit picture of three channels.
    """
    picture = load_picture(path, unchanged=True)
    if picture.dtype != np.uint16 or picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"{path}: must be 16-bit with three channels, not {picture.dtype}")
    # stored as red = u, green = v, blue = known; OpenCV gives blue, green, red
    flow = (picture[..., 2:0:-1].astype(np.float32) - np.float32(2**15)) / np.float32(64)
    return flow, picture[..., 0] != 0


def _matched(first: FloatArray, second: FloatArray, furthest: float) -> Clouds:
    """Ground out, and rows with an end too far ahead; flow between corresponding rows; the
    target's rows shuffled."""
    ground = (first[:, 2] < GROUND_BELOW) & (second[:, 2] < GROUND_BELOW)
    kept = ~ground & (first[:, 0] < furthest) & (second[:, 0] < furthest)
    source, moved = first[kept], second[kept]
    order = np.random.default_rng(0).permutation(len(moved))
    return source, moved[order], moved - source


def _rows(array: NDArray[Any], place: Path, name: str) -> FloatArray:
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        raise InputError(f"{place}: {name} must be (N, 3) with N > 0, not {array.shape}")
    require_finite(array, place, name)
    return array.astype(np.float32)
