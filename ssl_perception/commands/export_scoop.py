"""``ssl-perception export scoop``: the feature network as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ssl_perception.flow.scoop.correspondence import CorrespondenceModel
from ssl_perception.flow.scoop.onnx_graph import build
from ssl_perception.flow.scoop.weights import load_into
from ssl_perception.io.write import write_output
from ssl_perception.runtime.shipped import shipped


def run_export_scoop(weights: Path | None, output: Path, out: Console) -> None:
    """The command.

    Raises:
        InputError: weights that can't be used, or a file that can't be written.
    """
    model = CorrespondenceModel()
    load_into(model, weights or shipped("scoop.safetensors"))
    graph = build(model.features)
    write_output(output, graph)
    out.print(f"{output} ({len(graph) / 1e6:.2f} MB)")
    out.print("input: points (N, 3) float32 m, edges (N, 32) int64; output: features (N, 128)")
