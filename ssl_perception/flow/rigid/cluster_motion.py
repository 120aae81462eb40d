"""The motion found per cluster, and the flow and confidence that it gives its points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.candidates import MIN_UNMATCHED
from ssl_perception.flow.rigid.components import Components
from ssl_perception.flow.rigid.propagation import STATIC
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray


class Motions(NamedTuple):
    """What was found per cluster.

    Attributes:
        state: (K,) int8, STATIC, REGISTERED or PROPAGATED.
        motion: (K, 4) float64: t_x, t_y, t_z in metres over T, yaw in radians.
        pivot: (K, 2) float32: the yaw turns about it.
        energy: (K, 2) float64: E of the motion and of no motion, per sampled point; equal
            where nothing was tried.
        support: (K,) int32, sampled source points.
        iterations: (K,) int32.
    """

    state: NDArray[np.int8]
    motion: NDArray[np.float64]
    pivot: NDArray[np.float32]
    energy: NDArray[np.float64]
    support: NDArray[np.int32]
    iterations: NDArray[np.int32]


def all_static(parts: Components) -> Motions:
    """No motion yet, with room for the clusters that splitting may add."""
    room = len(parts.points)
    return Motions(
        np.zeros(room, np.int8),
        np.zeros((room, 4)),
        parts.centre.copy(),
        np.ones((room, 2)),
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
    )


@kernel
def write_flow(
    scene: Scene, found: Motions, flow: NDArray[np.float32], moving: NDArray[np.bool_]
) -> None:
    """Give each point of a moving cluster its displacement; all else stays exactly zero.

        flow_xy = R(psi)(x - c) + c + t - x,   flow_z = t_z

    ``flow`` (N, 3) float32 and ``moving`` (N,) bool come in as zero.
    """
    for c in range(scene.parts.size[0]):
        if found.state[c] == STATIC:
            continue
        cos, sin = np.cos(found.motion[c, 3]), np.sin(found.motion[c, 3])
        for a in range(scene.parts.begin[c], scene.parts.end[c]):
            v = scene.parts.order[a]
            for b in range(scene.source.first[v], scene.source.first[v + 1]):
                p = scene.source.order[b]
                rx = scene.source_points[p, 0] - found.pivot[c, 0]
                ry = scene.source_points[p, 1] - found.pivot[c, 1]
                flow[p, 0] = cos * rx - sin * ry - rx + found.motion[c, 0]
                flow[p, 1] = sin * rx + cos * ry - ry + found.motion[c, 1]
                flow[p, 2] = found.motion[c, 2]
                moving[p] = True


def cluster_confidence(
    found: Motions, unmatched: NDArray[np.int32], unsolved: NDArray[np.int32]
) -> FloatArray:
    """(K,) in [0, 1]: how sure the state of each cluster is.

    Args:
        unmatched: (K,) int32, voxels of each cluster without a match in the target.
        unsolved: numbers of the clusters for which there was no time.
    """
    confidence = np.ones(len(found.state), np.float32)
    gain = 1.0 - found.energy[:, 0] / np.maximum(found.energy[:, 1], 1e-9)
    support = np.minimum(1.0, found.support / 64.0)
    moved = found.state != STATIC
    confidence[moved] = (gain * np.sqrt(support))[moved]
    doubtful = ~moved & (unmatched >= MIN_UNMATCHED)
    confidence[doubtful] = 0.5
    confidence[unsolved] = 0.0
    return np.clip(confidence, 0.0, 1.0).astype(np.float32)
