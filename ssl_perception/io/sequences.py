"""Folders of sweeps or image pairs as a ``Log``.

| layout | what |
|---|---|
| ``NNNNNN.npz`` with ``x y z`` | lidar sweeps; int16 counts of 4 mm, or floating-point metres |
| ``sweepN.npz`` with ``xyz``, ``stamp``, ``t_s`` | lidar sweeps with their times |
| ``velodyne_points/data/NNNNNNNNNN.bin`` | KITTI raw (``timestamps.txt`` beside ``data``) |
| ``velodyne/NNNNNN.bin`` | KITTI odometry (``times.txt`` beside ``velodyne``) |
| ``*.pcd`` or ``*.ply``, or one such file | lidar sweeps; names that are times (s with a point; \
13, 16 or 19 digits: ms, µs, ns since 1970) give the stamps |
| ``left/NNNNNN.png``, ``right/``, ``calib.json`` | rectified stereo (``times_s.txt``); the folder \
may also hold it as ``half`` or ``full`` |

Where no times are given the frames come at 10 Hz.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FilesConfig
from ssl_perception.errors import InputError
from ssl_perception.io.files import (
    LIMITS,
    load_arrays,
    load_picture,
    load_text,
    require_finite,
)
from ssl_perception.io.log import Log, OnBad, Recorded
from ssl_perception.io.point_files import SUFFIXES, read_point_file
from ssl_perception.types import CameraModel, PointCloud, StereoPair

PERIOD_NS = 100_000_000
_DECIMAL = re.compile(r"\d+\.\d+")  # seconds
LATEST = 2.0**31  # seconds; what a ROS 2 stamp can hold
PACKED_UNIT = np.float32(0.004)  # metres a count in packed sweeps
EXPECTED = (
    "expected a rosbag2 recording (metadata.yaml, .mcap, .db3), lidar sweeps (NNNNNN.npz with "
    "x y z, sweepN.npz with xyz and stamp, velodyne_points/data/*.bin, velodyne/*.bin, *.pcd, "
    "*.ply), or stereo "
    "(left/*.png, right/*.png, calib.json)"
)


class SequenceLog(Log):
    """See ``Log``; frames can also be had by their number.

    Args:
        name: for reports.
        topic: what to call the frames' topic.
        stamps: one per frame, nanoseconds.
        read: gives the k-th frame's value, and how many of its points were no return.
    """

    def __init__(
        self,
        name: str,
        topic: str,
        stamps: Sequence[int],
        read: Callable[[int], tuple[PointCloud | StereoPair, int]],
        unpaired: int = 0,
    ) -> None:
        super().__init__(name)
        self.unpaired = unpaired
        self._topic = topic
        self._stamps = stamps
        self._read = read

    def __len__(self) -> int:
        return len(self._stamps)

    def __getitem__(self, k: int) -> Recorded:
        if not 0 <= k < len(self):
            raise IndexError(k)
        value, dropped = self._read(k)
        self.dropped_points += dropped
        return Recorded(self._stamps[k], value, self._topic)

    def read(self, on_bad: OnBad | None = None) -> Iterator[Recorded]:
        self.dropped_points = 0
        for k in range(len(self)):
            try:
                frame = self[k]
            except InputError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
            yield frame


def open_sequence(path: Path, limits: FilesConfig = LIMITS) -> SequenceLog:
    """Find out which layout a folder has.

    Args:
        limits: what a sweep or a picture may unpack to.

    Raises:
        InputError: none of them; the message says what they are.
    """
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return _lidar(path.stem, [path], [0], read_point_file, limits)
    if not path.is_dir():
        raise InputError(f"{path}: not a folder")
    for folder in (path, path / "half", path / "full"):
        if (folder / "left").is_dir() and (folder / "right").is_dir():
            return _stereo(folder, limits)
    for folder in (path / "velodyne_points" / "data", path / "velodyne", path / "data", path):
        files = sorted(folder.glob("*.bin"))
        if files:
            times = _kitti_times(folder.parent, len(files))
            return _lidar(path.name, files, times, read_bin, limits)
    files = sorted(path.glob("[0-9]*.npz"))
    if files:
        return _lidar(path.name, files, _regular(len(files)), read_packed, limits)
    files = sorted(path.glob("sweep*.npz"), key=lambda f: (len(f.name), f.name))
    if files:
        stamps = [_sweep_stamp(file, limits) for file in files]
        return _lidar(path.name, files, stamps, read_timed, limits)
    for suffix in SUFFIXES:
        files = sorted(path.glob(f"*{suffix}"), key=lambda f: (len(f.name), f.name))
        if files:
            return _lidar(path.name, files, _named_times(files), read_point_file, limits)
    raise InputError(f"{path}: {EXPECTED}")


def read_packed(file: Path, stamp: float, limits: FilesConfig = LIMITS) -> tuple[PointCloud, int]:
    """A sweep of ``x y z`` arrays: int16 counts of 4 mm, or floating-point metres.

    Returns:
        The sweep, and how many points were dropped because they were no return (at the origin).
    """
    arrays = load_arrays(file, ("x", "y", "z"), limits)
    axes = [arrays[name] for name in "xyz"]
    if any(axis.ndim != 1 or axis.shape != axes[0].shape for axis in axes):
        raise InputError(f"{file}: x, y and z must be one-dimensional and of one length")
    points = np.empty((len(axes[0]), 3), np.float32)
    for k, (name, axis) in enumerate(zip("xyz", axes, strict=True)):
        require_finite(axis, file, name)
        points[:, k] = axis
    if axes[0].dtype.kind in "iu":
        points *= PACKED_UNIT
    return _returns(points, None, stamp, file)


def read_timed(file: Path, stamp: float, limits: FilesConfig = LIMITS) -> tuple[PointCloud, int]:
    """A sweep of ``xyz`` (N, 3) metres and, where known, ``t_s`` (N,) seconds after its stamp."""
    arrays = load_arrays(file, ("xyz",), limits)
    time = arrays.get("t_s")
    require_finite(arrays["xyz"], file, "xyz")
    if time is not None:
        require_finite(time, file, "t_s")
    if arrays["xyz"].ndim != 2 or arrays["xyz"].shape[1] != 3:
        raise InputError(f"{file}: xyz must be (N, 3), not {arrays['xyz'].shape}")
    return _returns(arrays["xyz"], time, stamp, file)


def read_bin(file: Path, stamp: float, limits: FilesConfig = LIMITS) -> tuple[PointCloud, int]:
    """A KITTI sweep: float32 x y z reflectance, metres."""
    try:
        if file.stat().st_size > limits.max_array << 20:
            raise InputError(f"{file}: larger than {limits.max_array} MiB (files.max_array)")
        values = np.fromfile(file, "<f4")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from None
    if file.stat().st_size % 16 or not len(values):
        raise InputError(f"{file}: {file.stat().st_size} bytes are not rows of four float32")
    points = values.reshape(-1, 4)[:, :3]
    require_finite(points, file, "points")
    return _returns(np.ascontiguousarray(points), None, stamp, file)


def _returns(
    points: NDArray[np.floating], time: NDArray | None, stamp: float, file: Path
) -> tuple[PointCloud, int]:
    cloud = PointCloud(points, time, stamp, "lidar")
    keep = np.asarray(cloud.points.any(axis=1))
    dropped = len(cloud) - int(keep.sum())
    if dropped == len(cloud):
        raise InputError(f"{file}: empty cloud: none of {len(cloud)} points is a return")
    return (cloud.select(keep) if dropped else cloud), dropped


def _lidar(
    name: str,
    files: list[Path],
    stamps: list[int],
    read: Callable[[Path, float, FilesConfig], tuple[PointCloud, int]],
    limits: FilesConfig,
) -> SequenceLog:
    return SequenceLog(name, "points", stamps, lambda k: read(files[k], stamps[k] * 1e-9, limits))


def _stereo(folder: Path, limits: FilesConfig) -> SequenceLog:
    top = folder if (folder / "calib.json").exists() else folder.parent
    left = {file.name: file for file in sorted((folder / "left").glob("*.png"))}
    right = {file.name: file for file in sorted((folder / "right").glob("*.png"))}
    names = [name for name in left if name in right]
    if not names:
        raise InputError(f"{folder}: no picture is in both left/ and right/")
    camera, baseline = _calibration(top / "calib.json", folder.name)
    times = top / "times_s.txt"
    stamps = _regular(len(left))
    if times.exists():
        stamps = _numbers_ns(times)
        if len(stamps) < len(left):
            raise InputError(f"{times}: {len(stamps)} times for {len(left)} pictures")
    order = {name: k for k, name in enumerate(left)}
    kept = [stamps[order[name]] for name in names]

    def read(k: int) -> tuple[StereoPair, int]:
        a, b = (load_picture(side[names[k]], limits=limits) for side in (left, right))
        try:
            return StereoPair(a, b, camera, baseline, kept[k] * 1e-9), 0
        except InputError as error:
            raise InputError(f"{left[names[k]]}: {error}") from None

    alone = len(left) + len(right) - 2 * len(names)
    name = top.name if top == folder else f"{top.name}_{folder.name}"
    return SequenceLog(name, "left/image_rect", kept, read, alone)


def _calibration(path: Path, size: str) -> tuple[CameraModel, float]:
    try:
        values = json.loads(load_text(path))
        values = values.get(size, values)
        fx, fy, cx, cy = (float(values[key]) for key in ("fx", "fy", "cx", "cy"))
        width, height = int(values["width"]), int(values["height"])
        baseline = float(values["baseline_m"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: needs numbers width height fx fy cx cy baseline_m: {error}"
        ) from None
    return CameraModel(width, height, fx, fy, cx, cy, "left_camera_optical"), baseline


def _named_times(files: list[Path]) -> list[int]:
    """Stamps from the names of files, ns; 10 Hz where they are no times that rise."""
    units = {13: 1_000_000, 16: 1_000, 19: 1}
    names = [file.stem for file in files]
    if all(name.isdecimal() and len(name) in units for name in names):
        stamps = [int(name) * units[len(name)] for name in names]
    elif all(_DECIMAL.fullmatch(name) for name in names):
        stamps = [round(float(name) * 1e9) for name in names]
    else:
        return _regular(len(files))
    rising = all(a < b for a, b in itertools.pairwise(stamps))
    return stamps if rising and stamps[-1] < LATEST * 1e9 else _regular(len(files))


def _regular(count: int) -> list[int]:
    return [k * PERIOD_NS for k in range(count)]


def _sweep_stamp(file: Path, limits: FilesConfig) -> int:
    stamp = load_arrays(file, ("xyz", "stamp"), limits)["stamp"]
    if stamp.size != 1 or stamp.dtype.kind not in "fiu" or not 0 <= stamp.item() < LATEST:
        raise InputError(f"{file}: stamp must be one number of seconds, 0 to {LATEST:g}")
    return round(float(stamp.item()) * 1e9)


def _kitti_times(folder: Path, count: int) -> list[int]:
    dated, seconds = folder / "timestamps.txt", folder / "times.txt"
    if dated.exists():
        lines = load_text(dated).split("\n")
        try:
            stamps = [
                int(np.datetime64(line.strip(), "ns").astype(np.int64))
                for line in lines
                if line.strip()
            ]
        except ValueError as error:
            raise InputError(f"{dated}: not dates and times: {error}") from None
    elif seconds.exists():
        stamps = _numbers_ns(seconds)
    else:
        return _regular(count)
    if min(stamps, default=0) < 0:
        raise InputError(f"{dated}: times before 1970")
    if len(stamps) < count:
        raise InputError(
            f"{dated if dated.exists() else seconds}: {len(stamps)} times for {count} sweeps"
        )
    return stamps[:count]


def _numbers_ns(path: Path) -> list[int]:
    try:
        seconds = [float(word) for word in load_text(path).split()]
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: {error}") from None
    if not all(0 <= second < LATEST for second in seconds):
        raise InputError(f"{path}: times must be within 0 to {LATEST:g} s")
    return [round(second * 1e9) for second in seconds]
