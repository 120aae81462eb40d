"""The student as PyTorch trains it, with BatchNorm; `fold` takes BatchNorm out for inference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_perception.depth.student.architecture import (
    BOTTLENECK,
    HEAD,
    LAYERS,
    LOG_DEPTH_RANGE,
    Weights,
)

NORM_EPSILON = 1e-5


class StudentNetwork(nn.Module):
    """Image to log depth. See `architecture` for the shape of it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict(
            {
                layer.name: nn.Conv2d(
                    layer.inputs, layer.outputs, 3, layer.stride, padding=1, bias=False
                )
                for layer in LAYERS
            }
        )
        self.norms = nn.ModuleDict(
            {layer.name: nn.BatchNorm2d(layer.outputs, NORM_EPSILON) for layer in LAYERS}
        )
        self.head = nn.Conv2d(HEAD.inputs, HEAD.outputs, 3, padding=1)
        nn.init.constant_(self.head.bias, 1.0)  # type: ignore[arg-type]  # about 2.7 m

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Log depth and features of a batch.

        Args:
            images: (B, 3, 120, 160) grey levels 0 to 255, uint8 or float, BGR.

        Returns:
            (B, 30, 40) natural logarithm of depth in metres, and (B, 96) features.
        """
        x = (images.float() * (1 / 127.5) - 1).contiguous(memory_format=torch.channels_last)
        outputs: dict[str, Tensor] = {}
        feature = x
        for layer in LAYERS:
            x = self.norms[layer.name](self.convolutions[layer.name](x))
            if layer.skip:
                skip = outputs[layer.skip]
                x = functional.interpolate(x, skip.shape[2:], mode="nearest") + skip
            x = functional.relu(x)
            outputs[layer.name] = x
            if layer.name == BOTTLENECK:
                feature = x.mean(dim=(2, 3))
        return self.head(x)[:, 0].clamp(*LOG_DEPTH_RANGE), feature


@torch.no_grad()
def fold(student: StudentNetwork) -> Weights:
    """The weights for inference: each BatchNorm merged into its convolution.

    y = g (w * x - m) / sqrt(v + e) + b  becomes  y = (s w) * x + (b - s m)  with
    s = g / sqrt(v + e).
    """
    state = student.state_dict()
    weights: Weights = {}
    for layer in LAYERS:
        norm = f"norms.{layer.name}"
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + NORM_EPSILON)
        kernel = state[f"convolutions.{layer.name}.weight"] * scale[:, None, None, None]
        bias = state[f"{norm}.bias"] - scale * state[f"{norm}.running_mean"]
        weights[f"{layer.name}.weight"] = kernel.contiguous().numpy()
        weights[f"{layer.name}.bias"] = bias.numpy()
    for part in ("weight", "bias"):
        weights[f"{HEAD.name}.{part}"] = state[f"head.{part}"].clone().contiguous().numpy()
    return weights
