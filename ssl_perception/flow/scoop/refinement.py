"""SCOOP's run-time refinement: a free correction of each point's flow, descended on this one pair.

Section 3.4: with the correspondence's flow ``f0`` and its confidence ``c``, Adam finds ``R`` in
``f = f0 + R`` that minimises

    mean_i c_i d_i²  +  λ mean_i mean_{j in N(i)} |f_i - f_j|_1

where ``d_i`` is the distance of the moved point to the target, and N the graph of nearest
neighbours within the source, built once. No network takes part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ssl_perception.config import RefinementConfig
from ssl_perception.flow.neural.distance_transform import NeighbourIndex
from ssl_perception.flow.scoop.set_conv import neighbour_graph
from ssl_perception.runtime.deadline import NEVER, Deadline, DeadlinePassed


@dataclass(frozen=True, eq=False)
class Refined:
    """Attributes:
    flow: (N, 3), metres, of the least loss seen, or after the last step (``options.last``).
    iterations: steps taken.
    converged: False where time ran out.
    """

    flow: Tensor
    iterations: int
    converged: bool


class Smoothness:
    """How much the flow differs between neighbours: mean L1 norm over a fixed graph.

    Args:
        points: (N, 3), metres.
        neighbours: of each point.
        reach: m, edges longer than this don't count (0: all count): points so far apart may
            move differently.
    """

    def __init__(
        self, points: Tensor, neighbours: int, reach: float = 0.0, deadline: Deadline = NEVER
    ) -> None:
        graph = neighbour_graph(points.cpu().numpy(), neighbours + 1, deadline)
        self.edges = edges = graph[:, 1:].to(points.device)
        length = (points[edges] - points[:, None]).norm(dim=2)
        self.weight = (length <= reach if reach > 0.0 else torch.ones_like(length)).to(points.dtype)
        self.weight = self.weight / self.weight.sum(dim=1, keepdim=True).clamp_min(1.0)

    def __call__(self, flow: Tensor) -> Tensor:
        difference = (flow[self.edges] - flow[:, None]).abs().sum(dim=2)
        return (difference * self.weight).sum(dim=1).mean()


def confident_chamfer(
    moved: Tensor,
    target: Tensor,
    index: NeighbourIndex,
    confidence: Tensor,
    truncation: float = 0.0,
) -> Tensor:
    """One-sided squared distance to the target, weighted by confidence (SCOOP, equation 7).

    Args:
        moved: (N, 3), target: (M, 3), metres. index: of ``target``. confidence: (N,).
        truncation: m; a point farther off than this has no gradient (0: all have).
    """
    within = truncation if truncation > 0.0 else math.inf
    nearest = index.nearest(moved, within)
    found = nearest < len(target)
    squared = (moved - target[nearest.clamp_max(len(target) - 1)]).square().sum(dim=1)
    if truncation > 0.0:
        squared = torch.where(found, squared, truncation**2).clamp_max(truncation**2)
    return (confidence * squared).mean()


def refine(
    source: Tensor,
    target: Tensor,
    flow: Tensor,
    confidence: Tensor,
    options: RefinementConfig,
    deadline: Deadline,
) -> Refined:
    """Descend from the correspondence's flow.

    Args:
        source: (N, 3), target: (M, 3), metres.
        flow: (N, 3) start, metres.
        confidence: (N,) in [0, 1].
        options: steps, weights; see ``config.RefinementConfig``.
        deadline: looked at after each step.
    """
    index = NeighbourIndex(target)
    try:
        smoothness = Smoothness(source, options.neighbours, options.reach, deadline)
    except DeadlinePassed:
        return Refined(flow, 0, False)
    residual = torch.zeros_like(flow, requires_grad=True)
    optimizer = torch.optim.Adam([residual], lr=options.learning_rate)
    # on the device: reading the loss of each step would make a GPU wait for it
    least, best, converged = torch.full((), math.inf, device=flow.device), flow, True
    done = 0
    while done < options.steps:
        done += 1
        optimizer.zero_grad(set_to_none=True)
        refined = flow + residual
        moved = source + refined
        loss = confident_chamfer(moved, target, index, confidence, options.truncation)
        if options.two_sided:
            back = NeighbourIndex(moved).nearest(target)
            loss = loss + (moved[back] - target).square().sum(dim=1).mean()
        loss = loss + options.smoothness * smoothness(refined)
        if not options.last:
            better = loss.detach() < least
            least = torch.where(better, loss.detach(), least)
            best = torch.where(better, refined.detach(), best)
        if _passed(deadline, loss):
            converged = False
            break
        loss.backward()
        optimizer.step()
    return Refined((flow + residual).detach() if options.last else best, done, converged)


def _passed(deadline: Deadline, loss: Tensor) -> bool:
    """Whether time is up; a GPU is waited for only where there is a deadline to keep."""
    if math.isinf(deadline.end):
        return False
    loss.item()
    return deadline.passed
