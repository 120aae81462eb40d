"""Options that several commands share, and where they print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception import config as configuration
from ssl_perception.commands.seeds import SEEDS_HELP
from ssl_perception.runtime.console import Terminal

out = Terminal()
err = Terminal(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML settings, or a preset's name; see docs/settings.md."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting on top, e.g. flow.method=nsfp."),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write every figure printed to this file.")
]
Resume = Annotated[
    Path | None, typer.Option(help="Keeps each result; a killed run goes on from it.")
]
Seeds = Annotated[str, typer.Option(help=SEEDS_HELP)]


def load_config(path: Path | None, settings: list[str] | None) -> configuration.Config:
    if path is None:
        config = configuration.Config()
    elif str(path) in configuration.presets() and not path.exists():
        config = configuration.preset(str(path))
    else:
        config = configuration.load(path)
    return configuration.override(config, settings) if settings else config


def input_files(config_file: Path | None, config: configuration.Config) -> list[Path | None]:
    """The settings' file and the files that settings name: inputs, like what a command reads."""
    weights = config.flow.scoop.weights
    return [config_file, Path(weights) if weights else None]
