"""Middlebury stereo 2014: a folder a scene with ``im0.png``, ``im1.png``, ``calib.txt``.

Truth: ``disp0.png`` (16-bit, pixels = value / 256, 0 unknown) or ``disp0GT.pfm`` / ``disp0.pfm``
(float pixels, Inf unknown; the scale in its header is no factor but tells the byte order).
``mask0nocc.png``: 255 where both cameras see the point. ``ndisp`` of the calibration bounds the
disparities that a matcher has to search.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.kitti_stereo import disparity_png
from ssl_perception.datasets.samples import DepthDataset, DepthSample, stereo_sample
from ssl_perception.errors import InputError
from ssl_perception.io.files import load_picture, load_text
from ssl_perception.types import CameraModel, StereoPair

LAYOUT = (
    "expected scene folders with im0.png, im1.png, calib.txt, disp0.png or disp0GT.pfm, "
    "and mask0nocc.png"
)
TRUTHS = ("disp0.png", "disp0GT.pfm", "disp0.pfm")
BOTH_SEE = 255
MAX_PFM_BYTES = 1 << 28
MAX_SEARCH = 1024  # px


class Middlebury(DepthDataset):
    """See the module."""

    name = "middlebury"

    def __init__(self, path: Path) -> None:
        folders = [path, *sorted(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else []
        self._scenes = [
            folder
            for folder in folders
            if (folder / "im0.png").exists() and any((folder / t).exists() for t in TRUTHS)
        ]
        if not self._scenes:
            raise InputError(f"{path}: {LAYOUT}")

    def __len__(self) -> int:
        return len(self._scenes)

    def _read(self, k: int) -> DepthSample:
        folder = self._scenes[k]
        left, right = load_picture(folder / "im0.png"), load_picture(folder / "im1.png")
        fx, cx, cy, baseline, shift, search = _calibration(folder / "calib.txt")
        camera = CameraModel(left.shape[1], left.shape[0], fx, fx, cx, cy, "left_camera_optical")
        try:
            pair = StereoPair(left, right, camera, baseline, 0.0, shift)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from None
        truth = _truth(next(folder / t for t in TRUTHS if (folder / t).exists()))
        seen = load_picture(folder / "mask0nocc.png", unchanged=True) == BOTH_SEE
        if seen.shape != truth.shape:
            raise InputError(f"{folder}: mask0nocc.png and the disparities differ in size")
        return stereo_sample(
            folder.name, pair, truth, seen & np.isfinite(truth), "structured light", search
        )


def _truth(path: Path) -> NDArray[np.float32]:
    if path.suffix == ".png":
        return disparity_png(path)
    disparity = _pfm(path)
    disparity[~np.isfinite(disparity)] = np.nan
    return disparity


def _pfm(path: Path) -> NDArray[np.float32]:
    """(H, W) of a grey portable float map. OpenCV's reader multiplies by the header's scale, which
    in these files is 1/255 and means nothing."""
    try:
        if path.stat().st_size > MAX_PFM_BYTES:
            raise InputError(f"{path}: larger than {MAX_PFM_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    header = re.match(rb"Pf\s+(\d{1,6})\s+(\d{1,6})\s+(-?[\d.eE+-]{1,30})\s", content)
    if header is None:
        raise InputError(f"{path}: not a grey .pfm file")
    width, height = int(header[1]), int(header[2])
    body = content[header.end() :]
    if len(body) != 4 * width * height:
        raise InputError(f"{path}: {len(body)} bytes of pixels, {width}x{height} need 4 each")
    order = "<f4" if header[3].startswith(b"-") else ">f4"
    rows = np.frombuffer(body, order).reshape(height, width)
    return rows[::-1].astype(np.float32)  # PFM counts rows from below


def _calibration(path: Path) -> tuple[float, float, float, float, float, int]:
    """fx, cx, cy in pixels, baseline in metres, cx difference (doffs) in pixels; disparities to
    search, 0 where the file doesn't say."""
    text = load_text(path)
    values = dict(re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", text, re.MULTILINE))
    try:
        matrix = [float(word) for word in re.findall(r"[-+.\deE]+", values["cam0"])]
        if len(matrix) != 9:
            raise ValueError("cam0 must have nine numbers")
        baseline, shift = float(values["baseline"]) * 1e-3, float(values["doffs"])
        search = int(values.get("ndisp", "0"))
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: needs cam0, doffs and baseline (mm): {error}") from None
    if not np.isfinite((*matrix, baseline, shift)).all() or matrix[0] <= 0:
        raise InputError(f"{path}: cam0, doffs and baseline must be finite, and f positive")
    if not 0 <= search <= MAX_SEARCH:
        raise InputError(f"{path}: ndisp must be between 0 and {MAX_SEARCH}")
    return matrix[0], matrix[2], matrix[5], baseline, shift, search
