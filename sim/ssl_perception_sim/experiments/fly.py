"""Fly a drone through rooms on stereo alone and count what it touches.

    python -m ssl_perception_sim.fly --minutes 10 --seeds 0..4          in this process
    python -m ssl_perception_sim.fly --minutes 10 --seeds 0..4 --ros    through the nodes

Each seed is another room and another start. The loop is the one that a robot runs: stereo depth
(with its gate), obstacle scan, ``Avoid``; the simulator alone knows the true clearance.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from ssl_perception.errors import InputError
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.runtime.ros_processes import Nodes, environment
from ssl_perception_sim.experiments.flight import Flight
from ssl_perception_sim.experiments.students import stereo_pipeline
from ssl_perception_sim.world import worlds


def fly(seed: int, minutes: float) -> dict[str, Any]:
    """One flight on stereo in this process; figures as ``Flight`` has them, and
    ``invalid``, the share of the frames that stereo refused."""
    world = worlds.room(seed)
    pipeline, avoid = stereo_pipeline(), Avoid(seed=seed)
    flight, command = Flight(seed), Command()
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


def seeds_from(text: str) -> list[int]:
    """``0..4`` or ``3`` or ``1,5,9``."""
    try:
        if ".." in text:
            first, last = (int(part) for part in text.split(".."))
            return list(range(first, last + 1))
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text}: write 0..4 or 1,5,9") from None


def main(
    minutes: Annotated[float, typer.Option(min=0.1, max=600.0, help="Length of a flight.")] = 10.0,
    seeds: Annotated[str, typer.Option(help="Rooms, as 0..4 or 1,5,9.")] = "0..4",
    ros: Annotated[bool, typer.Option("--ros", help="Through the ROS 2 nodes.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Fly on stereo and print what happened."""
    console = Console()
    table = Table("seed", "minutes", "crashes", "least clearance m", "< 0.1 m", "metres", "turns",
                  "stereo refused", "x real time")  # fmt: skip
    flights = []
    try:
        for seed in seeds_from(seeds):
            with console.status(f"room {seed} ..."):
                flight = fly_through_nodes(seed, minutes) if ros else fly(seed, minutes)
            flights.append(flight)
            refused = f"{flight['invalid']:.2%}" if "invalid" in flight else "–"
            table.add_row(
                str(seed), f"{flight['minutes']:g}", str(flight["crashes"]),
                f"{flight['least_clearance']:.2f}", f"{flight['near']:.1%}",
                f"{flight['distance']:.0f}", str(flight["turns"]), refused,
                f"{flight['real_time']:.1f}",
            )  # fmt: skip
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    console.print(table)
    if json_file:
        json_file.write_text(json.dumps(flights, indent=2) + "\n")
    if any(flight["crashes"] for flight in flights):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
