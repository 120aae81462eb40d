"""Fly a drone through rooms on stereo alone and count what it touches.

    python -m ssl_perception_sim.fly --minutes 10 --seeds 0..4

Each seed is another room and another start. The loop is the one that a robot runs: stereo depth
(with its gate), obstacle scan, ``Avoid``; the simulator alone knows the true clearance.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ssl_perception.config import Scan, Stereo
from ssl_perception.depth.stereo import StereoMatcher
from ssl_perception.errors import InputError
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception_sim import worlds

# A small camera in a small room: 48 disparities see from 0.26 m on, and the height band is the
# drone's own.
STEREO = Stereo(disparities=48, max_depth=20.0)
SCAN = Scan(range_min=0.2, range_max=8.0, below=0.35, above=0.3, near=2.0)


@dataclass(frozen=True)
class Flight:
    """What one flight came to.

    Attributes:
        seed: of room and start. minutes: flown.
        crashes: times that it touched something (a touch lasting several frames counts once).
        near: share of the time with less than 0.1 m between the drone and something.
        least_clearance: m. distance: m flown. turns: obstacles avoided.
        invalid: share of the frames that stereo refused.
        real_time: simulated seconds a wall second.
    """

    seed: int
    minutes: float
    crashes: int
    near: float
    least_clearance: float
    distance: float
    turns: int
    invalid: float
    real_time: float


def fly(seed: int, minutes: float, progress: bool = False) -> Flight:
    """One flight on stereo."""
    world = worlds.room(seed)
    matcher, avoid = StereoMatcher(STEREO), Avoid(seed=seed)
    command = Command()
    clearances, invalid, crashes, touching = [], 0, 0, False
    distance, last = 0.0, None
    started = time.perf_counter()
    steps = range(round(minutes * 60 / world.tick))
    for _ in track(steps, f"room {seed}", transient=True) if progress else steps:
        sensors = world.step(command)
        clearances.append(sensors.clearance)
        crashes += sensors.clearance < 0 and not touching
        touching = sensors.clearance < 0
        for frame in sensors.frames:
            depth = matcher.depth(frame.pair)
            invalid += not depth.valid
            command = avoid.command(obstacle_scan(depth, SCAN))
        _, (place,) = world.vehicle.motion.pose(np.array([world.time]))
        distance += 0.0 if last is None else float(np.linalg.norm(place - last))
        last = place
    clearance = np.array(clearances)
    return Flight(
        seed=seed,
        minutes=minutes,
        crashes=crashes,
        near=float((clearance < 0.1).mean()),
        least_clearance=float(clearance.min()),
        distance=distance,
        turns=avoid.turns,
        invalid=invalid / len(clearance),
        real_time=minutes * 60 / (time.perf_counter() - started),
    )


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
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Fly on stereo and print what happened."""
    console = Console()
    table = Table("seed", "minutes", "crashes", "least clearance m", "< 0.1 m", "metres", "turns",
                  "stereo refused", "x real time")  # fmt: skip
    flights = []
    for seed in seeds_from(seeds):
        flight = fly(seed, minutes, progress=console.is_terminal)
        flights.append(flight)
        table.add_row(
            str(seed), f"{minutes:g}", str(flight.crashes), f"{flight.least_clearance:.2f}",
            f"{flight.near:.1%}", f"{flight.distance:.0f}", str(flight.turns),
            f"{flight.invalid:.1%}", f"{flight.real_time:.1f}",
        )  # fmt: skip
    console.print(table)
    if json_file:
        json_file.write_text(json.dumps([asdict(f) for f in flights], indent=2) + "\n")
    if any(flight.crashes for flight in flights):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
