"""A cloud in Open3D's viewer: static points grey, moving ones by their speed, and their motion."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from rich.console import Console

from ssl_perception.errors import InputError
from ssl_perception.evaluation.pictures import FULL_SPEED, SPEED_MAP
from ssl_perception.io.open_log import open_log
from ssl_perception.io.point_files import SUFFIXES, read_velocity, write_pcd
from ssl_perception.io.results import read_flow
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.types import FloatArray, PointCloud

STATIC = (0.6, 0.64, 0.68)
MOVING_SPEED = 0.5  # m/s; where nothing tells what moves
Seen = tuple[FloatArray, FloatArray | None]  # (N, 3) points m, (N, 3) velocities m/s


def run_view(path: Path, sweep: int, save: Path | None, console: Console) -> None:
    """``ssl-perception view``: show one sweep, or write it as a PCD.

    Args:
        path: results (``replay --out``), a log, or a PCD or PLY file.
        sweep: which one, from 0; of a single file its own.
        save: PCD file to write in place of opening a window.

    Raises:
        InputError: no such sweep, no screen, or Open3D isn't installed.
    """
    single = path.suffix.lower() in SUFFIXES and path.is_file()
    seen = next(itertools.islice(sweeps_of(path), 0 if single else sweep, None), None)
    if seen is None:
        raise InputError(f"{path}: has no sweep {sweep}")
    points, velocity = seen
    if save is not None:
        unknown = np.full_like(points, np.nan)
        write_pcd(save, points, unknown if velocity is None else velocity)
        console.print(f"sweep    {save}")
        return
    with needs_extra("view"):
        import open3d
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("view: no screen here; --save FILE.pcd writes the sweep")
    open3d.visualization.draw_geometries(geometries(open3d, points, velocity), path.name)


def sweeps_of(path: Path) -> Iterator[Seen]:
    """The flow of a bag of results; else the raw sweeps of a log; else one file's points.

    Raises:
        InputError: nothing of them can be read.
    """
    if path.suffix.lower() in SUFFIXES and path.is_file():
        yield read_velocity(path)
        return
    try:
        flows = read_flow(path)
        first = next(flows, None)
    except InputError:  # a log without results
        first = None
    if first is not None:
        for _, flow in itertools.chain([first], flows):
            yield flow.points, flow.velocity
        return
    for recorded in open_log(path):
        if isinstance(recorded.value, PointCloud):
            yield recorded.value.points, None


def colours(velocity: FloatArray | None, count: int) -> FloatArray:
    """(N, 3) colours in [0, 1]: grey, or by speed where points move."""
    shades = np.tile(np.array(STATIC), (count, 1))
    if velocity is not None:
        speed = np.linalg.norm(velocity, axis=1)
        moving = speed > MOVING_SPEED  # NaN isn't
        shades[moving] = colormaps[SPEED_MAP](speed[moving] / FULL_SPEED)[:, :3]
    return shades


def geometries(open3d: Any, points: FloatArray, velocity: FloatArray | None) -> list[Any]:
    """What Open3D draws: the cloud, the sensor's axes, each mover's displacement over 1 s."""
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
    shades = colours(velocity, len(points))
    cloud.colors = open3d.utility.Vector3dVector(shades)
    shown = [cloud, open3d.geometry.TriangleMesh.create_coordinate_frame(1.0)]
    if velocity is not None:
        moving = np.flatnonzero(np.linalg.norm(velocity, axis=1) > MOVING_SPEED)
        ends = np.concatenate([points[moving], points[moving] + velocity[moving]])
        pairs = np.stack([np.arange(len(moving)), np.arange(len(moving)) + len(moving)], axis=1)
        lines = open3d.geometry.LineSet(
            open3d.utility.Vector3dVector(ends.astype(np.float64)),
            open3d.utility.Vector2iVector(pairs.astype(np.int32)),
        )
        lines.colors = open3d.utility.Vector3dVector(shades[moving])
        shown.append(lines)
    return shown
