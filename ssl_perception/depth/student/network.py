"""The student as PyTorch trains it, with BatchNorm; `fold` takes BatchNorm out for inference."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_perception.depth.student.architecture import (
    FIRST_LOG_SCALE,
    FIRST_QUANTILE,
    LOG_DEPTH_RANGE,
    LOG_SCALE_RANGE,
    NANO,
    QUANTILE,
    Architecture,
    Weights,
)

NORM_EPSILON = 1e-5


class Output(NamedTuple):
    """Of a batch.

    Attributes:
        log_depth: (B, rows, columns) natural logarithm of depth in metres.
        log_scale: of the same shape, natural logarithm of the scale b of its error: a Laplace
            distribution, the mean absolute error in log depth that the network expects.
        feature: (B, features).
    """

    log_depth: Tensor
    log_scale: Tensor
    feature: Tensor


class StudentNetwork(nn.Module):
    """Image to log depth and its uncertainty. See `architecture` for the shape of it."""

    def __init__(self, architecture: Architecture = NANO) -> None:
        super().__init__()
        self.architecture = architecture
        layers, head = architecture.layers, architecture.head
        self.convolutions = nn.ModuleDict(
            {
                layer.name: nn.Conv2d(
                    layer.inputs, layer.outputs, 3, layer.stride, padding=1, bias=False
                )
                for layer in layers
            }
        )
        self.norms = nn.ModuleDict(
            {layer.name: nn.BatchNorm2d(layer.outputs, NORM_EPSILON) for layer in layers}
        )
        self.head = nn.Conv2d(head.inputs, head.outputs, 3, padding=1)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias[:] = torch.tensor([1.0, FIRST_LOG_SCALE])  # about 2.7 m

    def forward(self, images: Tensor) -> Output:
        """Of (B, 3, height, width) grey levels 0 to 255, uint8 or float, BGR."""
        x = (images.float() * (1 / 127.5) - 1).contiguous(memory_format=torch.channels_last)
        outputs: dict[str, Tensor] = {}
        feature = x
        for layer in self.architecture.layers:
            x = self.norms[layer.name](self.convolutions[layer.name](x))
            if layer.skip:
                skip = outputs[layer.skip]
                x = functional.interpolate(x, skip.shape[2:], mode="nearest") + skip
            x = functional.relu(x)
            outputs[layer.name] = x
            if layer.name == self.architecture.bottleneck:
                feature = x.float().mean(dim=(2, 3))
        head = self.head(x).float()  # autocast computes it in less
        return Output(
            head[:, 0].clamp(*LOG_DEPTH_RANGE), head[:, 1].clamp(*LOG_SCALE_RANGE), feature
        )


def nearer_view(own: Output, mirrored: Output) -> tuple[Tensor, Tensor]:
    """(B, rows, columns) log depth and log scale as they fly: of each cell the nearer of the two
    answers, to an image and to the same image mirrored."""
    depth, scale = mirrored.log_depth.flip(2), mirrored.log_scale.flip(2)
    nearer = own.log_depth <= depth
    return torch.minimum(own.log_depth, depth), torch.where(nearer, own.log_scale, scale)


@torch.no_grad()
def fold(student: StudentNetwork, quantile: float = FIRST_QUANTILE) -> Weights:
    """The weights for inference: each BatchNorm merged into its convolution; and the quantile.

    y = g (w * x - m) / sqrt(v + e) + b  becomes  y = (s w) * x + (b - s m)  with
    s = g / sqrt(v + e).
    """
    state = {name: value.cpu() for name, value in student.state_dict().items()}
    weights: Weights = {QUANTILE: np.array([quantile], np.float32)}
    for layer in student.architecture.layers:
        norm = f"norms.{layer.name}"
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + NORM_EPSILON)
        kernel = state[f"convolutions.{layer.name}.weight"] * scale[:, None, None, None]
        bias = state[f"{norm}.bias"] - scale * state[f"{norm}.running_mean"]
        weights[f"{layer.name}.weight"] = kernel.contiguous().numpy()
        weights[f"{layer.name}.bias"] = bias.numpy()
    for part in ("weight", "bias"):
        weights[f"head.{part}"] = state[f"head.{part}"].clone().contiguous().numpy()
    return weights
