"""SCOOP's soft correspondence: where each source point went, judged by features alone.

Features of both clouds, cosine cost, unbalanced transport over pairs within the support, then for
each source point the mean of its likeliest targets; its confidence is their mean cosine.
Itai Lang et al., "SCOOP: Self-Supervised Correspondence and Optimization-Based Scene Flow", 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ssl_perception.flow.scoop.set_conv import ROWS_AT_ONCE, FeatureNetwork, nearest_of
from ssl_perception.flow.scoop.sinkhorn import NOTHING, target_scale, transport
from ssl_perception.runtime.deadline import NEVER, Deadline
from ssl_perception.types import FloatArray

LIKELIEST = 64  # targets that a soft correspondence averages (SCOOP, section 3.2)
MIN_EPSILON = 0.03  # SCOOP: epsilon = exp(theta) + 0.03
PAIRS_AT_ONCE = 1 << 18  # bounds the memory of the gathered features: 128 MB
DENSE_AT_ONCE = 1 << 22  # pairs of a block in which all targets take part: 16 MB a matrix


@dataclass(frozen=True, eq=False)
class Candidates:
    """Which target points each source point may have become.

    Attributes:
        index: (N, k) int64 target points; None: all of them, k = M.
        allowed: (N, k) bool, within the support.
    """

    index: Tensor | None
    allowed: Tensor

    def to(self, device: torch.device) -> Candidates:
        """On another device."""
        index = None if self.index is None else self.index.to(device)
        return Candidates(index, self.allowed.to(device))


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Attributes:
    flow: (N, 3), soft target minus source, metres; 0 where no target lies in the support.
    confidence: (N,) in [0, 1].
    """

    flow: Tensor
    confidence: Tensor


