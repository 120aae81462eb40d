"""``ssl-perception evaluate realism``: simulated and real streets by the same figures.

Ground is found by Patchwork++ in all of them, ego motion is the data set's (the true one in the
simulator), so that each column is measured in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from ssl_perception.config import GroundConfig
from ssl_perception.errors import InputError
from ssl_perception.flow.online.ground import GroundSegmenter
from ssl_perception.io.files import load_arrays
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception_sim.recording.pairs import street_sweeps
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world.randomness import stream

Points = NDArray[np.float32]
RINGS = (0, 10, 20, 30, 50, 75)  # m
KITTI_LIKE = Lidar(pattern="beams64", columns=2083, reach=120.0, mount=(0.0, 0.0, 1.73))
AV2_LIKE = Lidar(pattern="two_heads", columns=1800, reach=200.0, mount=(0.0, 0.0, 1.6))


class SweepPair(NamedTuple):
    """Two consecutive sweeps in the second one's axes, z up from the sensor; share of moving
    points where it is known (else NaN)."""

    source: Points
    target: Points
    moving: float
    height: float


def figures(pairs: Iterator[SweepPair]) -> dict[str, float]:
    """Means over pairs of sweeps of what the table shows."""
    rows = []
    for pair in pairs:
        source, target = pair.source, pair.target
        segmenter = GroundSegmenter(GroundConfig(sensor_height=pair.height))
        ground, target_ground = segmenter.segment(source), segmenter.segment(target)
        away = np.hypot(source[:, 0], source[:, 1])
        row: dict[str, float] = {"points": len(source), "ground": float(ground.mean())}
        for near, far in pairwise(RINGS):
            row[f"{near}-{far} m"] = float(((away >= near) & (away < far)).mean())
        tree = cKDTree(target[~target_ground])
        rest = source[~ground & (away < 35)]
        residual = tree.query(rest)[0]
        row["residual median"] = float(np.median(residual))
        row["residual p90"] = float(np.quantile(residual, 0.9))
        row["residual > 0.3 m"] = float((residual > 0.3).mean())
        row["scattered"] = _scattered(rest)
        row["road roughness"] = _roughness(source[ground & (away > 4) & (away < 15)])
        row["moving"] = pair.moving
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _scattered(points: Points) -> float:
    """Share of points whose neighbourhood (0.5 m) is neither flat nor a line: leaves, clutter."""
    tree = cKDTree(points)
    rng = stream(0, "realism")
    some = points[rng.choice(len(points), min(1500, len(points)), replace=False)]
    scattered, counted = 0, 0
    for neighbours in tree.query_ball_point(some, 0.5):
        if len(neighbours) < 10:
            continue
        values = np.linalg.eigvalsh(np.cov(points[neighbours].T))
        counted += 1
        scattered += values[0] > 0.1 * values[2]
    return scattered / max(counted, 1)


def _roughness(ground: Points) -> float:
    """Median over 1 m cells of the spread of heights about the cell's plane, m."""
    cell = np.floor(ground[:, :2]).astype(int)
    _, number = np.unique(cell, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    spreads = []
    for rows in np.split(order, np.flatnonzero(np.diff(number.ravel()[order])) + 1):
        if len(rows) < 12:
            continue
        patch = ground[rows].astype(float)
        patch -= patch.mean(0)
        plane = np.c_[patch[:, :2], np.ones(len(patch))]
        error = patch[:, 2] - plane @ np.linalg.lstsq(plane, patch[:, 2], rcond=None)[0]
        spreads.append(error.std())
    return float(np.median(spreads))


def kitti(folder: Path, every: int = 2) -> Iterator[SweepPair]:
    """Packed KITTI sweeps with their estimated ego motion."""
    file = folder / "ego_estimated.json"
    try:
        ego = json.loads(file.read_text(encoding="utf-8"))["next_from_this"]
        motions = list(ego.values()) if isinstance(ego, dict) else list(ego)
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: not ego motions (next_from_this) of packed sweeps") from None
    files = sorted(folder.glob("0*.npz"))
    if len(files) < 2 or len(motions) < len(files) - 1:
        raise InputError(f"{folder}: {len(files)} sweeps with {len(motions)} ego motions")

    def points(file: Path) -> Points:
        z = load_arrays(file, ("x", "y", "z"))
        return np.stack([z["x"], z["y"], z["z"]], 1).astype(np.float32) * np.float32(0.004)

    for k in range(0, len(files) - 1, every):
        motion = np.array(motions[k], np.float32)
        source = points(files[k]) @ motion[:3, :3].T + motion[:3, 3]
        yield SweepPair(source, points(files[k + 1]), np.nan, 1.73)


def argoverse(folder: Path, height: float = 1.6) -> Iterator[SweepPair]:
    """The Argoverse 2 pair, moved to the sensor's height."""
    a = load_arrays(folder / "pair.npz", ("p0", "p1", "ego_1_from_0", "dynamic"))
    motion = a["ego_1_from_0"].astype(np.float32)
    up = np.array([1.35, 0, height], np.float32)
    source = a["p0"].astype(np.float32) @ motion[:3, :3].T + motion[:3, 3] - up
    yield SweepPair(source, a["p1"].astype(np.float32) - up, float(a["dynamic"].mean()), height)


def simulated(seeds: Sequence[int], lidar: Lidar, deskewed: bool) -> Iterator[SweepPair]:
    """One pair from each street; raw like KITTI's, or without skew like Argoverse's."""
    for seed in seeds:
        first, second = street_sweeps(seed, 0.2, lidar)
        now = second.world_from_sensor
        if deskewed:
            source, target = first.seen_from(now).points, second.deskewed.points
        else:
            motion = np.linalg.inv(now) @ first.world_from_sensor
            source = first.cloud.transformed(motion).points
            target = second.cloud.points
        yield SweepPair(source, target, float(first.moving.mean()), lidar.mount[2])


def run_evaluate_realism(
    data: Path, seeds: Sequence[int], json_file: Path | None, console: Console
) -> dict[str, Any]:
    """Measure, print the table, write the figures.

    Args:
        data: folder with ``lidar_seq_kitti_city``, ``lidar_seq_kitti_road`` and
            ``lidar_flow_av2_7fab2350``.
        seeds: of the simulated streets.

    Raises:
        InputError: a recording is missing or broken, or a file can't be written.
    """
    if not data.is_dir():
        raise InputError(f"{data}: no such folder")
    sources = {
        "KITTI city": kitti(data / "lidar_seq_kitti_city"),
        "KITTI road": kitti(data / "lidar_seq_kitti_road"),
        "simulated, 64 beams": simulated(seeds, KITTI_LIKE, deskewed=False),
        "Argoverse 2": argoverse(data / "lidar_flow_av2_7fab2350"),
        "simulated, two heads": simulated(seeds, AV2_LIKE, deskewed=True),
    }
    columns = {}
    with progress_bar(console) as bar:
        task = bar.add_task("realism", total=len(sources))
        for name, pairs in sources.items():
            columns[name] = figures(pairs)
            bar.advance(task)
    table = Table("", *columns)
    for name in next(iter(columns.values())):
        values = [column[name] for column in columns.values()]
        if name == "points":
            cells = [f"{v:.0f}" for v in values]
        elif name in ("residual median", "residual p90", "road roughness"):
            cells = [f"{v:.3f} m" for v in values]
        else:
            cells = ["-" if np.isnan(v) else f"{v:.1%}" for v in values]
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        "Residual: distance of obstacle points to the next sweep, ego motion removed. Scattered: "
        "neighbourhoods that are neither flat nor a line. Road roughness: in 1 m cells."
    )
    plain = {
        title: {name: None if np.isnan(value) else value for name, value in column.items()}
        for title, column in columns.items()
    }
    found = {"seeds": list(seeds), "columns": plain}
    if json_file is not None:
        write_json(json_file, found)
    return found
