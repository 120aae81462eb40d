"""``ssl-perception train``: networks that learn before the robot starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception.commands.options import (
    out,
)
from ssl_perception.io.output_paths import check_inputs, check_outputs

train = typer.Typer(no_args_is_help=True, help="Networks that learn before the robot starts.")


@train.command("scoop")
def train_scoop(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; resumes there.")],
    dataset: Annotated[
        str | None, typer.Option(help="As for evaluate flow; simulated streets if none.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="At most so many.")] = 6000,
    points: Annotated[int, typer.Option(min=64, help="Of each cloud in a crop.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """SCOOP's correspondence, without labels."""
    check_inputs(path)
    from ssl_perception.commands.train_scoop import run_train_scoop

    check_outputs([path], {"--out": folder})
    run_train_scoop(folder, dataset, path, steps, points, seed, device, out)


@train.command("student")
def train_student(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; resumes there.")],
    drone_rooms: Annotated[
        int, typer.Option(min=0, help="The simulator's usual rooms and drone, 12 views in each.")
    ] = 250,
    rooms: Annotated[int, typer.Option(min=0, help="Rooms, cameras and light of all kinds.")] = 400,
    streets: Annotated[int, typer.Option(min=0, help="Simulated streets.")] = 40,
    start: Annotated[Path | None, typer.Option(help="A prior to go on from.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of 24 images each.")] = 10_000,
    pinned: Annotated[
        int, typer.Option(min=0, max=4096, help="Views that stay in the replay memory.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="That render.")] = 2,
    size: Annotated[str, typer.Option(help="Of the student: nano, small or base.")] = "nano",
) -> None:
    """The depth student's prior, from simulated rooms and streets with true depth."""
    from ssl_perception.commands.train_student import run_train_student
    from ssl_perception.depth.student.architecture import SIZES
    from ssl_perception.errors import InputError

    check_inputs(start)
    places = {"drone": drone_rooms, "room": rooms, "street": streets}
    if sum(places.values()) < 2:
        raise InputError("a prior needs two places at least")
    if size not in SIZES:
        raise InputError(f"--size: {size} is none of {', '.join(SIZES)}")
    run_train_student(folder, places, start, steps, pinned, seed, processes, out, SIZES[size])