class CorrespondenceModel(nn.Module):
    """The feature network and the transport's two learnt numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = FeatureNetwork()
        self.log_epsilon = nn.Parameter(torch.zeros(()))
        self.log_gamma = nn.Parameter(torch.zeros(()))

    @property
    def epsilon(self) -> Tensor:
        """Blur of the transport, above 0.03 always."""
        return torch.exp(self.log_epsilon) + MIN_EPSILON

    @property
    def gamma(self) -> Tensor:
        """Cost of unmatched mass, positive."""
        return torch.exp(self.log_gamma)


def all_pairs(source: Tensor, target: Tensor, support: float) -> Candidates:
    """Every pair within ``support`` metres; needs N x M memory."""
    return Candidates(None, torch.cdist(source, target) <= support)


def nearest_pairs(
    source: FloatArray, target: FloatArray, support: float, k: int, deadline: Deadline = NEVER
) -> Candidates:
    """The ``k`` nearest targets of each source point, no farther than ``support`` metres.

    Raises:
        DeadlinePassed: time is up.
    """
    distance, index = nearest_of(target, source, min(k, len(target)), support, deadline)
    allowed = np.isfinite(distance)
    index[~allowed] = 0
    return Candidates(torch.from_numpy(index), torch.from_numpy(allowed))


def correspond(
    model: CorrespondenceModel,
    source: Tensor,
    target: Tensor,
    source_features: Tensor,
    target_features: Tensor,
    candidates: Candidates,
    prior: float = 0.0,
    deadline: Deadline = NEVER,
) -> Correspondence:
    """Soft target and confidence of each source point.

    The cost of a pair is 1 - cos(features) + prior d², d its length in metres. SCOOP has no prior.
    All in float32, also under autocast: in bfloat16 a cosine is rounded to 0.004, a ninth of the
    trained ε, and a flow of 4 m to 1.6 cm.

    Args:
        source: (N, 3), target: (M, 3), metres.
        source_features: (N, C), target_features: (M, C), of unit length.
        candidates: pairs to consider.
        prior: per square metre: of two similar targets the nearer is likelier.
        deadline: looked at between blocks of points.

    Raises:
        DeadlinePassed: time is up.
    """
    index, allowed = candidates.index, candidates.allowed
    with torch.autocast(source.device.type, enabled=False):
        similarity = _similarity(source_features.float(), target_features.float(), index, deadline)
        cost = 1.0 - similarity
        if prior > 0.0:
            cost = cost + prior * _squares(source, target, index)
        deadline.check()
        plan = transport(cost, index, allowed, len(target), model.epsilon, model.gamma)
        if index is None:
            return _soft_target(source, target, None, plan, allowed, similarity)
        parts = []
        tables = (source, index, plan, allowed, similarity)
        for part in zip(*(table.split(ROWS_AT_ONCE) for table in tables), strict=True):
            deadline.check()
            x, near, mass, pairs, cosine = part
            parts.append(_soft_target(x, target, near, mass, pairs, cosine))
        return _joined(parts)


@torch.no_grad()
def correspond_in_blocks(
    model: CorrespondenceModel,
    source: Tensor,
    target: Tensor,
    source_features: Tensor,
    target_features: Tensor,
    support: float,
    prior: float = 0.0,
    deadline: Deadline = NEVER,
) -> Correspondence:
    """``correspond`` with all targets within ``support`` metres, in memory that doesn't grow so.

    The source points go by in blocks of neighbours with the targets that any of them may reach:
    once for what arrives at each target, once more for the soft correspondence.

    Raises:
        DeadlinePassed: time is up.
    """
    power = model.gamma / (model.gamma + model.epsilon)
    leaving = -math.log(len(source))

    def kernel(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        deadline.check()
        x, y = source[rows], target[columns]
        centre = x.mean(dim=0)
        length = torch.cdist(x - centre, y - centre)
        similarity = source_features[rows] @ target_features[columns].T
        cost = 1.0 - similarity
        if prior > 0.0:
            cost = cost + prior * length.square()
        allowed = length <= support
        return torch.where(allowed, -cost / model.epsilon, NOTHING), allowed, similarity

    blocks = [
        (torch.from_numpy(rows).to(source.device), torch.from_numpy(columns).to(source.device))
        for rows, columns in _blocks(source.cpu().numpy(), target.cpu().numpy(), support)
    ]
    arriving = torch.full((len(target),), NOTHING, device=target.device)
    for rows, columns in blocks:
        log_kernel, _, _ = kernel(rows, columns)
        more = torch.logsumexp(log_kernel + leaving, dim=0)
        arriving[columns] = torch.logaddexp(arriving[columns], more)
    scale = target_scale(arriving, power)
    flow, confidence = torch.zeros_like(source), torch.zeros_like(source[:, 0])
    for rows, columns in blocks:
        log_kernel, allowed, similarity = kernel(rows, columns)
        plan = log_kernel + scale[columns]
        part = _soft_target(source[rows], target[columns], None, plan, allowed, similarity)
        flow[rows], confidence[rows] = part.flow, part.confidence
    return Correspondence(flow, confidence)


def _blocks(
    source: FloatArray, target: FloatArray, support: float
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Indices of source points that lie near each other, and of all targets within their reach.

    Points without any target in reach are in no block.
    """
    cell = np.floor(source[:, :2] / support).astype(np.int64)
    order = np.lexsort((source[:, 1], cell[:, 1], cell[:, 0]))
    starts = np.flatnonzero(np.any(np.diff(cell[order], axis=0, prepend=np.nan), axis=1))
    blocks = []
    for rows in np.split(order, starts[1:]):
        low = source[rows, :2].min(axis=0) - support
        high = source[rows, :2].max(axis=0) + support
        within = ((target[:, :2] >= low) & (target[:, :2] <= high)).all(axis=1)
        columns = np.flatnonzero(within)
        if not len(columns):
            continue
        most = max(1, DENSE_AT_ONCE // len(columns))
        blocks += [(rows[k : k + most], columns) for k in range(0, len(rows), most)]
    return blocks


def _soft_target(
    source: Tensor,
    target: Tensor,
    index: Tensor | None,
    plan: Tensor,
    allowed: Tensor,
    similarity: Tensor,
) -> Correspondence:
    """The mean of each row's likeliest targets, and their mean cosine."""
    likely, column = plan.topk(min(LIKELIEST, plan.shape[1]), dim=1)
    weight = torch.softmax(likely, dim=1)
    known = allowed.gather(1, column)
    weight = weight * known  # a row without any target weighs nothing
    best = column if index is None else index.gather(1, column)
    flow = torch.einsum("nk,nkd->nd", weight, target[best] - source[:, None])
    confidence = (weight * similarity.gather(1, column)).sum(dim=1).clamp(0.0, 1.0)
    return Correspondence(flow, confidence)


def _joined(parts: list[Correspondence]) -> Correspondence:
    flow, confidence = ([getattr(part, name) for part in parts] for name in ("flow", "confidence"))
    return Correspondence(torch.cat(flow), torch.cat(confidence))


def _squares(source: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
    """Squared length of each candidate pair, m²."""
    if index is None:
        return torch.cdist(source, target).square()
    return (target[index] - source[:, None]).square().sum(dim=2)


def _similarity(source: Tensor, target: Tensor, index: Tensor | None, deadline: Deadline) -> Tensor:
    """Cosine of each candidate pair."""
    if index is None:
        return source @ target.T
    rows = max(1, PAIRS_AT_ONCE // index.shape[1])
    parts = []
    for some, feature in zip(index.split(rows), source.split(rows), strict=True):
        deadline.check()
        parts.append(torch.bmm(target[some], feature[:, :, None])[..., 0])
    return torch.cat(parts)
