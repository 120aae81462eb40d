"""KITTI stereo 2012 and 2015: rectified pairs with lidar disparities.

| | 2012 | 2015 | a folder a scene |
|---|---|---|---|
| left | ``image_0`` or ``colored_0`` | ``image_2`` | ``left_10.png`` |
| right | ``image_1`` or ``colored_1`` | ``image_3`` | ``right_10.png`` |
| disparity | ``disp_occ`` | ``disp_occ_0`` | ``disp_occ_10.png`` |
| the same, seen by both | ``disp_noc`` | ``disp_noc_0`` | ``disp_noc_10.png`` |
| calibration | ``calib/NNNNNN.txt`` | ``calib_cam_to_cam/NNNNNN.txt`` | ``calib.txt`` |

The releases hold ``NNNNNN_10.png`` in each folder, in ``training`` or at the top. Disparities are
16-bit, pixels = value / 256, 0 unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.samples import DepthDataset, DepthSample, stereo_sample
from ssl_perception.errors import InputError
from ssl_perception.io.files import load_picture, load_text
from ssl_perception.types import CameraModel, StereoPair

LAYOUT = (
    "expected KITTI 2012 (training/image_0, image_1, disp_occ, disp_noc, calib), KITTI 2015 "
    "(training/image_2, image_3, disp_occ_0, disp_noc_0, calib_cam_to_cam), or scene folders with "
    "left_10.png, right_10.png, disp_occ_10.png, disp_noc_10.png, calib.txt"
)
# left, right, disparity (occluded too), disparity (not occluded), calibration, names in it
_RELEASES = (
    ("image_0", "image_1", "disp_occ", "disp_noc", "calib", ("P0", "P1")),
    ("colored_0", "colored_1", "disp_occ", "disp_noc", "calib", ("P2", "P3")),
    (
        "image_2",
        "image_3",
        "disp_occ_0",
        "disp_noc_0",
        "calib_cam_to_cam",
        ("P_rect_02", "P_rect_03"),
    ),
)


@dataclass(frozen=True)
class _Scene:
    name: str
    left: Path
    right: Path
    occluded: Path
    non_occluded: Path
    calibration: Path
    projections: tuple[str, str]


class KittiStereo(DepthDataset):
    """See the module."""

    name = "kitti-stereo"

    def __init__(self, path: Path) -> None:
        self._scenes = _released(path / "training") or _released(path) or _flat(path)
        if not self._scenes:
            raise InputError(f"{path}: {LAYOUT}")

    def __len__(self) -> int:
        return len(self._scenes)

    def _read(self, k: int) -> DepthSample:
        scene = self._scenes[k]
        left, right = load_picture(scene.left), load_picture(scene.right)
        p, q = projections(scene.calibration, scene.projections)
        camera = camera_from(p, left)
        baseline = float(p[0, 3] - q[0, 3]) / camera.fx
        try:
            pair = StereoPair(left, right, camera, baseline, 0.0, float(q[0, 2] - p[0, 2]))
        except InputError as error:
            raise InputError(f"{scene.left}: {error}") from None
        truth = disparity_png(scene.occluded)
        seen = np.isfinite(disparity_png(scene.non_occluded))
        return stereo_sample(scene.name, pair, truth, seen, "lidar")


def disparity_png(path: Path) -> NDArray[np.float32]:
    """(H, W) float32 pixels, NaN unknown, from KITTI's 16-bit pictures.

    Raises:
        InputError: not a 16-bit grey picture.
    """
    picture = load_picture(path, unchanged=True)
    if picture.dtype != np.uint16 or picture.ndim != 2:
        raise InputError(f"{path}: must be 16-bit grey, not {picture.shape} {picture.dtype}")
    disparity: NDArray[np.float32] = picture.astype(np.float32) / np.float32(256)
    disparity[picture == 0] = np.nan
    return disparity


def projections(path: Path, names: tuple[str, ...]) -> list[NDArray[np.float64]]:
    """(3, 4) projection matrices by name, from lines of ``NAME: twelve numbers``.

    Raises:
        InputError: a name is missing, or its numbers aren't twelve finite ones with fx, fy > 0.
    """
    lines = dict(line.split(":", 1) for line in load_text(path).splitlines() if ":" in line)
    found = []
    for name in names:
        try:
            p = np.array([float(word) for word in lines[name].split()]).reshape(3, 4)
        except (KeyError, ValueError):
            raise InputError(f"{path}: needs a line '{name}: ' with twelve numbers") from None
        if not np.isfinite(p).all() or p[0, 0] <= 0 or p[1, 1] <= 0:
            raise InputError(f"{path}: {name} is no projection matrix")
        found.append(p)
    return found


def camera_from(projection: NDArray[np.float64], image: NDArray[Any]) -> CameraModel:
    """The camera of a (3, 3) or (3, 4) projection that took an image (only its size counts)."""
    (fx, _, cx), (_, fy, cy) = projection[:2, :3].tolist()
    return CameraModel(image.shape[1], image.shape[0], fx, fy, cx, cy, "left_camera_optical")


def _released(root: Path) -> list[_Scene]:
    for left, right, occluded, non_occluded, calibration, names in _RELEASES:
        if (root / left).is_dir() and (root / occluded).is_dir():
            return [
                _Scene(
                    file.stem.removesuffix("_10"),
                    root / left / file.name,
                    root / right / file.name,
                    file,
                    root / non_occluded / file.name,
                    root / calibration / f"{file.stem.removesuffix('_10')}.txt",
                    names,
                )
                for file in sorted((root / occluded).glob("*_10.png"))
            ]
    return []


def _flat(path: Path) -> list[_Scene]:
    folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else []
    return [
        _Scene(
            folder.name,
            folder / "left_10.png",
            folder / "right_10.png",
            folder / "disp_occ_10.png",
            folder / "disp_noc_10.png",
            folder / "calib.txt",
            ("P0", "P1"),
        )
        for folder in folders
        if (folder / "disp_occ_10.png").exists()
    ]
