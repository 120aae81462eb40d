"""The student, as data: what `network` trains in PyTorch and `onnx_graph` runs in ONNX Runtime.

An encoder of five stages, each halving the image, and a decoder that climbs back to a quarter of
it with additive skips. Every layer is a 3x3 convolution, so a table of (name, channels, stride)
says it all; 0.32 M weights. The head gives the logarithm of depth in metres; the mean of the last
encoder stage over the image is the feature by which the replay memory tells places apart.
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
HEAD = Layer("head", 24, 1)
BOTTLENECK = "encoder5b"

Weights = dict[str, FloatArray]  # of the folded student: what `weight_shapes` lists


def weight_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of the folded student (BatchNorm folded into biases)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in (*LAYERS, HEAD):
        shapes[f"{layer.name}.weight"] = (layer.outputs, layer.inputs, 3, 3)
        shapes[f"{layer.name}.bias"] = (layer.outputs,)
    return shapes


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
