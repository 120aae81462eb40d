"""``ssl-perception simulate``: a sensor log with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception.commands.options import (
    JsonFile,
    out,
)
from ssl_perception.io.output_paths import check_outputs


def simulate(
    kind: Annotated[str, typer.Argument(help="room, street, or a world file (.yaml).")],
    output: Annotated[Path, typer.Option("--out", help="Bag to write.")],
    seconds: Annotated[float, typer.Option(min=0.2, max=3600.0, help="Length of the log.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Write a simulated sensor log with exact ground truth."""
    from ssl_perception_sim.recording.record import run_simulate

    world = Path(kind) if kind.endswith((".yaml", ".yml")) else None
    check_outputs([world], {"--out": output, "--json": json_file})
    run_simulate(kind, output, seconds, seed, json_file, out)
