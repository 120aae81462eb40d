"""KITTI camera images with the lidar sweep of the same instant: sparse true depth for one camera.

A folder with ``NNNNNN_left.png``, ``NNNNNN_lidar.npz`` (packed sweep, see ``io.sequences``) and
``calib.json`` (``image_size``, ``K_half``, ``R_rect``, ``cam0_from_lidar``), or KITTI's depth
benchmark (``image/*.png``, ``groundtruth_depth/*.png``, ``intrinsics/*.txt``; 16-bit depth,
metres = value / 256, 0 unknown).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.kitti_stereo import camera_from, disparity_png
from ssl_perception.datasets.samples import DepthDataset, DepthSample
from ssl_perception.errors import InputError
from ssl_perception.io.files import load_picture, load_text
from ssl_perception.io.sequences import read_packed
from ssl_perception.types import CameraModel, FloatArray, PointCloud

LAYOUT = (
    "expected NNNNNN_left.png, NNNNNN_lidar.npz and calib.json; or image, groundtruth_depth and "
    "intrinsics folders of KITTI's depth selection"
)
NEAREST = 0.5  # metres; nearer returns are the vehicle itself


class KittiLidar(DepthDataset):
    """See the module."""

    name = "kitti-lidar"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._images = sorted(path.glob("[0-9]*_left.png"))
        self._benchmark = not self._images
        if self._benchmark:
            self._images = sorted((path / "image").glob("*.png"))
        if not self._images:
            raise InputError(f"{path}: {LAYOUT}")

    def __len__(self) -> int:
        return len(self._images)

    def _read(self, k: int) -> DepthSample:
        file = self._images[k]
        image = load_picture(file)
        name = file.stem.removesuffix("_left")
        if self._benchmark:
            camera, depth = self._measured(file)
        else:
            camera, _ = _calibration(self._path / "calib.json")
            sweep, camera_from_lidar = self.sweep(k)
            depth = project(sweep.points, camera, camera_from_lidar)
        return DepthSample(name, image, camera, depth, None, None, np.isfinite(depth), "lidar")

    def sweep(self, k: int) -> tuple[PointCloud, NDArray[np.float64]]:
        """The sweep of image k, and (4, 4) the camera's optical axes from the lidar's.

        Raises:
            InputError: KITTI's depth benchmark, which has none, or a broken file.
        """
        if self._benchmark:
            raise InputError(f"{self._path}: KITTI's depth selection has no sweeps")
        name = self._images[k].stem.removesuffix("_left")
        sweep, _ = read_packed(self._path / f"{name}_lidar.npz", 0.0)
        _, camera_from_lidar = _calibration(self._path / "calib.json")
        return sweep, camera_from_lidar

    def _measured(self, file: Path) -> tuple[CameraModel, FloatArray]:
        truth = file.name.replace("_image_", "_groundtruth_depth_", 1)
        depth = disparity_png(self._path / "groundtruth_depth" / truth)  # the same coding
        numbers = self._path / "intrinsics" / f"{file.stem}.txt"
        try:
            k = np.array([float(word) for word in load_text(numbers).split()]).reshape(3, 3)
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{numbers}: must hold the nine numbers of K") from None
        return camera_from(k, depth), depth


def project(
    points: FloatArray, camera: CameraModel, camera_from_lidar: NDArray[np.float64]
) -> FloatArray:
    """(H, W) float32 depth of the nearest point that falls into each pixel, NaN where none does.

    Args:
        points: (N, 3) metres, lidar frame.
        camera_from_lidar: (4, 4), into the camera's optical frame.
    """
    seen = points @ camera_from_lidar[:3, :3].T + camera_from_lidar[:3, 3]
    seen = seen[seen[:, 2] > NEAREST]
    z = seen[:, 2]
    u, v = (np.rint(pixels).astype(np.int64) for pixels in camera.project(seen))
    inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    depth = np.full(camera.height * camera.width, np.inf, np.float32)
    np.minimum.at(depth, v[inside] * camera.width + u[inside], z[inside].astype(np.float32))
    depth[np.isinf(depth)] = np.nan
    return depth.reshape(camera.height, camera.width)


def _calibration(path: Path) -> tuple[CameraModel, NDArray[np.float64]]:
    try:
        values: dict[str, Any] = json.loads(load_text(path))
        width, height = (int(n) for n in values["image_size"])
        k = np.array(values["K_half"], np.float64).reshape(3, 3)
        rectify = np.eye(4)
        rectify[:3, :3] = np.array(values["R_rect"], np.float64).reshape(3, 3)
        camera_from_lidar = rectify @ np.array(values["cam0_from_lidar"]).reshape(4, 4)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: needs image_size, K_half, R_rect, cam0_from_lidar: {error}"
        ) from None
    if not np.isfinite(camera_from_lidar).all():
        raise InputError(f"{path}: has NaN or infinite numbers")
    return camera_from(k, np.empty((height, width))), camera_from_lidar
