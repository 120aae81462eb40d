"""``ssl-perception demo``: a street against its truth, and a drone that loses stereo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ssl_perception.commands.demo_drone import DroneHalf, run_drone
from ssl_perception.commands.replay import run_replay
from ssl_perception.config import Config, preset
from ssl_perception.datasets.samples import DYNAMIC_SPEED
from ssl_perception.errors import InputError
from ssl_perception.evaluation.provenance import provenance
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.evaluation.run_report import PICTURES, RunReport
from ssl_perception.io.open_log import open_log
from ssl_perception.io.point_cloud2 import FlowCloud
from ssl_perception.io.results import read_depth, read_flow, read_scans
from ssl_perception.io.write import make_folder, write_json, write_output
from ssl_perception.runtime.console import print_table
from ssl_perception.types import (
    Cue,
    DepthMap,
    FloatArray,
    StereoPair,
)

FOOTPRINT = {"front", "rear", "width", "below", "above"}  # the robot's box in section collision
DRONE_PICTURE = "drone"


@dataclass
class Score:
    """Errors against the truth, gathered input by input.

    Velocity errors are lengths of differences, m/s; depth errors are relative. Each list holds one
    mean per input, so that a long sweep weighs no more than a short one. The rows beside ours say
    what the same input would have scored with zero flow and with the frame's median depth.
    """

    moving: list[float] = field(default_factory=list)
    moving_if_still: list[float] = field(default_factory=list)
    static: list[float] = field(default_factory=list)
    known: list[float] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    depth_if_median: list[float] = field(default_factory=list)

    def sweep(self, flow: FlowCloud, truth: FloatArray) -> None:
        """Add a sweep; ``truth`` is (N, 3) m/s."""
        known = flow.confidence > 0
        if not known.any():
            return
        self.known.append(float(known.mean()))
        speed = np.linalg.norm(truth, axis=1)
        error = np.linalg.norm(flow.velocity - truth, axis=1)
        dynamic = known & (speed > DYNAMIC_SPEED)
        if dynamic.any():
            self.moving.append(float(error[dynamic].mean()))
            self.moving_if_still.append(float(speed[dynamic].mean()))
        self.static.append(float(error[known & ~dynamic].mean()))

    def pair(self, depth: FloatArray, truth: FloatArray) -> None:
        """Add a depth image; both (H, W) m, NaN unknown."""
        both = np.isfinite(depth) & np.isfinite(truth)
        if both.any():
            real = truth[both]
            self.depth.append(float(np.median(np.abs(depth[both] - real) / real)))
            self.depth_if_median.append(float(np.median(np.abs(np.median(real) - real) / real)))

    def figures(self) -> dict[str, float | None]:
        """Means over all inputs; None where nothing could be compared."""

        def mean(values: list[float]) -> float | None:
            return float(np.mean(values)) if values else None

        return {
            "velocity_error_moving": mean(self.moving),
            "velocity_error_moving_zero_flow": mean(self.moving_if_still),
            "velocity_error_static": mean(self.static),
            "known_fraction": mean(self.known),
            "depth_error_relative": mean(self.depth),
            "depth_error_relative_constant_median": mean(self.depth_if_median),
        }


def files_written(folder: Path) -> dict[str, Path]:
    """What ``run_demo`` writes into its folder, by what it is."""
    files = {"the log": "log.mcap", "the results": "output.mcap", "the report": "report.html"}
    files |= {f"the picture {name}": f"{name}.png" for name in (*PICTURES, DRONE_PICTURE)}
    return {what: folder / name for what, name in files.items()}


def run_demo(
    folder: Path,
    seconds: float,
    seed: int,
    config: Config,
    ros: bool,
    json_file: Path | None,
    console: Console,
    drone_seconds: float = 90.0,
) -> None:
    """Make the log, run the pipeline (or the nodes) over it, score it; fly the drone; draw.

    Args:
        config: for the street; the drone has its own preset.
        drone_seconds: half with stereo, half without; 0: the street alone.

    Raises:
        InputError: the folder can't be written, or a part that the demo needs is missing.
    """
    try:
        from ssl_perception_sim.recording.record import run_simulate
    except ImportError as error:
        raise InputError(
            f"demo needs the simulator ({error.name} is missing): pip install 'ssl-perception[sim]'"
        ) from None
    try:
        make_folder(folder)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    if not config.collision.has_footprint:
        sizes = preset("street").collision.model_dump(include=FOOTPRINT)
        car = config.collision.model_copy(update=sizes)
        config = config.model_copy(update={"collision": car})
    log, output, report, *_ = files_written(folder).values()
    console.print(f"[bold]1[/] simulate {seconds:g} s of a street, seed {seed}", markup=True)
    run_simulate("street", log, seconds, seed, None, console)
    times = RunReport()
    if ros:
        from ssl_perception.runtime.ros_processes import through_nodes

        console.print("[bold]2[/] play it through the ROS 2 nodes", markup=True)
        through_nodes(log, output, config, console)
    else:
        console.print("[bold]2[/] run the pipeline over it", markup=True)
        times = run_replay(log, output, config, None, None, False, None, console).report
    console.print("[bold]3[/] compare with the truth", markup=True)
    score, collected = Score(), times.only_times()
    compare(log, output, score, collected)
    figures: dict[str, Any] = score.figures()
    drone: DroneHalf | None = None
    if drone_seconds:
        half = drone_seconds / 2
        console.print(
            f"[bold]4[/] fly a drone: {half:g} s with stereo, {half:g} s without", markup=True
        )
        drone = run_drone(drone_seconds, console)

    lead = f"A simulated street, seed {seed}, {seconds:g} s: {len(score.static)} sweeps and "
    lead += f"{len(score.depth)} stereo pairs compared with the truth."
    lead += "" if drone is None else " Below: a drone that loses stereo in flight."
    street_rows = _rows(figures)
    sections = [Section("Against the truth", _LEGEND, _HEADER, street_rows), *collected.sections()]
    sections += [] if drone is None else drone.sections
    sections.append(provenance(config))
    write_html(report, "ssl_perception demo", lead, sections)
    drawn = collected.write_pictures(folder, [] if drone is None else [drone.overview])
    if drone is not None:
        drawn.append(folder / f"{DRONE_PICTURE}.png")
        write_output(drawn[-1], drone.picture)
    if json_file is not None:
        latency = collected.latency()
        flown = {} if drone is None else {"drone": drone.figures}
        every = {"seed": seed, "seconds": seconds, "latency_ms": latency, **figures, **flown}
        write_json(json_file, every)

    print_table(_HEADER, street_rows, console)
    console.print(_LEGEND, style="dim")
    if drone is not None:
        console.print()
        print_table(drone.header, drone.rows, console)
    for name, path in (("log", log), ("results", output), ("report", report)):
        console.print(f"{name:10s}{path}", soft_wrap=True)
    console.print(f"{'pictures':10s}{', '.join(str(path) for path in drawn)}", soft_wrap=True)


def compare(log: Path, output: Path, score: Score, report: RunReport) -> None:
    """Judge a bag of results by the truth in the simulated log that it was made from.

    Raises:
        InputError: a bag can't be read, or lacks a topic.
    """
    truths = read_flow(log, "/truth/scene_flow")
    lidar_scans = read_scans(output, "/lidar/obstacle_distance")
    for _, flow, truth, scan in same_stamp(read_flow(output), truths, lidar_scans):
        score.sweep(flow, truth.velocity)
        report.sweep(flow, truth.velocity, scan)
    pairs = ((r.stamp_ns, r.value) for r in open_log(log) if isinstance(r.value, StereoPair))
    depths, true_depths = read_depth(output, "/stereo/depth"), read_depth(log, "/truth/depth")
    for _, pair, depth, scan, true in same_stamp(pairs, depths, read_scans(output), true_depths):
        score.pair(depth, true)
        valid = bool(np.isfinite(depth).any())
        depth_map = DepthMap(depth, pair.camera, pair.stamp, Cue.STEREO, valid)
        report.pair(pair.left, depth_map, scan, true)


def same_stamp(*streams: Iterator[tuple[int, Any]]) -> Iterator[tuple[Any, ...]]:
    """``(stamp, value, value, ...)`` for the stamps that all streams have; each is in order."""
    heads = [next(stream, None) for stream in streams]
    while True:
        present = [head for head in heads if head is not None]
        if len(present) < len(heads):
            return
        newest = max(stamp for stamp, _ in present)
        behind = [k for k, (stamp, _) in enumerate(present) if stamp < newest]
        if not behind:
            yield newest, *(value for _, value in present)
            behind = list(range(len(heads)))
        for k in behind:
            heads[k] = next(streams[k], None)


_LEGEND = (
    "Velocity errors are mean lengths of differences over points with a known velocity, dynamic: "
    f"truly faster than {DYNAMIC_SPEED:g} m/s over ground; depth errors are medians of "
    "|depth - truth| / truth. The baseline is what the same input scores with zero flow, or with "
    "the frame's median depth everywhere."
)
_HEADER = ("", "error", "baseline")


def _rows(figures: dict[str, float | None]) -> list[tuple[str, str, str]]:
    def text(key: str, form: str) -> str:
        value = figures[key]
        return "none seen" if value is None else form.format(value)

    return [
        (
            "velocity error, dynamic points, m/s",
            text("velocity_error_moving", "{:.2f}"),
            text("velocity_error_moving_zero_flow", "{:.2f}"),
        ),
        ("velocity error, static points, m/s", text("velocity_error_static", "{:.3f}"), "0.000"),
        ("points with a known velocity", text("known_fraction", "{:.0%}"), ""),
        (
            "depth error, relative",
            text("depth_error_relative", "{:.1%}"),
            text("depth_error_relative_constant_median", "{:.1%}"),
        ),
    ]
