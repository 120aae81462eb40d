"""How sharp moving things are in the accumulated cloud: by flow, by ego motion alone, by nothing.

Points that were found moving in an earlier sweep are carried to the last sweep; their distance
to the nearest point of that sweep measures how well they lie where their object is by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from ssl_perception.config import AccumulationConfig, Config
from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import png
from ssl_perception.flow.online.accumulation import Accumulator, Carrier
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.io.open_log import open_log
from ssl_perception.io.write import write_json, write_output
from ssl_perception.runtime.console import progress_bar
from ssl_perception.types import BoolArray, FloatArray, PointCloud

SWEEPS = 10  # when the settings don't say
WAYS: tuple[Carrier, ...] = ("nothing", "ego motion", "flow")


@dataclass(frozen=True, eq=False)
class Dense:
    """An accumulated cloud.

    Attributes:
        points: (N, 3) m in the last sweep's axes.
        moving: (N,) moved when last seen.
        newest: (N,) of the last sweep.
    """

    points: FloatArray
    moving: BoolArray
    newest: BoolArray

    def sharpness(self) -> NDArray[np.float64]:
        """Distance of each earlier moving point to the nearest one of the last sweep, m."""
        nearest, _ = cKDTree(self.points[self.newest]).query(
            self.points[self.moving & ~self.newest]
        )
        return np.asarray(nearest)


def accumulate(results: list[SweepFlow], settings: AccumulationConfig) -> dict[Carrier, Dense]:
    """The same sweeps put together in each of the ``WAYS``."""
    dense = {}
    for way in WAYS:
        accumulator = Accumulator(settings, by=way)
        for result in results:
            accumulator.add(result)
        cloud = accumulator.cloud()
        assert cloud.time is not None
        dense[way] = Dense(cloud.points, accumulator.moving(), cloud.time == 0.0)
    return dense


def run_evaluate_accumulation(
    path: Path,
    config: Config,
    picture: Path | None,
    json_file: Path | None,
    console: Console,
) -> dict[str, Any]:
    """``ssl-perception evaluate accumulation``: the last sweeps of a log as one cloud, measured.

    Raises:
        InputError: the log can't be read, has fewer than three sweeps, or nothing moves in it.
    """
    settings = config.accumulation
    if not settings.sweeps:
        settings = settings.model_copy(update={"sweeps": SWEEPS})
    log = open_log(path, config.topics, limits=config.files)
    online = OnlineFlow(config)
    results: list[SweepFlow] = []
    with progress_bar(console) as bar:
        task = bar.add_task(f"accumulate {log.name}", total=len(log))
        for recorded in log:
            bar.advance(task)
            if isinstance(recorded.value, PointCloud):
                result = online.process(recorded.value)
                if result.reset:
                    results.clear()
                results = [*results, result][-settings.sweeps :]
    if len(results) < 3:
        raise InputError(f"{path}: three sweeps in a row are needed")
    dense = accumulate(results, settings)
    table = Table("carried by", "moving points", "mean m", "median m", "90 % m", box=None)
    figures: dict[str, Any] = {"sweeps": len(results)}
    for way in WAYS:
        distance = dense[way].sharpness()
        if not len(distance):
            raise InputError(f"{path}: nothing moves in its last {len(results)} sweeps")
        key = way.replace(" ", "_")
        figures[key] = {
            "points": len(distance),
            "mean": float(distance.mean()),
            "median": float(np.median(distance)),
            "p90": float(np.percentile(distance, 90)),
        }
        row = (figures[key][name] for name in ("mean", "median", "p90"))
        table.add_row(way, str(len(distance)), *(f"{value:.3f}" for value in row))
    console.print("Distance of earlier moving points to the nearest one of the last sweep")
    console.print(table)
    if picture is not None:
        write_output(picture, png(draw(dense, results[-1])))
        console.print(f"picture  {picture}")
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def draw(dense: dict[Carrier, Dense], last: SweepFlow, window: float = 24.0) -> Figure:
    """Above: the whole scene with flow, and the window; below: the window in each of the ways.

    The window (m) is where most points move. Moving points are red, the last sweep's dark.
    """
    figure = Figure(figsize=(12.0, 10.6), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(1.55, 1.0))
    labels = moving_clusters(last.cloud, last.flow.moving)
    biggest = np.bincount(labels[labels >= 0]).argmax() if (labels >= 0).any() else -1
    middle = last.cloud.points[labels == biggest].mean(axis=0) if biggest >= 0 else np.zeros(3)
    whole = figure.add_subplot(grid[0, :])
    _scatter(whole, dense["flow"], 0.0, 0.0, 50.0, 25.0, 0.25)
    x, y, half = -middle[1], middle[0], window / 2
    whole.plot(
        x + np.array([-half, half, half, -half, -half]),
        y + np.array([-half, -half, half, half, -half]),
        color="black",
        linewidth=1.0,
    )
    whole.set_title("the last sweeps with scene flow, m", fontsize=10, loc="left")
    for column, way in enumerate(WAYS):
        axes = figure.add_subplot(grid[1, column])
        _scatter(axes, dense[way], x, y, half, half, 1.2)
        mean = dense[way].sharpness().mean()
        axes.set_title(f"carried by {way}: {mean:.2f} m", fontsize=10, loc="left")
    return figure


def _scatter(
    axes: Any, dense: Dense, x: float, y: float, half_x: float, half_y: float, size: float
) -> None:
    right, ahead = -dense.points[:, 1], dense.points[:, 0]
    shown = (np.abs(right - x) < half_x) & (np.abs(ahead - y) < half_y)
    for mask, colour in (
        (~dense.moving, "#9aa3ad"),
        (dense.moving & ~dense.newest, "#d1495b"),
        (dense.moving & dense.newest, "#1d1d1f"),
    ):
        rows = shown & mask
        axes.scatter(right[rows], ahead[rows], s=size, c=colour, linewidths=0, rasterized=True)
    axes.set(xlim=(x - half_x, x + half_x), ylim=(y - half_y, y + half_y))
    axes.set_aspect("equal")
