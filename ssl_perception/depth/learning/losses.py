"""What the student descends: the error of its depth, and how well it knows that error."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ssl_perception.config import LearnerConfig

_NEAREST = 3.0  # 1/m; nearer than a third of a metre weighs no more
_EDGE = 1.0  # log depth; a difference of gradients beyond it is an edge in another place


def frame_losses(predicted: Tensor, labels: Tensor, options: LearnerConfig) -> Tensor:
    """(B,) loss of each frame: Huber on log depth, plus a clipped L1 on its gradients.

    The part of a picture that is near is often small, and it is what a robot flies into: there
    an error in depth weighs more.

    Args:
        predicted: (B, rows, columns) log depth.
        labels: likewise, NaN unknown.
    """
    known = torch.isfinite(labels)
    target = torch.where(known, labels, 0.0)
    point = functional.smooth_l1_loss(predicted, target, reduction="none", beta=options.huber)
    nearness = torch.exp(-target).clamp(max=_NEAREST)
    loss = _frame_mean(point, known * (1.0 + options.near_weight * nearness))
    for axis in (1, 2):
        both = known.narrow(axis, 1, known.shape[axis] - 1) & known.narrow(
            axis, 0, known.shape[axis] - 1
        )
        slope = (predicted.diff(dim=axis) - target.diff(dim=axis)).abs().clamp(max=_EDGE)
        loss = loss + options.gradient_weight * _frame_mean(slope, both.float())
    return loss


def uncertainty_losses(predicted: Tensor, log_scale: Tensor, labels: Tensor) -> Tensor:
    """(B,) mean negative log likelihood of the error, Laplace, of each frame; the depth doesn't
    learn from it: a network that may call hard cells uncertain would cease to learn them.

    Args:
        predicted, log_scale: (B, rows, columns), see ``Output``.
        labels: likewise log depth, NaN unknown.
    """
    known = torch.isfinite(labels)
    error = (predicted.detach() - torch.where(known, labels, 0.0)).abs()
    return _frame_mean(error * torch.exp(-log_scale) + log_scale, known.float())


def _frame_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1.0)
