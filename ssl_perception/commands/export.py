"""``ssl-perception export``: models for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception.commands.options import (
    out,
)
from ssl_perception.io.output_paths import check_inputs, check_outputs

export = typer.Typer(no_args_is_help=True, help="Models as files for other runtimes.")


@export.command("onnx")
def export_onnx(
    store: Annotated[Path, typer.Argument(help="Model store that a learner wrote.")],
    output: Annotated[Path, typer.Option("--out", help="ONNX file to write.")],
    int8: Annotated[
        Path | None, typer.Option(help="Quantised ONNX file to write as well, for small boards.")
    ] = None,
) -> None:
    """The newest student of a model store as an ONNX file."""
    check_inputs(store)
    from ssl_perception.commands.export_student import run_export_onnx

    check_outputs([store], {"--out": output, "--int8": int8})
    run_export_onnx(store, output, int8, out)


@export.command("scoop")
def export_scoop(
    output: Annotated[Path, typer.Option("--out", help="ONNX file to write.")],
    weights: Annotated[
        Path | None, typer.Argument(help="safetensors file; the shipped one if none.")
    ] = None,
) -> None:
    """SCOOP's feature network as an ONNX file."""
    from ssl_perception.commands.export_scoop import run_export_scoop
    from ssl_perception.runtime.shipped import shipped

    weights = weights or shipped("scoop.safetensors")
    check_outputs([weights], {"--out": output})
    run_export_scoop(weights, output, out)


@export.command("store")
def export_store(
    store: Annotated[Path, typer.Argument(help="Model store that a learner wrote.")],
    output: Annotated[Path, typer.Option("--out", help="Folder to make.")],
) -> None:
    """The newest student of a model store and its trust, without what only learning needs."""
    from ssl_perception.commands.export_store import run_export_store

    check_outputs([store], {"--out": output})
    run_export_store(store, output, out)
