"""``ssl-perception experiment flight``: a drone flies through rooms on stereo alone.

Each seed is another room and another start. The loop is the one that a robot runs: stereo depth
(with its gate), obstacle scan, ``Avoid``; crashes and clearance are from the simulator's truth.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from ssl_perception.errors import InputError
from ssl_perception.evaluation.kept_results import KeptRows, fingerprint
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.ros_processes import Nodes, environment
from ssl_perception_sim.experiments.flight_record import FlightRecord
from ssl_perception_sim.experiments.students import DRONE, stereo_pipeline
from ssl_perception_sim.world import worlds


def fly(seed: int, minutes: float) -> dict[str, Any]:
    """One flight on stereo in this process: the figures of ``FlightRecord``, ``invalid`` (the share
    of frames in which stereo was invalid) and ``real_time`` (simulated seconds per second)."""
    world = worlds.room(seed)
    pipeline, avoid = stereo_pipeline(), Avoid(seed=seed)
    flight, command = FlightRecord(seed), Command()
    invalid = frames = 0
    started = time.perf_counter()
    for _ in range(round(minutes * 60 / world.tick)):
        sensors = world.step(command)
        flight.add(world, sensors, command)
        for frame in sensors.frames:
            result = pipeline.process(frame.pair)
            invalid += not result.stereo.valid
            frames += 1
            command = avoid.command(result.scan)
    wall = time.perf_counter() - started
    return {
        **flight.figures(),
        "invalid": invalid / max(frames, 1),
        "real_time": flight.seconds / wall,
    }


def fly_through_nodes(seed: int, minutes: float) -> dict[str, Any]:
    """The same flight through ROS: ``sim_world``, ``stereo_depth``, ``obstacle_distance`` and
    ``avoid`` as processes of their own, in lockstep, as fast as the machine allows.

    Raises:
        InputError: no ROS 2 here, or a node failed.
    """
    world = {
        "world": "room",
        "seconds": minutes * 60.0,
        "rate": 0.0,
        "lockstep": True,
        "truth": False,
    }
    with tempfile.TemporaryDirectory() as folder:
        parameters, report = Path(folder) / "parameters.yaml", Path(folder) / "flight.json"
        # in lockstep real time means nothing: no scan is made up because the machine is slow
        values = {"seed": seed, "use_sim_time": True, "timeout": 3600.0, "preset": "drone"}
        text = yaml.safe_dump({"/**": {"ros__parameters": values}})
        parameters.write_text(text, encoding="utf-8")
        with Nodes(environment(domain=os.getpid() % 100 + 1), Path(folder)) as nodes:
            for name in ("stereo_depth", "obstacle_distance", "avoid"):
                nodes.start(name, files=(parameters,))
            nodes.ready(120.0)
            started = time.perf_counter()
            nodes.start("sim_world", {**world, "report": str(report)}, files=(parameters,))
            if nodes.wait("sim_world", 120.0 + minutes * 600.0) != 0:
                raise InputError(f"sim_world failed: {nodes.last('sim_world')}")
            wall = time.perf_counter() - started
        figures: dict[str, Any] = json.loads(report.read_text())
    return {**figures, "real_time": minutes * 60 / wall}


def run_flight(
    seeds: Sequence[int],
    minutes: float,
    ros: bool,
    json_file: Path | None,
    resume: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Fly through the room of each seed, print a row for each, write the figures.

    Args:
        minutes: of each flight.
        ros: through the ROS 2 nodes.
        resume: JSON-lines file that takes each flight as it comes; a killed run goes on from there.

    Raises:
        InputError: no ROS 2 here, a node failed, or a file can't be used.
    """
    settings = fingerprint("experiment flight", minutes, ros, DRONE.model_dump_json())
    kept = KeptRows(resume, settings, "experiment flight", _parse)
    with progress_bar(console) as bar:
        task = bar.add_task("rooms", total=len(seeds))
        for seed in seeds:
            if seed not in kept:
                flight = fly_through_nodes(seed, minutes) if ros else fly(seed, minutes)
                kept.add(seed, flight, flight)
            bar.advance(task)
    flights = [kept[seed] for seed in seeds]
    table = Table("seed", "minutes", "crashes", "min clearance, m", "time < 0.1 m", "distance, m",
                  "turns", "stereo invalid", "x real time", box=None, pad_edge=False)  # fmt: skip
    for flight in flights:
        invalid = f"{flight['invalid']:.2%}" if "invalid" in flight else "–"
        table.add_row(
            str(flight["seed"]), f"{flight['minutes']:g}", str(flight["crashes"]),
            f"{flight['least_clearance']:.2f}", f"{flight['near']:.1%}",
            f"{flight['distance']:.0f}", str(flight["turns"]), invalid,
            f"{flight['real_time']:.1f}",
        )  # fmt: skip
    console.print(table)
    figures = {"minutes": minutes, "ros": ros, "flights": flights}
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def _parse(row: Any) -> tuple[int, dict[str, Any]]:
    for name in ("minutes", "crashes", "least_clearance", "near", "distance", "turns", "real_time"):
        float(row[name])
    return int(row["seed"]), row
