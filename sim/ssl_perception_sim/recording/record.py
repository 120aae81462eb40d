"""``ssl-perception simulate``: a world's sensors and its truth, as a bag.

The topics are those of ``topics``. A message's bag time is when it arrives: a sweep at the end of
its turn, late ones late.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ssl_perception.config import preset
from ssl_perception.io.output import OutputBag
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.pipeline import DepthPipeline
from ssl_perception_sim.recording.topics import (
    EPOCH_NS,
    stamp_ns,
    write_mounts,
    write_reading,
)
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.sensors.lidar import Sweep
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.vehicles import Drone
from ssl_perception_sim.world.world import Sensors, World


class SensorBag(OutputBag):
    """A bag whose messages bear the time at which they arrive, not that of their stamp.

    Attributes:
        arrival_ns: bag time of what is written next.
    """

    arrival_ns = EPOCH_NS

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        """Append a message at ``arrival_ns``."""
        super().write_raw(topic, self.arrival_ns, kind, raw)


def record(
    world: World, output: Path, seconds: float, console: Console | None = None
) -> dict[str, Any]:
    """Run a world and write all that its sensors give.

    Returns:
        Figures: sweeps, pairs, points, wall seconds.

    Raises:
        InputError: the file can't be written.
    """
    figures = {"sweeps": 0, "pairs": 0, "points": 0, "moving_points": 0}
    started = time.perf_counter()
    with SensorBag(output) as bag, Progress(console=console, transient=True) as progress:
        task = progress.add_task("simulating", total=seconds)
        assert isinstance(bag, SensorBag)
        write_mounts(bag, world)
        for sensors in _flown(world, seconds):
            for reading in sensors.readings:
                bag.arrival_ns = stamp_ns(reading.arrival)
                write_reading(bag, world, reading)
                if isinstance(reading.value, Sweep):
                    figures["sweeps"] += 1
                    figures["points"] += len(reading.value.cloud)
                    figures["moving_points"] += int(reading.value.moving.sum())
                elif isinstance(reading.value, Frame):
                    figures["pairs"] += 1
            progress.update(task, completed=sensors.time)
    return {**figures, "seconds": seconds, "wall_seconds": time.perf_counter() - started}


def _flown(world: World, seconds: float) -> Iterator[Sensors]:
    """A vehicle that takes commands avoids obstacles on stereo; any other keeps to its path."""
    if not isinstance(world.vehicle, Drone):
        yield from world.run(seconds)
        return
    pipeline, avoid, command = DepthPipeline(preset("drone")), Avoid(seed=world.seed), Command()
    for _ in range(round(seconds / world.tick)):
        sensors = world.step(command)
        for frame in sensors.frames:
            command = avoid.command(pipeline.process(frame.pair).scan)
        yield sensors


def run_simulate(
    kind: str, output: Path, seconds: float, seed: int, json_file: Path | None, console: Console
) -> None:
    """The ``simulate`` command.

    Raises:
        InputError: unknown kind of world, or a file that can't be written.
    """
    world = worlds.make(kind, seed, seconds)
    figures = {"kind": kind, "seed": world.seed, **record(world, output, seconds, console)}
    megabytes = output.stat().st_size / 1e6
    console.print(
        f"{output}: {kind}, seed {world.seed}, {seconds:g} s: {figures['sweeps']} sweeps, "
        f"{figures['pairs']} stereo pairs, {megabytes:.0f} MB in {figures['wall_seconds']:.1f} s"
    )
    if json_file:
        write_json(json_file, {**figures, "megabytes": megabytes})
