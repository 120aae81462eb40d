"""FastNSF: Fast Neural Scene Flow (Li, Zheng, Ferroni, Pontes, Lucey, ICCV 2023), as published.

NSFP's network, but the distance to the target is looked up in a distance field built once for the
pair, and nothing maps back. The loss: mean of D(S1 + f), in metres, not truncated.
"""

from __future__ import annotations

import torch
from torch import nn

from ssl_perception.config import FlowConfig
from ssl_perception.flow.neural.centred_pair import CentredPair
from ssl_perception.flow.neural.coordinate_network import CoordinateNetwork, descend
from ssl_perception.flow.neural.distance_transform import DistanceField
from ssl_perception.runtime.deadline import Deadline, DeadlinePassed
from ssl_perception.runtime.torch_device import choose_device
from ssl_perception.types import PointCloud, SceneFlow


def solve(
    source: PointCloud, target: PointCloud, options: FlowConfig, deadline: Deadline, seed: int
) -> SceneFlow:
    """See ``flow.Solver``."""
    settings = options.fast_nsf
    device = choose_device(settings.device)
    pair = CentredPair(source, target, settings.points, device, seed)
    points = torch.cat([pair.source, pair.target])
    low, high = points.amin(dim=0), points.amax(dim=0)
    network = CoordinateNetwork(settings.hidden, settings.layers, seed, "xavier").to(device)
    limit = pair.for_descent(network, deadline)
    try:
        field = DistanceField(pair.target, low, high, settings.cell, limit)
    except DeadlinePassed:
        return pair.unknown(deadline)

    def backward() -> float:
        loss = field.lookup(pair.source + network(pair.source)).mean()
        loss.backward()
        return loss.item()

    descent = descend(nn.ModuleList([network]), backward, settings, 0.0, limit)
    return pair.scene_flow(network, descent, deadline)
