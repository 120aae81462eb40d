"""How far simulated streets are from real ones: the same figures of both, in one table.

    python -m ssl_perception_sim.realism --data ../shared/data --seeds 40..44

Ground is told by Patchwork++ in all of them, ego motion is the data set's (the true one in the
simulator), so that each row is measured in one way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from ssl_perception.config import GroundConfig
from ssl_perception.flow.online.ground import GroundSegmenter
from ssl_perception.io.files import load_arrays
from ssl_perception_sim.experiments.fly import seeds_from
from ssl_perception_sim.recording.pairs import street_sweeps
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world.randomness import stream

Points = NDArray[np.float32]
RINGS = (0, 10, 20, 30, 50, 75)  # m
KITTI_LIKE = Lidar(pattern="beams64", columns=2083, reach=120.0, mount=(0.0, 0.0, 1.73))
AV2_LIKE = Lidar(pattern="two_heads", columns=1800, reach=200.0, mount=(0.0, 0.0, 1.6))


class Couple(NamedTuple):
    """Two consecutive sweeps in the second one's axes, z up from the sensor; share of moving
    points where it is known (else NaN)."""

    source: Points
    target: Points
    moving: float
    height: float


def figures(couples: Iterator[Couple]) -> dict[str, float]:
    """Means over couples of sweeps of what the table shows."""
    rows = []
    for couple in couples:
        source, target = couple.source, couple.target
        segmenter = GroundSegmenter(GroundConfig(sensor_height=couple.height))
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
        row["moving"] = couple.moving
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


def kitti(folder: Path, every: int = 2) -> Iterator[Couple]:
    """Packed KITTI sweeps with their estimated ego motion."""
    ego = json.loads((folder / "ego_estimated.json").read_text())["next_from_this"]
    motions = list(ego.values()) if isinstance(ego, dict) else ego
    files = sorted(folder.glob("0*.npz"))

    def points(file: Path) -> Points:
        z = load_arrays(file, ("x", "y", "z"))
        return np.stack([z["x"], z["y"], z["z"]], 1).astype(np.float32) * np.float32(0.004)

    for k in range(0, len(files) - 1, every):
        motion = np.array(motions[k], np.float32)
        source = points(files[k]) @ motion[:3, :3].T + motion[:3, 3]
        yield Couple(source, points(files[k + 1]), np.nan, 1.73)


def argoverse(folder: Path, height: float = 1.6) -> Iterator[Couple]:
    """The Argoverse 2 pair, moved to the sensor's height."""
    a = load_arrays(folder / "pair.npz", ("p0", "p1", "ego_1_from_0", "dynamic"))
    motion = a["ego_1_from_0"].astype(np.float32)
    up = np.array([1.35, 0, height], np.float32)
    source = a["p0"].astype(np.float32) @ motion[:3, :3].T + motion[:3, 3] - up
    yield Couple(source, a["p1"].astype(np.float32) - up, float(a["dynamic"].mean()), height)


def simulated(seeds: list[int], lidar: Lidar, deskewed: bool) -> Iterator[Couple]:
    """One couple from each street; raw like KITTI's, or without skew like Argoverse's."""
    for seed in seeds:
        first, second = street_sweeps(seed, 0.2, lidar)
        now = second.world_from_sensor
        if deskewed:
            source, target = first.seen_from(now).points, second.deskewed.points
        else:
            motion = np.linalg.inv(now) @ first.world_from_sensor
            source = first.cloud.transformed(motion).points
            target = second.cloud.points
        yield Couple(source, target, float(first.moving.mean()), lidar.mount[2])


def main(
    data: Annotated[Path, typer.Option(help="Folder of the real recordings.")] = Path(
        "../shared/data"
    ),
    seeds: Annotated[str, typer.Option(help="Streets, as 40..44.")] = "40..44",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Print the table."""
    streets = seeds_from(seeds)
    columns = {
        "KITTI city": figures(kitti(data / "lidar_seq_kitti_city")),
        "KITTI road": figures(kitti(data / "lidar_seq_kitti_road")),
        "simulated, 64 beams": figures(simulated(streets, KITTI_LIKE, deskewed=False)),
        "Argoverse 2": figures(argoverse(data / "lidar_flow_av2_7fab2350")),
        "simulated, two heads": figures(simulated(streets, AV2_LIKE, deskewed=True)),
    }
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
    Console(width=120).print(table)
    if json_file:
        json_file.write_text(json.dumps(columns, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
