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
