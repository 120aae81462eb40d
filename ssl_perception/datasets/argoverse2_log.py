"""One log of Argoverse 2: its sweeps, poses, boxes and ground height, read when asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.files import (
    MAX_REASON,
    load_array,
    load_text,
    reason,
    require_finite,
)
from ssl_perception.io.odometry import rigid_transform
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.types import BoolArray, FloatArray, PointCloud

MAX_FEATHER_BYTES = 1 << 30
POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
SIZE = ("length_m", "width_m", "height_m")
GROUND_WITHIN = 0.3  # metres; av2-api GROUND_HEIGHT_THRESHOLD
LIDARS = ("up_lidar", "down_lidar")
USUAL_ORIGIN = np.array([1.35, 0.0, 1.6], np.float32)  # mean of both, where no calibration is given


@dataclass(frozen=True, eq=False)
class Box:
    """An annotated cuboid at one instant.

    Attributes:
        category: Argoverse's name for it.
        size: (3,) length, width, height, metres.
        ego_from_box: (4, 4).
    """

    category: str
    size: NDArray[np.float64]
    ego_from_box: NDArray[np.float64]


class Argoverse2Log:
    """See the module.

    Raises:
        InputError: a sweep's name is no time, or there are no poses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.timestamps = sorted(
                int(file.stem) for file in (folder / "sensors" / "lidar").glob("*.feather")
            )
        except ValueError as error:
            raise InputError(
                f"{folder}/sensors/lidar: names must be times in ns: {error}"
            ) from None
        if not (folder / "city_SE3_egovehicle.feather").exists():
            raise InputError(f"{folder}: lacks city_SE3_egovehicle.feather")

    def sweep(self, timestamp_ns: int) -> PointCloud:
        """The sweep of that instant, in its own ego frame."""
        file = self.folder / "sensors" / "lidar" / f"{timestamp_ns}.feather"
        columns = read_feather(file, ("x", "y", "z", "offset_ns"))
        points = np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=1)
        require_finite(points, file, "x, y, z")
        time = (columns["offset_ns"] * 1e-9).astype(np.float32)
        if not len(points):
            raise InputError(f"{file}: empty cloud")
        return PointCloud(points, time, timestamp_ns * 1e-9, "ego", self._origin)

    def city_from_ego(self, timestamp_ns: int) -> NDArray[np.float64]:
        """(4, 4) pose of the vehicle at a sweep's instant."""
        row = self._pose_rows.get(timestamp_ns)
        if row is None:
            raise InputError(f"{self.folder}: city_SE3_egovehicle has no pose at {timestamp_ns}")
        return _transform(row, self.folder / "city_SE3_egovehicle.feather")

    def boxes(self, timestamp_ns: int) -> dict[str, Box]:
        """Annotated cuboids of that instant by track; empty where there are no annotations."""
        if self._annotations is None:
            return {}
        table, file = self._annotations, self.folder / "annotations.feather"
        found = {}
        for k in np.flatnonzero(table["timestamp_ns"] == timestamp_ns):
            size = np.array([float(table[name][k]) for name in SIZE])
            pose = tuple(float(table[name][k]) for name in POSE)
            if not np.isfinite(size).all():
                raise InputError(f"{file}: a box's size is NaN or infinite")
            found[str(table["track_uuid"][k])] = Box(
                str(table["category"][k]), size, _transform(pose, file)
            )
        return found

    def ground(self, points: FloatArray, timestamp_ns: int) -> BoolArray | None:
        """(N,) bool, within 0.3 m of the map's ground or below it; None without a map.

        Where the map doesn't reach nothing is ground.
        """
        if self._height is None:
            return None
        raster, rotation, shift, scale = self._height
        pose = self.city_from_ego(timestamp_ns)
        city = points @ pose[:3, :3].T + pose[:3, 3]
        # Sim(2): raster from city; av2-api truncates to whole pixels
        pixel = ((city[:, :2] @ rotation.T + shift) * scale).astype(np.int64)
        inside = ((pixel >= 0) & (pixel < (raster.shape[1], raster.shape[0]))).all(axis=1)
        height = np.full(len(points), np.nan)
        height[inside] = raster[pixel[inside, 1], pixel[inside, 0]]
        above = city[:, 2] - height
        with np.errstate(invalid="ignore"):
            return np.asarray(above <= GROUND_WITHIN)

    @cached_property
    def _pose_rows(self) -> dict[int, tuple[float, ...]]:
        table = read_feather(self.folder / "city_SE3_egovehicle.feather", ("timestamp_ns", *POSE))
        rows = zip(*(table[name].tolist() for name in POSE), strict=True)
        return dict(zip(table["timestamp_ns"].tolist(), rows, strict=True))

    @cached_property
    def _annotations(self) -> dict[str, NDArray[Any]] | None:
        file = self.folder / "annotations.feather"
        if not file.exists():
            return None
        return read_feather(file, ("timestamp_ns", "track_uuid", "category", *SIZE, *POSE))

    @cached_property
    def _origin(self) -> FloatArray:
        file = self.folder / "calibration" / "egovehicle_SE3_sensor.feather"
        if not file.exists():
            return USUAL_ORIGIN
        table = read_feather(file, ("sensor_name", "tx_m", "ty_m", "tz_m"))
        is_lidar = np.isin(table["sensor_name"].astype(str), LIDARS)
        if not is_lidar.any():
            return USUAL_ORIGIN
        axes = [float(table[name][is_lidar].mean()) for name in ("tx_m", "ty_m", "tz_m")]
        return np.array(axes, np.float32)

    @cached_property
    def _height(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64], float] | None:
        rasters = sorted((self.folder / "map").glob("*_ground_height_surface____*.npy"))
        transforms = sorted((self.folder / "map").glob("*___img_Sim2_city.json"))
        if not rasters or not transforms:
            return None
        raster = load_array(rasters[0])
        if raster.ndim != 2 or raster.dtype.kind != "f":
            raise InputError(f"{rasters[0]}: must be a float raster, not {raster.shape}")
        try:
            values = json.loads(load_text(transforms[0]))
            rotation = np.array(values["R"], np.float64).reshape(2, 2)
            shift = np.array(values["t"], np.float64).reshape(2)
            scale = float(values["s"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{transforms[0]}: needs R, t and s: {error}") from None
        return raster, rotation, shift, scale


def read_feather(
    file: Path, required: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, NDArray[Any]]:
    """Columns of a feather file, those of ``optional`` where they are there.

    Raises:
        InputError: not there, not feather, larger than 1 GiB, a required column
            missing, or pyarrow missing.
    """
    with needs_extra(f"{file}: a feather file"):
        from pyarrow import feather
    try:
        if file.stat().st_size > MAX_FEATHER_BYTES:
            raise InputError(f"{file}: larger than {MAX_FEATHER_BYTES} bytes")
        table = feather.read_table(file)
        missing = [name for name in required if name not in table.column_names]
        if missing:
            have = ", ".join(table.column_names)[:MAX_REASON]
            raise InputError(f"{file}: lacks {', '.join(missing)}; it holds {have}")
        names = [*required, *(name for name in optional if name in table.column_names)]
        return {name: table.column(name).to_numpy() for name in names}
    except InputError:
        raise
    except Exception as error:  # a broken file makes Arrow raise all sorts
        raise InputError(f"{file}: not a readable feather file: {reason(error)}") from None


def _transform(pose: tuple[float, ...], file: Path) -> NDArray[np.float64]:
    qw, qx, qy, qz, x, y, z = pose
    try:
        return rigid_transform((qx, qy, qz, qw), (x, y, z))
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
