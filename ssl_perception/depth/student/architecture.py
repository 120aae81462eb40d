"""The student, as data: what `network` trains in PyTorch and `onnx_graph` runs in ONNX Runtime.

An encoder of five stages, each halving the image, and a decoder that climbs back to a quarter of
it with additive skips. Every layer is a 3x3 convolution, so a table of (name, channels, stride)
says it all; 0.32 M weights. The head gives, per cell, the logarithm of depth in metres and the
logarithm of the scale of its error; the mean of the last encoder stage over the image is the
feature by which the replay memory tells places apart.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import CameraModel, FloatArray

WIDTH, HEIGHT = 160, 120  # px the student sees
GRID_WIDTH, GRID_HEIGHT = 40, 30  # px it answers
FEATURES = 96
LOG_DEPTH_RANGE = (-3.0, 5.0)  # 5 cm to 148 m; the head's answer is clipped to it
LOG_SCALE_RANGE = (-4.6, 1.4)  # error of 1 % to a factor of 57; likewise


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


LAYERS = (
    Layer("encoder1", 3, 16, 2),
    Layer("encoder2", 16, 24, 2),
    Layer("encoder2b", 24, 24),
    Layer("encoder3", 24, 40, 2),
    Layer("encoder3b", 40, 40),
    Layer("encoder4", 40, 64, 2),
    Layer("encoder4b", 64, 64),
    Layer("encoder5", 64, FEATURES, 2),
    Layer("encoder5b", FEATURES, FEATURES),
    Layer("decoder4", FEATURES, 64, skip="encoder4b"),
    Layer("decoder3", 64, 40, skip="encoder3b"),
    Layer("decoder2", 40, 24, skip="encoder2b"),
)
HEAD = Layer("head", 24, 2)  # log depth; log of the scale of its error
BOTTLENECK = "encoder5b"

QUANTILE = "calibration.quantile"  # a weight that is calibrated, not learnt: see `weight_shapes`
FIRST_LOG_SCALE = -1.0  # of a network that has learnt nothing: off by a factor of 1.4
FIRST_QUANTILE = 3.9  # of a Laplace error 1 in 100 is larger, on one side, by ln 50 times its scale

Weights = dict[str, FloatArray]  # of the folded student: what `weight_shapes` lists


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of the folded student (BatchNorm folded into biases).

    The quantile turns the scale of the error into its bound: truth is nearer than
    exp(log depth - quantile x scale) as rarely as ``learner.miss_rate`` says.
    """
    shapes: dict[str, tuple[int, ...]] = {QUANTILE: (1,)}
    for layer in (*LAYERS, HEAD):
        shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, 3, 3)
        shapes[f"{layer.name}.bias"] = (layer.outputs,)
    return shapes


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


def shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(120, 160, 3) uint8: an image of any size and either colour, as the student sees it."""
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    if small.ndim == 2:
        small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR)
    return np.asarray(small, np.uint8)


def grid_camera(camera: CameraModel) -> CameraModel:
    """The camera that sees the same view on the student's 40x30 grid."""
    across, down = GRID_WIDTH / camera.width, GRID_HEIGHT / camera.height
    return CameraModel(
        GRID_WIDTH,
        GRID_HEIGHT,
        camera.fx * across,
        camera.fy * down,
        (camera.cx + 0.5) * across - 0.5,
        (camera.cy + 0.5) * down - 0.5,
        camera.frame,
    )
