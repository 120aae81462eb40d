"""KITTI tracking benchmark: raw sweeps with labelled boxes.

    velodyne/SSSS/NNNNNN.bin     sweeps (or packed, NNNNNN.npz with x y z)
    label_02/SSSS.txt            boxes, in the rectified frame of camera 0
    calib/SSSS.txt               R0_rect, Tr_velo_to_cam

Only what the left colour camera sees is labelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.files import load_text
from ssl_perception.io.sequences import read_bin, read_packed
from ssl_perception.types import BoolArray, FloatArray, PointCloud

LAYOUT = "expected velodyne/SSSS/NNNNNN.bin (or .npz), label_02/SSSS.txt and calib/SSSS.txt"
PERIOD = 0.1036  # s between sweeps, measured on KITTI's raw drives; the benchmark has no stamps
VEHICLES = ("Car", "Van", "Truck", "Tram")
PEOPLE = ("Pedestrian", "Person_sitting", "Person")
CATEGORIES = (*VEHICLES, "Cyclist", *PEOPLE)  # others are areas without labels


@dataclass(frozen=True, eq=False)
class LabelledBox:
    """A labelled object in one sweep, in the lidar's frame.

    Attributes:
        track: its identity within the sequence.
        category: one of ``CATEGORIES``.
        centre: (3,) middle of the box, m.
        size: (3,) length, width, height, m.
        yaw: heading about z, rad.
    """

    track: int
    category: str
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    yaw: float

    def contains(self, points: FloatArray, margin: float = 0.0) -> BoolArray:
        """(N, 3) points -> (N,) which are inside the box, grown by ``margin`` m on every side."""
        offset = points - self.centre
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        along = cos * offset[:, 0] + sin * offset[:, 1]
        across = cos * offset[:, 1] - sin * offset[:, 0]
        half = self.size / 2 + margin
        inside: BoolArray = (
            (np.abs(along) <= half[0])
            & (np.abs(across) <= half[1])
            & (np.abs(offset[:, 2]) <= half[2])
        )
        return inside

    @property
    def floor(self) -> float:
        """Height of the box's bottom, m."""
        return float(self.centre[2] - self.size[2] / 2)


@dataclass(frozen=True, eq=False)
class TrackingSequence:
    """One drive.

    Attributes:
        name: its number, four digits.
        files: of the sweeps, by their frame number.
        path: of the benchmark.
    """

    name: str
    files: dict[int, Path]
    path: Path

    @cached_property
    def boxes(self) -> dict[int, list[LabelledBox]]:
        """The labelled objects by frame number.

        Raises:
            InputError: labels or calibration are missing or broken.
        """
        calibration = self.path / "calib" / f"{self.name}.txt"
        lidar_from_rect = np.asarray(np.linalg.inv(_rect_from_lidar(calibration)), np.float64)
        labels = self.path / "label_02" / f"{self.name}.txt"
        boxes: dict[int, list[LabelledBox]] = {}
        for number, line in enumerate(load_text(labels).splitlines(), 1):
            words = line.split()
            if not words:
                continue
            try:
                frame, track, category = int(words[0]), int(words[1]), words[2]
                values = np.array([float(word) for word in words[10:17]])
            except (ValueError, IndexError):
                raise InputError(f"{labels}: line {number} is not a label") from None
            if category not in CATEGORIES:
                continue
            if len(values) != 7 or not np.isfinite(values).all():
                raise InputError(f"{labels}: line {number} lacks the numbers of its box")
            box = _box(track, category, values, lidar_from_rect)
            boxes.setdefault(frame, []).append(box)
        return boxes

    def sweep(self, frame: int) -> PointCloud:
        """The raw sweep of a frame, stamped by its number.

        Raises:
            InputError: the file can't be read.
        """
        file = self.files[frame]
        read = read_packed if file.suffix == ".npz" else read_bin
        return read(file, frame * PERIOD)[0]


def open_tracking(path: Path) -> list[TrackingSequence]:
    """The sequences of a benchmark folder that have sweeps, in the order of their numbers.

    Raises:
        InputError: the folder doesn't fit the layout.
    """
    sequences = []
    for folder in sorted(path.glob("velodyne/[0-9]*")):
        files = sorted(folder.glob("[0-9]*.bin")) or sorted(folder.glob("[0-9]*.npz"))
        try:
            by_frame = {int(file.stem): file for file in files}
        except ValueError:
            raise InputError(f"{folder}: sweeps must be named by their number; {LAYOUT}") from None
        if by_frame:
            sequences.append(TrackingSequence(folder.name, by_frame, path))
    if not sequences:
        raise InputError(f"{path}: no sweeps; {LAYOUT}")
    for sequence in sequences:
        for kind in ("label_02", "calib"):
            if not (path / kind / f"{sequence.name}.txt").is_file():
                raise InputError(f"{path}: lacks {kind}/{sequence.name}.txt; {LAYOUT}")
    return sequences


def _box(
    track: int, category: str, values: NDArray[np.float64], lidar_from_rect: NDArray[np.float64]
) -> LabelledBox:
    height, width, length, x, y, z, rotation = values
    middle = lidar_from_rect @ np.array([x, y - height / 2, z, 1.0])  # y points down
    ahead = lidar_from_rect[:3, :3] @ np.array([np.cos(rotation), 0.0, -np.sin(rotation)])
    size = np.array([length, width, height])
    return LabelledBox(track, category, middle[:3], size, float(np.arctan2(ahead[1], ahead[0])))


def _rect_from_lidar(path: Path) -> NDArray[np.float64]:
    """(4, 4), from the lidar's frame to the rectified one of camera 0."""
    rows = {
        words[0].rstrip(":"): words[1:]
        for line in load_text(path).splitlines()
        if (words := line.split())
    }
    matrices = []
    for names, columns in ((("R0_rect", "R_rect"), 3), (("Tr_velo_to_cam", "Tr_velo_cam"), 4)):
        found = next((rows[name] for name in names if name in rows), [])
        try:
            values = np.array([float(word) for word in found]).reshape(3, columns)
        except ValueError:
            raise InputError(f"{path}: needs {names[0]} of {3 * columns} numbers") from None
        if not np.isfinite(values).all():
            raise InputError(f"{path}: {names[0]} has NaN or infinite numbers")
        matrix = np.eye(4)
        matrix[:3, :columns] = values
        matrices.append(matrix)
    rectify, camera_from_lidar = matrices
    product: NDArray[np.float64] = rectify @ camera_from_lidar
    if abs(np.linalg.det(product)) < 1e-6:
        raise InputError(f"{path}: the calibration can't be inverted")
    return product
