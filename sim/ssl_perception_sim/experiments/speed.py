"""``ssl-perception bench simulator``: how fast the simulator is on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.installation import examine
from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.sensors import lidar as lidars
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world import street as streets
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.actors import car
from ssl_perception_sim.world.motion import Arc
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.scene import Actor, Body, Scene

REPEATS = 15


def median_seconds(act: Callable[[int], object], times: int) -> float:
    """Of ``times`` runs after two to warm up; ``act`` gets the number of the run."""
    spent = []
    for k in range(times + 2):
        start = time.perf_counter()
        act(k)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent[2:]))


def street_with_twenty_cars(seed: int = 0) -> tuple[Scene, streets.Street]:
    """A street with exactly twenty cars around the sensor, all moving and some turning."""
    place = streets.build(seed, 0.3)
    rng = stream(seed, "twenty")
    actors = []
    for k in range(20):
        start = np.array([*rng.uniform(-40, 40, 2) * (1, 0.2), 0.0])
        motion = Arc(start, rng.uniform(-3, 3), rng.uniform(3, 15), rng.uniform(-0.4, 0.4))
        actors.append(Actor(motion, [Body(car(rng, 50_000 + k), motion)], "car"))
    return Scene(place.static, actors), place


def run_bench_simulator(json_file: Path | None, console: Console) -> dict[str, Any]:
    """Time sensors and worlds, print the table, write the figures.

    Raises:
        InputError: the file can't be written.
    """
    room = worlds.room(0)
    street = worlds.street(0, 3.0)
    scene, place = street_with_twenty_cars()
    lidar = Lidar(pattern="beams64", columns=1024)
    assert room.camera is not None
    assert street.camera is not None
    work: dict[str, tuple[Callable[[int], object], int]] = {
        "stereo pair 320x240, room": (
            lambda k: room.camera.capture(room.vehicle.motion, 0.0, k),  # type: ignore[union-attr]
            REPEATS,
        ),
        "stereo pair 320x240, street with shadows": (
            lambda k: street.camera.capture(street.vehicle.motion, 0.1 * k, k),  # type: ignore[union-attr]
            REPEATS,
        ),
        "lidar 64x1024, 20 moving cars": (
            lambda k: lidars.sweep(lidar, scene, place.ego, 0.01 * k, 0, k),
            REPEATS,
        ),
        "lidar 64x1024, street with pedestrians and cyclists": (
            lambda k: lidars.sweep(lidar, street.scene, street.vehicle.motion, 0.1 * k, 0, k),
            REPEATS,
        ),
        "a new street and a pair of sweeps (two heads, 1800 columns)": (
            lambda k: next(street_pairs([k])),
            4,
        ),
    }
    seconds = {}
    with progress_bar(console) as bar:
        task = bar.add_task("simulator", total=len(work))
        for what, (act, times) in work.items():
            seconds[what] = median_seconds(act, times)
            bar.advance(task)
    table = Table("what", "ms", "per second")
    for what, spent in seconds.items():
        table.add_row(what, f"{1e3 * spent:.0f}", f"{1 / spent:.1f}")
    triangles = [len(s.material) for s in (room.scene, street.scene, scene)]
    console.print(table)
    console.print(
        f"Triangles: room {triangles[0]}, street {triangles[1]}, twenty cars {triangles[2]}; "
        f"actors in the street: {len(street.scene.actors)}"
    )
    figures = {
        "seconds": seconds,
        "triangles": triangles,
        "actors": len(street.scene.actors),
        "machine": examine()["machine"],
    }
    if json_file is not None:
        write_json(json_file, figures)
    return figures
