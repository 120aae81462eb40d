"""A pair of clouds prepared for a coordinate network, and the network's flow as a SceneFlow."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from ssl_perception.flow.neural.coordinate_network import CoordinateNetwork, Descent, by_direction
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

MOVING_SPEED = 0.5  # m/s over ground: Argoverse's 0.05 m in 0.1 s
SWEEP = 0.1  # s assumed between clouds that carry no stamps
MATCH_RADIUS = 2.0**0.5  # m, where NSFP's loss ends


class CentredPair:
    """A pair about the source's median point, sorted, and sampled when asked.

    The papers' clouds are centred on the sensor. Here they come in any frame, perhaps a map
    kilometres from its origin, so the median takes the sensor's place: moving both clouds changes
    nothing. Nor does permuting points: they are sorted first.

    Attributes:
        source: (P, 3) source points to fit, metres, on the requested device.
        target: (Q, 3) target points to fit them to.
    """

    def __init__(
        self, source: PointCloud, target: PointCloud, count: int, device: torch.device, seed: int
    ) -> None:
        self._source_cloud, self._target_cloud = source, target
        centre = np.median(source.points, axis=0).astype(np.float32)
        points, others = source.points - centre, target.points - centre
        self._order = by_direction(points)
        self._all_source = torch.from_numpy(points[self._order]).to(device)
        all_target = torch.from_numpy(others[by_direction(others)]).to(device)
        self.source = _sample(self._all_source, count, seed)
        self.target = _sample(all_target, count, seed + 1)

    @property
    def interval(self) -> float:
        """Seconds from source to target."""
        return self._target_cloud.stamp - self._source_cloud.stamp

    def for_descent(self, network: CoordinateNetwork, deadline: Deadline) -> Deadline:
        """When a descent must end so that ``scene_flow``, tried out here, can keep the deadline."""
        if math.isinf(deadline.end):
            return deadline
        before = deadline.elapsed
        self._answer(network)
        return deadline.earlier(deadline.elapsed - before)

    def unknown(self, deadline: Deadline) -> SceneFlow:
        """For when time ran out before the first step."""
        return SceneFlow.unknown(len(self._order), self.interval, deadline.elapsed)

    def scene_flow(
        self, network: CoordinateNetwork, descent: Descent, deadline: Deadline
    ) -> SceneFlow:
        """The network's flow for every source point, sampled or not.

        Confidence falls from 1, where the moved point lies on a target point, to 0 at
        ``MATCH_RADIUS``: farther than that nothing of the target was seen.
        """
        flow, confidence = self._answer(network)
        interval = self.interval
        return SceneFlow(
            flow=flow,
            moving=np.linalg.norm(flow, axis=1) >= MOVING_SPEED * (abs(interval) or SWEEP),
            confidence=confidence,
            interval=interval,
            seconds=deadline.elapsed,
            iterations=descent.iterations,
            converged=descent.converged,
        )

    def _answer(self, network: CoordinateNetwork) -> tuple[FloatArray, FloatArray]:
        """Flow (N, 3) and confidence (N,)."""
        flow: FloatArray = np.empty_like(self._source_cloud.points)
        with torch.no_grad():
            flow[self._order] = network(self._all_source).cpu().numpy()
        tree = cKDTree(self._target_cloud.points, balanced_tree=False, compact_nodes=False)
        moved = self._source_cloud.points + flow
        distance, _ = tree.query(moved, distance_upper_bound=MATCH_RADIUS)
        confidence = 1.0 - np.minimum(distance, MATCH_RADIUS) / MATCH_RADIUS
        return flow, confidence.astype(np.float32)


def _sample(points: Tensor, count: int, seed: int) -> Tensor:
    """``count`` of the points at random, in their order; all of them when 0 or too few."""
    if count == 0 or count >= len(points):
        return points
    generator = torch.Generator().manual_seed(seed)
    chosen, _ = torch.randperm(len(points), generator=generator)[:count].sort()
    return points[chosen.to(points.device)]
