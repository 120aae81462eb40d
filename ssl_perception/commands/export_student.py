"""``ssl-perception export onnx``: a student out of a model store, as a file for other runtimes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from safetensors.numpy import load as parse

from ssl_perception.depth.student.architecture import Architecture, architecture_of
from ssl_perception.depth.student.onnx_graph import build, quantise
from ssl_perception.depth.student.stored import STUDENT_FILE, load_weights
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.write import write_output

_CALIBRATION_FRAMES = 64


def export_onnx(store: Path, output: Path, int8: Path | None = None) -> tuple[int, Architecture]:
    """Write the newest undamaged student; returns its generation and its size.

    Args:
        store: folder of the model store.
        output: float32 ONNX file to write.
        int8: int8 ONNX file to write too, its scales set on the store's own replay memory.

    Raises:
        InputError: no store, nothing undamaged in it, or no frames to set int8 scales on.
    """
    generation = ModelStore(store).load(None if int8 else [STUDENT_FILE], extras=int8 is not None)
    if generation is None:
        raise InputError(f"{store}: no model store with an undamaged generation")
    weights = load_weights(generation)
    model = build(weights)
    images: list[NDArray[np.uint8]] = []
    if int8 is not None:
        for content in generation.extras.values():
            images += list(parse(content)["image"])
        if not images:
            raise InputError(f"{store}: no frames in memory to set the int8 scales on")
    write_output(output, model)
    if int8 is not None:
        chosen = np.random.default_rng(0).permutation(len(images))[:_CALIBRATION_FRAMES]
        quantise(output, int8, [images[k] for k in chosen])
    return generation.number, architecture_of(weights)


def run_export_onnx(store: Path, output: Path, int8: Path | None, out: Console) -> None:
    """The command."""
    number, size = export_onnx(store, output, int8)
    for path in (output, int8):
        if path is not None:
            out.print(f"generation {number}: {path} ({path.stat().st_size / 1e6:.2f} MB)")
    rows, columns = size.grid
    out.print(f"input: image (1, {size.height}, {size.width}, 3) uint8 BGR; output: log_depth")
    out.print(f"(1, {rows}, {columns}), ln metres, error_bound of the same shape, of log depth,")
    out.print(f"one-sided, and feature (1, {size.features})")
