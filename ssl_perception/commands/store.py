"""``ssl-perception store``: is a model store whole, and how it becomes so again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ssl_perception.commands.options import JsonFile, out
from ssl_perception.io.output_paths import check_inputs, check_outputs

store = typer.Typer(no_args_is_help=True, help="What a model store holds, and its repair.")
Folder = Annotated[Path, typer.Argument(help="Model store that a learner wrote.")]


@store.command("check")
def check(folder: Folder, json_file: JsonFile = None) -> None:
    """Read all of it and say what is wrong; nothing is changed. Exit code 1: something is."""
    check_inputs(folder)
    check_outputs([folder], {"--json": json_file})
    if not run_check(folder, json_file, out):
        raise typer.Exit(1)


@store.command("repair")
def repair(folder: Folder) -> None:
    """Remove damaged generations and what nothing names; whatever else lies there stays."""
    check_inputs(folder)
    run_repair(folder, out)


def run_check(folder: Path, json_file: Path | None, console: Console) -> bool:
    """The command; returns whether all is well.

    Raises:
        InputError: not a model store.
    """
    from dataclasses import asdict

    from ssl_perception.io.model_store import ModelStore
    from ssl_perception.io.write import write_json

    health = ModelStore(folder).check()
    _print(health.usable, "undamaged generations", console)
    for line in health.damaged:
        console.print(line, markup=False, soft_wrap=True)
    if health.lost:
        console.print(f"{health.lost} parts of the replay memory are lost; the others are used")
    if health.unnamed:
        console.print(f"{health.unnamed} blobs that nothing names")
    for name in health.foreign:
        console.print(f"not of a store: {name}", markup=False, soft_wrap=True)
    if json_file is not None:
        write_json(json_file, asdict(health))
    return bool(health.usable) and not (health.damaged or health.lost)


def run_repair(folder: Path, console: Console) -> None:
    """The command.

    Raises:
        InputError: not a model store, a learner writes there, or nothing undamaged is left.
    """
    from ssl_perception.io.model_store import ModelStore

    ModelStore(folder).check()  # refuses what isn't a store before anything is made there
    with ModelStore(folder) as opened:
        found = opened.repair()
        left = opened.check()
    console.print(f"removed {len(found.damaged)} damaged generations, {found.unnamed} blobs")
    _print(left.usable, "undamaged generations", console)


def _print(numbers: tuple[int, ...], what: str, console: Console) -> None:
    console.print(f"{what}: {', '.join(map(str, numbers)) or 'none'}", markup=False)
