"""``neural_prior``: the neural scene flow prior, fitted only to what is not static.

    rigid_cluster's motions ─► per moving cluster: a small network for the residual deformation,
                               on the truncated distance transform

NSFP spends its network on statics, which are nine points in ten, and moves them by centimetres.
Here static is exactly zero, a moving cluster starts from its rigid motion, and a network deforms
that motion where the target supports it: people swing arms and legs. The loss of a cluster is
FastNSF's, truncated: the mean of min(D(x + f), truncation), plus a deformation penalty. The penalty
is high: two sweeps of a rigid body sample it at other places, and an unregularised network fits
that pattern of the scan (measured on simulated walkers: docs/evaluation.md).

The published prior is ``nsfp``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ssl_perception.config import FlowConfig, NeuralPriorConfig
from ssl_perception.flow.neural.coordinate_network import CoordinateNetwork, descend
from ssl_perception.flow.neural.distance_transform import DistanceField
from ssl_perception.flow.segmentation import moving_clusters
from ssl_perception.flow.solvers import rigid_cluster
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.torch_device import choose_device
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

MARGIN = 0.6  # m around a moved cluster in which the target counts
SHARE_OF_TIME = 0.7  # of a deadline, for the rigid motions; the rest is for deformation
GAIN = 0.9  # a deformation must bring the cost below this share of the rigid one


def solve(
    source: PointCloud,
    target: PointCloud,
    options: FlowConfig,
    deadline: Deadline,
    seed: int,
) -> SceneFlow:
    """See ``flow.Solver``. Deterministic; the seed is of the networks' weights."""
    limit = deadline.remaining * SHARE_OF_TIME
    earlier = Deadline(None if np.isinf(limit) else max(limit, 1e-4))
    rigid = rigid_cluster.solve(source, target, options, earlier, seed)
    return deform(source, target, rigid, options.neural_prior, deadline, seed)


def deform(
    source: PointCloud,
    target: PointCloud,
    rigid: SceneFlow,
    options: NeuralPriorConfig,
    deadline: Deadline,
    seed: int,
) -> SceneFlow:
    """The flow with each moving cluster's motion deformed to fit the target; statics stay zero.

    Args:
        rigid: of the same clouds, by ``rigid_cluster``. Clusters with fewer than
            ``options.min_points`` points, or larger than ``options.max_size`` m, stay rigid.
        deadline: when it passes, the clusters left over stay rigid and ``converged`` is False.
    """
    flow = rigid.flow.copy()
    labels = moving_clusters(source, rigid.moving)
    converged, iterations = rigid.converged, rigid.iterations
    for label in range(int(labels.max(initial=-1)) + 1):
        mine = np.flatnonzero(labels == label)
        points = source.points[mine]
        if len(mine) < options.min_points or np.ptp(points, axis=0).max() > options.max_size:
            continue
        if deadline.passed:
            converged = False
            break
        residual, steps, finished = _deform_cluster(
            source, target, mine, flow[mine], options, deadline, seed
        )
        flow[mine] += residual
        iterations += steps
        converged = converged and finished
    return replace(
        rigid, flow=flow, iterations=iterations, converged=converged, seconds=deadline.elapsed
    )


def _deform_cluster(
    source: PointCloud,
    target: PointCloud,
    mine: np.ndarray,
    rigid: FloatArray,
    options: NeuralPriorConfig,
    deadline: Deadline,
    seed: int,
) -> tuple[FloatArray, int, bool]:
    """What to add to the rigid flow (n, 3) of one cluster; zeros where deforming doesn't pay."""
    points = source.points[mine]
    interval = target.stamp - source.stamp
    velocity = rigid.mean(axis=0) / (interval or 0.1)
    # both sweeps with the body's motion within each of them compensated
    body = points if source.time is None else points - velocity * source.time[mine, None]
    moved = body + rigid
    low, high = moved.min(axis=0) - MARGIN, moved.max(axis=0) + MARGIN
    near = target.points
    reach = np.float32(np.abs(velocity).max() * 0.2)
    inside = ((near > low - reach) & (near < high + reach)).all(axis=1)
    near = near[inside]
    if target.time is not None:
        near = near - velocity * target.time[inside, None]
    near = near[((near > low) & (near < high)).all(axis=1)]
    undeformed = np.zeros_like(points)
    if len(near) < options.min_points:
        return undeformed, 0, True
    device = choose_device(options.device)

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(device)

    field = DistanceField(on_device(near), on_device(low), on_device(high), options.cell)
    local = on_device(body - body.mean(axis=0))
    start = on_device(moved)
    network = CoordinateNetwork(options.hidden, options.layers, seed, "xavier").to(device)
    last = network.linears[-1]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]

    def cost(residual: torch.Tensor) -> torch.Tensor:
        return field.lookup(start + residual).clamp_max(options.truncation).mean()

    def backward() -> float:
        residual = network(local)
        loss = cost(residual) + options.stiffness * residual.square().sum(dim=1).mean()
        loss.backward()
        return float(loss.item())

    descent = descend(nn.ModuleList([network]), backward, options, 0.0, deadline)
    with torch.no_grad():
        residual = network(local)
        pays = float(cost(residual)) < GAIN * float(cost(torch.zeros_like(residual)))
    deformation = residual.cpu().numpy() if pays else undeformed
    return deformation, descent.iterations, descent.converged
