"""The student, as data: what `network` trains in PyTorch and `onnx_graph` runs in ONNX Runtime.

An encoder whose stages each halve the image, and a decoder that climbs back to a quarter of it with
additive skips. Every layer is a 3x3 convolution, so a table of (name, channels, stride) says it
all. The head gives, per cell, the logarithm of depth in metres and the logarithm of the scale of
its error; the mean of the last encoder stage over the image is the feature by which the replay
memory tells places apart.

There are three sizes. Whose weights they are can be told from their shapes, so that a model store
needs no note of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import CameraModel, FloatArray

LOG_DEPTH_RANGE = (-3.0, 5.0)  # 5 cm to 148 m; the head's answer is clipped to it
LOG_SCALE_RANGE = (-4.6, 1.4)  # error of 1 % to a factor of 57; likewise

QUANTILE = "calibration.quantile"  # a weight that is calibrated, not learnt: see `weight_shapes`
FIRST_LOG_SCALE = -1.0  # of a network that has learnt nothing: off by a factor of 1.4
FIRST_QUANTILE = 3.9  # of a Laplace error 1 in 100 is larger, on one side, by ln 50 times its scale

Weights = dict[str, FloatArray]  # of the folded student: what `weight_shapes` lists


class Layer(NamedTuple):
    """A 3x3 convolution followed by ReLU (the head has none).

    Attributes:
        name: prefix of its weights, ``{name}.weight`` and ``{name}.bias``.
        inputs, outputs: channels.
        stride: 2 halves the image, rounding up.
        skip: encoder layer whose size the input is enlarged to first, and whose output is added
            after this layer's convolution; empty in the encoder.
    """

    name: str
    inputs: int
    outputs: int
    stride: int = 1
    skip: str = ""


@dataclass(frozen=True)
class Architecture:
    """One size of student.

    Attributes:
        name: ``student.size``.
        width, height: px that it sees; its answer has a quarter of each.
        channels: of each encoder stage.
    """

    name: str
    width: int
    height: int
    channels: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the answer."""
        return self.height // 4, self.width // 4

    @property
    def features(self) -> int:
        """Length of the feature."""
        return self.channels[-1]

    @property
    def bottleneck(self) -> str:
        """The encoder layer whose mean is the feature."""
        return f"encoder{len(self.channels)}b"

    @property
    def head(self) -> Layer:
        """Log depth; log of the scale of its error."""
        return Layer("head", self.channels[1], 2)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Encoder and decoder, in the order in which they run."""
        stages = list(enumerate(self.channels, start=1))
        layers, inputs = [], 3
        for stage, outputs in stages:
            layers.append(Layer(f"encoder{stage}", inputs, outputs, 2))
            if stage > 1:
                layers.append(Layer(f"encoder{stage}b", outputs, outputs))
            inputs = outputs
        for stage, outputs in reversed(stages[1:-1]):
            layers.append(Layer(f"decoder{stage}", inputs, outputs, skip=f"encoder{stage}b"))
            inputs = outputs
        return tuple(layers)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight of the folded student (BatchNorm folded into biases).

        The quantile turns the scale of the error into its bound: truth is nearer than
        exp(log depth - quantile x scale) as rarely as ``learner.miss_rate`` says.
        """
        shapes: dict[str, tuple[int, ...]] = {QUANTILE: (1,)}
        for layer in (*self.layers, self.head):
            shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, 3, 3)
            shapes[f"{layer.name}.bias"] = (layer.outputs,)
        return shapes

    def shrink(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(height, width, 3) uint8: an image of any size and either colour, as the student sees
        it."""
        size = (self.width, self.height)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        if small.ndim == 2:
            small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
        return np.asarray(small, np.uint8)

    def grid_camera(self, camera: CameraModel) -> CameraModel:
        """The camera that sees the same view on the student's grid."""
        rows, columns = self.grid
        return camera.resized(columns, rows)


NANO = Architecture("nano", 160, 120, (16, 24, 40, 64, 96))  # 0.32 M weights
SMALL = Architecture("small", 160, 120, (24, 40, 64, 96, 144))  # 0.74 M weights
BASE = Architecture("base", 320, 240, (24, 40, 64, 96, 128, 160))  # 1.3 M weights
SIZES = {size.name: size for size in (NANO, SMALL, BASE)}


def architecture_of(weights: Mapping[str, NDArray]) -> Architecture:
    """The size that these (folded) weights are of: the one whose shapes they share the most."""

    def shared(size: Architecture) -> int:
        shapes = size.weight_shapes()
        return sum(array.shape == shapes.get(name) for name, array in weights.items())

    return max(SIZES.values(), key=shared)


def with_uncertainty(weights: Weights) -> Weights:
    """Weights of before the student knew its own error, with one that excludes little.

    A store of that time keeps what it has learnt; how sure it is has to be learnt first.
    """
    kernel, bias = weights.get("head.weight"), weights.get("head.bias")
    if QUANTILE in weights or kernel is None or bias is None or kernel.shape[:1] != (1,):
        return weights
    return {
        **weights,
        "head.weight": np.concatenate([kernel, np.zeros_like(kernel)]),
        "head.bias": np.append(bias, np.float32(FIRST_LOG_SCALE)),
        QUANTILE: np.array([FIRST_QUANTILE], np.float32),
    }
