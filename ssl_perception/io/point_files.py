"""Single sweeps in PCD and PLY files: read by pypcd4 and trimesh, written as PCD.

Points are metres in the sensor's axes. A PCD may carry the time of each point in a field of
``point_time.TIME_FIELDS``, and either may carry a velocity as ``vx vy vz`` (m/s).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FilesConfig
from ssl_perception.errors import InputError
from ssl_perception.io.files import LIMITS, reason
from ssl_perception.io.point_time import TIME_FIELDS, seconds_from_stamp
from ssl_perception.io.write import write_output
from ssl_perception.types import FloatArray, PointCloud

SUFFIXES = (".pcd", ".ply")
VELOCITY = ("vx", "vy", "vz")
_HEADER_BYTES = 4096


def read_point_file(
    path: Path, stamp: float = 0.0, limits: FilesConfig = LIMITS
) -> tuple[PointCloud, int]:
    """A sweep out of a PCD or PLY file.

    Args:
        stamp: of the sweep, s: these files hold none.
        limits: ``max_array`` bounds the file.

    Returns:
        The sweep, and how many of its points were dropped as no return (NaN, or at the origin).

    Raises:
        InputError: the file can't be read, has no x y z, or holds no return.
    """
    columns = read_columns(path, limits)
    points = np.stack([columns[axis] for axis in "xyz"], axis=1).astype(np.float32)
    keep = np.isfinite(points).all(axis=1) & points.any(axis=1)
    if not keep.any():
        raise InputError(f"{path}: empty cloud: none of {len(points)} points is a return")
    time = None
    name = next((name for name in TIME_FIELDS if name in columns), None)
    if name is not None:
        try:
            time = seconds_from_stamp(columns[name][keep], round(stamp * 1e9), name)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return PointCloud(points[keep], time, stamp, "lidar"), int((~keep).sum())


def read_velocity(path: Path) -> tuple[FloatArray, FloatArray | None]:
    """(N, 3) points of a file, m, and (N, 3) their velocities, m/s; None: it holds none.

    Raises:
        InputError: as ``read_point_file``.
    """
    columns = read_columns(path)
    points, velocity = (
        np.stack([columns[name] for name in names], axis=1).astype(np.float32)
        if all(name in columns for name in names)
        else None
        for names in ("xyz", VELOCITY)
    )
    assert points is not None
    return points, velocity


def read_columns(path: Path, limits: FilesConfig = LIMITS) -> Mapping[str, NDArray[Any]]:
    """All fields of a file with one number a point, by name; x y z are among them.

    Raises:
        InputError: the file can't be read, or has no x y z.
    """
    try:
        if path.stat().st_size > limits.max_array << 20:
            raise InputError(f"{path}: larger than {limits.max_array} MiB (files.max_array)")
        columns = _pcd(path, limits) if path.suffix.lower() == ".pcd" else _ply(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a broken file makes the libraries raise all sorts
        kind = path.suffix.lower()[1:].upper()
        raise InputError(f"{path}: not a readable {kind} file: {reason(error)}") from None
    missing = [axis for axis in "xyz" if axis not in columns]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; it holds {', '.join(columns)}")
    return columns


def _pcd(path: Path, limits: FilesConfig) -> dict[str, NDArray[Any]]:
    from pypcd4 import MetaData
    from pypcd4 import PointCloud as Pcd

    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES).decode("latin-1").split("\nDATA")[0]
    said = MetaData.parse_header([*head.splitlines(), "DATA ascii"])
    if said.points * said.build_dtype().itemsize > limits.max_array << 20:
        raise InputError(f"{path}: its header claims {said.points} points")
    rows = np.atleast_1d(Pcd.from_path(path).pc_data)
    if len(rows) != said.points:
        raise InputError(f"{path}: {len(rows)} points, its header says {said.points}")
    return {name: rows[name] for name in rows.dtype.names or () if rows[name].ndim == 1}


def _ply(path: Path) -> dict[str, NDArray[Any]]:
    from trimesh.exchange.ply import load_ply

    with path.open("rb") as file:
        read = load_ply(file, fix_texture=False, skip_materials=True)
    vertices = read["metadata"]["_ply_raw"]["vertex"]["data"]
    names = vertices.dtype.names if isinstance(vertices, np.ndarray) else tuple(vertices)
    return {name: np.asarray(vertices[name]).ravel() for name in names or ()}


def write_pcd(path: Path, points: FloatArray, velocity: FloatArray) -> None:
    """Points (N, 3) m with their velocities (N, 3) m/s (NaN unknown) as a binary PCD.

    Raises:
        InputError: the file can't be written.
    """
    from pypcd4 import Encoding
    from pypcd4 import PointCloud as Pcd

    rows = np.concatenate([points, velocity], axis=1).astype(np.float32)
    fields = ("x", "y", "z", *VELOCITY)
    buffer = io.BytesIO()
    Pcd.from_points(rows, fields, (np.float32,) * len(fields)).save(buffer, Encoding.BINARY)
    write_output(path, buffer.getvalue())
