"""How fast the simulator is on this machine.

taskset -c 1 python -m ssl_perception_sim.speed
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.actors import car
from ssl_perception_sim.world.motion import Arc
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.scene import Actor, Body, Scene


def median_seconds(act: Callable[[int], object], times: int = 15) -> float:
    """Of ``times`` runs after two to warm up; ``act`` gets the number of the run."""
    spent = []
    for k in range(times + 2):
        start = time.perf_counter()
        act(k)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent[2:]))


def twenty_movers(seed: int = 0) -> tuple[Scene, streets.Street]:
    """A street with exactly twenty cars around the sensor, all moving and some turning."""
    place = streets.build(seed, 0.3)
    rng = stream(seed, "twenty")
    actors = []
    for k in range(20):
        start = np.array([*rng.uniform(-40, 40, 2) * (1, 0.2), 0.0])
        motion = Arc(start, rng.uniform(-3, 3), rng.uniform(3, 15), rng.uniform(-0.4, 0.4))
        actors.append(Actor(motion, [Body(car(rng, 50_000 + k), motion)], "car"))
    return Scene(place.static, actors), place


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Print the table."""
    room = worlds.room(0)
    street = worlds.street(0, 3.0)
    scene, place = twenty_movers()
    lidar = Lidar(pattern="beams64", columns=1024)
    assert room.camera is not None
    assert street.camera is not None
    rows = {
        "stereo pair 320x240, room": median_seconds(
            lambda k: room.camera.capture(room.vehicle.motion, 0.0, k)  # type: ignore[union-attr]
        ),
        "stereo pair 320x240, street with shadows": median_seconds(
            lambda k: street.camera.capture(street.vehicle.motion, 0.1 * k, k),  # type: ignore[union-attr]
        ),
        "lidar 64x1024, 20 moving cars": median_seconds(
            lambda k: lidars.sweep(lidar, scene, place.ego, 0.01 * k, 0, k)
        ),
        "lidar 64x1024, street with walkers and cyclists": median_seconds(
            lambda k: lidars.sweep(lidar, street.scene, street.vehicle.motion, 0.1 * k, 0, k)
        ),
        "a new street and a pair of sweeps (two heads, 1800 columns)": median_seconds(
            lambda k: next(street_pairs([k])), times=4
        ),
    }
    table = Table("what", "ms", "a second")
    for what, seconds in rows.items():
        table.add_row(what, f"{1e3 * seconds:.0f}", f"{1 / seconds:.1f}")
    triangles = [len(s.material) for s in (room.scene, street.scene, scene)]
    Console(width=110).print(table, f"triangles: {triangles}, actors: {len(street.scene.actors)}")
    if json_file:
        json_file.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
