"""SCOOP's soft correspondence: where each source point went, judged by features alone.

Features of both clouds, cosine cost, unbalanced transport over pairs within the support, then for
each source point the mean of its likeliest targets; its confidence is their mean cosine.
Itai Lang et al., "SCOOP: Self-Supervised Correspondence and Optimization-Based Scene Flow", 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn

from ssl_perception.flow.scoop.set_conv import FeatureNetwork
from ssl_perception.flow.scoop.sinkhorn import transport
from ssl_perception.types import FloatArray

LIKELIEST = 64  # targets that a soft correspondence averages (SCOOP, section 3.2)
MIN_EPSILON = 0.03  # SCOOP: epsilon = exp(theta) + 0.03
PAIRS_AT_ONCE = 1 << 18  # bounds the memory of the gathered features: 128 MB


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


def nearest_pairs(source: FloatArray, target: FloatArray, support: float, k: int) -> Candidates:
    """The ``k`` nearest targets of each source point, no farther than ``support`` metres."""
    k = min(k, len(target))
    distance, index = cKDTree(target).query(source, k=k, distance_upper_bound=support)
    distance, index = distance.reshape(len(source), k), index.reshape(len(source), k)
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
) -> Correspondence:
    """Soft target and confidence of each source point.

    The cost of a pair is 1 - cos(features) + prior d², d its length in metres. SCOOP has no prior.

    Args:
        source: (N, 3), target: (M, 3), metres.
        source_features: (N, C), target_features: (M, C), of unit length.
        candidates: pairs to consider.
        prior: per square metre: of two similar targets the nearer is likelier.
    """
    index = candidates.index
    similarity = _similarity(source_features, target_features, index)
    cost = 1.0 - similarity
    if prior > 0.0:
        cost = cost + prior * _squares(source, target, index)
    plan = transport(cost, index, candidates.allowed, len(target), model.epsilon, model.gamma)
    likely, column = plan.topk(min(LIKELIEST, plan.shape[1]), dim=1)
    weight = torch.softmax(likely, dim=1)
    known = candidates.allowed.gather(1, column)
    weight = weight * known  # a row without any target weighs nothing
    best = column if index is None else index.gather(1, column)
    flow = torch.einsum("nk,nkd->nd", weight, target[best] - source[:, None])
    confidence = (weight * similarity.gather(1, column)).sum(dim=1).clamp(0.0, 1.0)
    return Correspondence(flow, confidence)


def _squares(source: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
    """Squared length of each candidate pair, m²."""
    if index is None:
        return torch.cdist(source, target).square()
    return (target[index] - source[:, None]).square().sum(dim=2)


def _similarity(source: Tensor, target: Tensor, index: Tensor | None) -> Tensor:
    """Cosine of each candidate pair."""
    if index is None:
        return source @ target.T
    rows = max(1, PAIRS_AT_ONCE // index.shape[1])
    parts = [
        torch.bmm(target[some], feature[:, :, None])[..., 0]
        for some, feature in zip(index.split(rows), source.split(rows), strict=True)
    ]
    return torch.cat(parts)
