"""Point features by set convolution on a nearest-neighbour graph (PointNet++, FLOT, SCOOP).

A layer looks at each point's neighbours j of i, in feature and in place,

    g_i = max_j ( A s_j + B (x_j - x_i) ),      s'_i = MLP(norm(g_i)).

Because the map under the maximum is linear, it is evaluated once a point instead of once an edge:
``max_j (A s_j + B x_j) - B x_i``. Only the first layer, whose input is bare geometry, has a small
network on the edges. Only differences of positions enter: moving both clouds changes nothing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor, nn

from ssl_perception.runtime.deadline import NEVER, Deadline
from ssl_perception.types import FloatArray

NEIGHBOURS = 32  # SCOOP, section 3.1
WIDTHS = (32, 64, 128)  # SCOOP: 3 -> 32 -> 64 -> 128
SLOPE = 0.1  # of the leaky ReLU
EDGES_AT_ONCE = 1 << 19  # bounds the memory of the edge tensors: 64 MB at 32 channels
ROWS_AT_ONCE = 4096  # between two looks at the deadline


def neighbour_graph(points: FloatArray, k: int = NEIGHBOURS, deadline: Deadline = NEVER) -> Tensor:
    """(N, k) int64: the k nearest points of each point, itself first.

    A cloud of fewer than k points names its last neighbour again; a maximum doesn't mind.

    Raises:
        DeadlinePassed: time is up.
    """
    have = min(k, len(points))
    _, index = nearest_of(points, points, have, np.inf, deadline)
    edges = torch.from_numpy(index)
    return edges if have == k else torch.cat([edges, edges[:, -1:].expand(-1, k - have)], dim=1)


def nearest_of(
    points: FloatArray, queries: FloatArray, k: int, within: float, deadline: Deadline
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(Q, k) distances and indices of the nearest of ``points`` (N, 3), the nearest first.

    Infinite, and N, where there is none within so many metres.

    Raises:
        DeadlinePassed: time is up.
    """
    tree = cKDTree(points)
    distance = np.empty((len(queries), k))
    index = np.empty((len(queries), k), np.int64)
    for first in range(0, len(queries), ROWS_AT_ONCE):
        deadline.check()
        some = slice(first, first + ROWS_AT_ONCE)
        found = tree.query(queries[some], k=k, distance_upper_bound=within)
        distance[some], index[some] = (part.reshape(-1, k) for part in found)
    return distance, index


class CloudNorm(nn.Module):
    """Instance norm over the points of one cloud: (N, C) to zero mean and unit variance."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(dim=0, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(dim=0, keepdim=True) + 1e-5)
        return centred * (scale * self.weight) + self.bias


class PointMLP(nn.Module):
    """Norm, leaky ReLU, then two linear layers with the same after each."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([CloudNorm(channels), CloudNorm(out), CloudNorm(out)])
        self.linears = nn.ModuleList(
            [nn.Linear(channels, out, bias=False), nn.Linear(out, out, bias=False)]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.leaky_relu(self.norms[0](x), SLOPE)
        for linear, norm in zip(self.linears, self.norms[1:], strict=True):
            x = nn.functional.leaky_relu(norm(linear(x)), SLOPE)
        return x


class GeometryConv(nn.Module):
    """First layer: neighbours' relative positions (metres) through a network on the edges."""

    def __init__(self, hidden: int, out: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, hidden)
        self.edge = nn.Linear(hidden, hidden)
        self.point = PointMLP(hidden, out)

    def forward(self, points: Tensor, edges: Tensor, deadline: Deadline) -> Tensor:
        rows = max(1, EDGES_AT_ONCE // edges.shape[1])
        pooled = []
        for k in range(0, len(points), rows):
            deadline.check()
            pooled.append(self._pooled(points, points[k : k + rows], edges[k : k + rows]))
        return self.point(torch.cat(pooled))

    def _pooled(self, points: Tensor, centres: Tensor, edges: Tensor) -> Tensor:
        offset = points[edges] - centres[:, None]
        hidden = nn.functional.leaky_relu(self.hidden(offset), SLOPE)
        return self.edge(hidden).amax(dim=1)


class SetConv(nn.Module):
    """A later layer: neighbours' features and relative positions, maximum over the edges."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.feature = nn.Linear(channels, out, bias=False)
        self.place = nn.Linear(3, out, bias=False)
        self.point = PointMLP(out, out)

    def forward(self, signal: Tensor, points: Tensor, edges: Tensor, deadline: Deadline) -> Tensor:
        place = self.place(points)
        value = self.feature(signal) + place
        rows = max(1, 32 * EDGES_AT_ONCE // (edges.shape[1] * value.shape[1]))
        pooled = []
        for part in edges.split(rows):
            deadline.check()
            pooled.append(value[part].amax(dim=1))
        return self.point(torch.cat(pooled) - place)


class FeatureNetwork(nn.Module):
    """128 numbers a point that tell its surroundings' shape (56,352 weights).

    Not the authors' network: theirs normalises on the N x 32 edges and takes the maximum after
    that (55,362 weights with the transport's two numbers). Their weights don't load.
    """

    def __init__(self) -> None:
        super().__init__()
        self.geometry = GeometryConv(WIDTHS[0], WIDTHS[0])
        self.convolutions = nn.ModuleList([SetConv(a, b) for a, b in pairwise(WIDTHS)])

    def forward(self, points: Tensor, edges: Tensor, deadline: Deadline = NEVER) -> Tensor:
        """Unit-length features.

        Args:
            points: (N, 3) float32, metres.
            edges: (N, k) int64, see ``neighbour_graph``.
            deadline: looked at between blocks of points.

        Returns:
            (N, 128) float32, under autocast too; the dot product of two is the cosine that SCOOP's
            cost counts.

        Raises:
            DeadlinePassed: time is up.
        """
        points = points - points.mean(dim=0, keepdim=True)
        signal = self.geometry(points, edges, deadline)
        for convolution in self.convolutions:
            signal = convolution(signal, points, edges, deadline)
        deadline.check()
        return nn.functional.normalize(signal.float(), dim=1, eps=1e-6)
