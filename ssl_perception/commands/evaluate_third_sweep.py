"""Detected movers, checked by a sweep that the detection didn't use. Needs no labels.

A detection is made from sweeps k - 1 and k. Extrapolated by its velocity to sweep k + 1, and taken
there with the ego motion, a true mover lies on that sweep; a false one lay better before.
It is *confirmed* when its mean nearest-neighbour distance (each capped at 1 m) is below 0.8 of
what it is without moving. It can't tell a mover from a wall that slides along itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.flow.online.online import OnlineFlow, SweepFlow
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.io.open_log import open_log
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception.types import FloatArray, PointCloud

CAP = 1.0  # m
CONFIRMED_BELOW = 0.8
MIN_POINTS = 10
FIRST_JUDGED = 2  # the third sweep: detections need two before them


@dataclass(frozen=True)
class Verdict:
    """One detection, checked.

    Attributes:
        sweep: index of the sweep that it was detected in.
        points: its size.
        centre: (3,) m, in that sweep's frame.
        velocity: (3,) m/s, detected.
        moved, unmoved: mean capped distances to the next sweep, m.
    """

    sweep: int
    points: int
    centre: tuple[float, float, float]
    velocity: tuple[float, float, float]
    moved: float
    unmoved: float

    @property
    def confirmed(self) -> bool:
        return self.moved < CONFIRMED_BELOW * self.unmoved


def judge(
    sweep: int,
    detected: SweepFlow,
    following: PointCloud,
    following_from_detected: NDArray[np.float64],
    interval: float,
) -> list[Verdict]:
    """Check the detections of one sweep by the next one.

    Args:
        detected: the result of sweep k.
        following: sweep k + 1, as measured.
        following_from_detected: (4, 4) ego motion.
        interval: seconds from k to k + 1.
    """
    labels = moving_clusters(detected.cloud, detected.flow.moving)
    tree = cKDTree(following.points)
    rotation = following_from_detected[:3, :3]
    translation = following_from_detected[:3, 3]

    def distance(points: FloatArray) -> float:
        nearest, _ = tree.query(points @ rotation.T + translation, distance_upper_bound=CAP)
        return float(np.minimum(nearest, CAP).mean())

    verdicts = []
    for label in range(int(labels.max(initial=-1)) + 1):
        mine = labels == label
        if mine.sum() < MIN_POINTS:
            continue
        points, velocity = detected.cloud.points[mine], detected.flow.velocity[mine]
        verdicts.append(
            Verdict(
                sweep,
                int(mine.sum()),
                tuple(points.mean(axis=0).tolist()),
                tuple(velocity.mean(axis=0).tolist()),
                distance(points + velocity * np.float32(interval)),
                distance(points),
            )
        )
    return verdicts


def run_third_sweep(
    path: Path, config: Config, json_file: Path | None, console: Console
) -> dict[str, object]:
    """Check every detection in a log of raw sweeps, print the counts, and the unconfirmed ones.

    Raises:
        InputError: the log can't be read, or has fewer than four sweeps.
    """
    log = open_log(path, config.topics)
    online = OnlineFlow(config)
    verdicts: list[Verdict] = []
    before: SweepFlow | None = None
    count = judged = 0
    with progress_bar(console) as bar:
        task = bar.add_task(f"third sweep {log.name}", total=len(log))
        for recorded in log:
            bar.advance(task)
            if not isinstance(recorded.value, PointCloud):
                continue
            result = online.process(recorded.value)
            motion = result.current_from_previous
            if before is not None and motion is not None and count > FIRST_JUDGED:
                interval = result.cloud.stamp - before.cloud.stamp
                verdicts += judge(count - 1, before, result.cloud, motion, interval)
                judged += 1
            before = result
            count += 1
    if not judged:
        raise InputError(f"{path}: {count} sweeps; the third-sweep test needs four")
    figures: dict[str, object] = {"log": str(path), "sweeps_judged": judged}
    table = Table(box=None, pad_edge=False)
    for heading in ("detections", "clusters", "points", "clusters a sweep"):
        table.add_column(heading, justify="left" if heading == "detections" else "right")
    for name, chosen in (
        ("confirmed", [v for v in verdicts if v.confirmed]),
        ("unconfirmed", [v for v in verdicts if not v.confirmed]),
    ):
        points = sum(v.points for v in chosen)
        figures[f"{name}_clusters"], figures[f"{name}_points"] = len(chosen), points
        figures[f"{name}_per_sweep"] = len(chosen) / judged
        table.add_row(name, str(len(chosen)), str(points), f"{len(chosen) / judged:.2f}")
    console.print(table)
    for v in verdicts:
        if not v.confirmed:
            place = ", ".join(f"{x:.1f}" for x in v.centre)
            console.print(f"unconfirmed: sweep {v.sweep}, {v.points} points at ({place}) m")
    if json_file is not None:
        write_json(json_file, figures)
    return figures
