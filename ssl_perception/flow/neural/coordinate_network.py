"""The prior of NSFP: a small network from a point's position to its motion, fitted to one pair."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_perception.config import FastNsfConfig, NeuralPriorConfig, NsfpConfig
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import FloatArray

POINTS_AT_ONCE = 2048  # on the CPU: one layer's activations (1 MB) stay in the cache


class CoordinateNetwork(nn.Module):
    """NSFP's prior (section 3.2): 3 -> hidden, ReLU, ... -> 3, no positional encoding.

    Args:
        hidden: units of each hidden layer.
        layers: hidden layers.
        seed: of the weights.
        start: ``uniform``, within 1/sqrt(inputs), biases too (PyTorch's default and so NSFP's), or
            ``xavier``, Xavier-uniform with biases 0 (FastNSF).
    """

    def __init__(
        self, hidden: int, layers: int, seed: int, start: Literal["uniform", "xavier"]
    ) -> None:
        super().__init__()
        sizes = [3, *[hidden] * layers, 3]
        linears = [nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)]
        self.linears = nn.ModuleList(linears)
        generator = torch.Generator().manual_seed(seed)
        for linear in linears:
            if start == "xavier":
                nn.init.xavier_uniform_(linear.weight, generator=generator)
                nn.init.zeros_(linear.bias)
            else:
                bound = 1.0 / math.sqrt(linear.in_features)
                nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
                nn.init.uniform_(linear.bias, -bound, bound, generator=generator)

    def forward(self, points: Tensor) -> Tensor:
        """(N, 3) motion in metres at (N, 3) points in metres.

        On the CPU it is much the faster the nearer to each other points lie that follow each
        other (``by_direction``).
        """
        if points.device.type == "cpu":
            flow: Tensor = _SparseNetwork.apply(points, *self.parameters())
            return flow
        signal = points
        for linear in self.linears[:-1]:
            signal = torch.relu(linear(signal))
        return cast(Tensor, self.linears[-1](signal))


def by_direction(points: FloatArray) -> NDArray[np.int64]:
    """(N,) indices that sort points by their azimuth about the origin (ties by x, y, z).

    The order depends on the set of points alone, so a solver that sorts first gives permuted
    points the same flow, bit by bit.
    """
    x, y, z = points.T
    return np.lexsort((z, y, x, np.arctan2(y, x)))


class _SparseNetwork(torch.autograd.Function):
    """The same network, without the multiplications by zero.

    Of the 128 units of a layer only 20 to 40 are active anywhere within a block of neighbouring
    points once the fit is under way: a ReLU network is linear over wide regions. Leaving out the
    rows of silent units changes nothing but the order of a sum, and saves nine multiplications in
    ten. Signals are (units, points), so that a unit is a contiguous row.
    """

    @staticmethod
    def forward(ctx: Any, points: Tensor, *weights: Tensor) -> Tensor:
        blocks = []
        flow = torch.empty_like(points)
        *hidden, last, last_bias = weights
        for first in range(0, len(points), POINTS_AT_ONCE):
            here = slice(first, first + POINTS_AT_ONCE)
            signal = points[here].T.contiguous()
            active: Tensor | None = None
            block = [(signal, active)]
            for weight, bias in zip(hidden[::2], hidden[1::2], strict=True):
                weight = weight if active is None else weight.index_select(1, active)
                signal = torch.addmm(bias[:, None], weight, signal)
                active = torch.nonzero(signal.amax(dim=1) > 0).squeeze(1)
                signal = signal.index_select(0, active).clamp_min_(0)
                block.append((signal, active))
            weight = last.index_select(1, active) if active is not None else last
            flow[here] = torch.addmm(last_bias[:, None], weight, signal).T
            blocks.append(block)
        ctx.blocks, ctx.weights = blocks, weights
        return flow

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weights = ctx.weights
        for_points = torch.empty_like(gradients[0]) if ctx.needs_input_grad[0] else None
        for_weights = [torch.zeros_like(weight) for weight in weights]
        for k, block in enumerate(ctx.blocks):
            here = slice(k * POINTS_AT_ONCE, (k + 1) * POINTS_AT_ONCE)
            gradient = gradients[0][here].T.contiguous()
            active: Tensor | None = None  # of this layer's outputs; None: all
            for layer in reversed(range(len(block))):
                signal, active_before = block[layer]
                weight, grad = weights[2 * layer], for_weights[2 * layer]
                part = gradient @ signal.T
                if active_before is None:
                    grad[slice(None) if active is None else active] += part
                elif active is None:
                    grad[:, active_before] += part
                else:
                    grad[active[:, None], active_before] += part
                for_weights[2 * layer + 1][slice(None) if active is None else active] += (
                    gradient.sum(dim=1)
                )
                if layer or for_points is not None:
                    if active is not None:
                        weight = weight.index_select(0, active)
                    if active_before is not None:
                        weight = weight.index_select(1, active_before)
                    gradient = weight.T @ gradient
                if layer:
                    gradient *= signal > 0
                    active = active_before
                elif for_points is not None:
                    for_points[here] = gradient.T
        return for_points, *for_weights


@dataclass(frozen=True)
class Descent:
    """How a fit ended: steps taken, the least loss, and False where time ran out."""

    iterations: int
    loss: float
    converged: bool


def descend(
    networks: nn.ModuleList,
    backward: Callable[[], float],
    options: NsfpConfig | FastNsfConfig | NeuralPriorConfig,
    weight_decay: float,
    deadline: Deadline,
) -> Descent:
    """Adam until the loss stops falling; the weights of least loss are put back at the end.

    It stops after ``options.patience`` steps in a row that gained less than
    ``options.min_delta``, after ``options.iterations``, or when the deadline has passed.

    Args:
        networks: what is fitted.
        backward: computes the loss, adds its gradients to the weights, gives its value.
        options: learning rate and the stop.
        weight_decay: of Adam.
        deadline: looked at after every step.
    """
    optimizer = torch.optim.Adam(
        networks.parameters(), lr=options.learning_rate, weight_decay=weight_decay
    )
    least = mark = math.inf
    idle = 0
    best = copy.deepcopy(networks.state_dict())
    converged = True
    iteration = 0
    while iteration < options.iterations:
        iteration += 1
        optimizer.zero_grad(set_to_none=True)
        loss = backward()
        if loss < least:
            least = loss
            for name, weight in networks.state_dict().items():
                best[name].copy_(weight)
        if loss < mark - options.min_delta:
            mark, idle = loss, 0
        else:
            idle += 1
        if idle >= options.patience or not math.isfinite(loss):
            break
        if deadline.passed:
            converged = False
            break
        optimizer.step()
    networks.load_state_dict(best)
    return Descent(iteration, least, converged)
