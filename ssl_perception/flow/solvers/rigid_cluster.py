"""Rigid-cluster scene flow: static unless a cluster earns its motion.

    voxels ─► static test ─► visibility ─► clusters ─► hypotheses ─► ICP ─► energy ─► GICP
                                                                     ─► propagation

Nothing is learnt and no smoothness is assumed: points that both sweeps explain without motion have
exactly zero flow; other points, if the other sweep could have seen them, must find a rigid motion
(x, y, z, yaw) that explains clearly more than no motion. The parts are in
``ssl_perception.flow.rigid``.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FlowConfig, RigidClusterConfig
from ssl_perception.flow.rigid.candidates import find_candidates
from ssl_perception.flow.rigid.cluster_motion import all_static, cluster_confidence, write_flow
from ssl_perception.flow.rigid.propagation import propagate
from ssl_perception.flow.rigid.registration_queue import most_important_first, register_all
from ssl_perception.flow.rigid.scene import build_scene
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.runtime.worker_thread import RunTwo, run_in_sequence
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

_kept = threading.local()  # the workspace of each thread that calls `solve`


@dataclass(frozen=True, eq=False)
class Guesses:
    """Regions thought to move, for example from tracks: tried beside the solver's own hypotheses.

    Attributes:
        lower, upper: (G, 3) float32, boxes at the source's stamp, metres, in the clouds' frame.
        velocity: (G, 3) float32, m/s over ground.
    """

    lower: FloatArray
    upper: FloatArray
    velocity: FloatArray


NO_GUESSES = Guesses(
    np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)
)


@dataclass(frozen=True, eq=False)
class ClusterFlow:
    """The clusters of the source cloud and their motion over the interval T.

    Attributes:
        label: (N,) int32, cluster of each point; -1 outside the solver's range.
        state: (K,) int8: 0 static, 1 registered, 2 took the motion of a registered neighbour.
        translation: (K, 3) float32, metres over T; of the body at its pivot.
        yaw: (K,) float32, radians over T, about the pivot.
        pivot: (K, 2) float32, x, y in the clouds' frame.
        lower, upper: (K, 3) float32, corners of the cluster's points as captured.
        energy, energy_static: (K,) float32, cost per sampled point of the motion, and of none.
        support: (K,) int32, sampled points; 0 where no motion was tried.
        points: (K,) int32.
        unmatched: (K,) int32, voxels that the target doesn't explain without motion.
        flow: SceneFlow per point.
        stages: seconds per stage.
    """

    label: NDArray[np.int32]
    state: NDArray[np.int8]
    translation: FloatArray
    yaw: FloatArray
    pivot: FloatArray
    lower: FloatArray
    upper: FloatArray
    energy: FloatArray
    energy_static: FloatArray
    support: NDArray[np.int32]
    points: NDArray[np.int32]
    unmatched: NDArray[np.int32]
    flow: SceneFlow
    stages: dict[str, float]


def solve(
    source: PointCloud,
    target: PointCloud,
    options: FlowConfig,
    deadline: Deadline,
    seed: int,
) -> SceneFlow:
    """See ``flow.Solver``. Nothing here is random: the seed is unused.

    Each calling thread keeps its workspace (some 40 MB for 100,000 points): allocating it anew
    would take as long as a third of the work.
    """
    if not hasattr(_kept, "workspace"):
        _kept.workspace = Workspace()
    workspace = _kept.workspace
    return cluster_flow(source, target, options.rigid_cluster, deadline, workspace=workspace).flow


def cluster_flow(
    source: PointCloud,
    target: PointCloud,
    options: RigidClusterConfig | None = None,
    deadline: Deadline | None = None,
    guesses: Guesses = NO_GUESSES,
    workspace: Workspace | None = None,
) -> ClusterFlow:
    """Clusters of the source and their motion to the target.

    Args:
        source, target: N and M points, ego-compensated and ground-free, in one frame, which may
            be the sensor's own or a levelled one; z up. The target may be the earlier sweep.
        options: settings; None: defaults.
        deadline: when it is near, only the range that there is time for is solved, and when it
            passes the remaining clusters stay static; near and large ones come first. What was
            left out has confidence 0, and ``flow.converged`` is False.
        guesses: further hypotheses per region. They never replace the search.
        workspace: keep one per thread between calls; the result holds no view of it.

    Raises:
        InputError: ``options.device`` is cuda, and there is none.
    """
    options = options or RigidClusterConfig()
    deadline = deadline or Deadline()
    workspace = workspace or Workspace()
    watch = Stopwatch()
    device = workspace.registration_device.choose(options.device)
    run_two: RunTwo = workspace.worker.run_in_parallel if options.threads > 1 else run_in_sequence

    scene, complete = build_scene(source, target, options, deadline, workspace, run_two, watch)
    if scene is None:
        return _unsolved(source, target, deadline, watch)
    grid, points, parts = scene.source, scene.source_points, scene.parts
    count = int(parts.size[0])
    found = all_static(parts)
    candidate = workspace.array("candidate", (count,), np.int8)
    run_two(
        lambda: find_candidates(scene, 0, candidate), lambda: find_candidates(scene, 1, candidate)
    )
    watch.lap("candidates")

    queue = most_important_first(parts.points[:count], parts.centre[:count], candidate)
    boxes, shifts = _local_guesses(guesses, source.origin, target.stamp - source.stamp)
    reserve = workspace.range_budget.reserve(len(source) + len(target))
    done = register_all(
        scene, queue, boxes, shifts, found, deadline, reserve, workspace, run_two, device
    )
    watch.lap("registration")
    if options.device == "auto" and len(queue):
        workspace.registration_device.record(device, watch.stages["registration"])

    propagate(
        grid,
        points,
        scene.target,
        scene.target_points,
        parts,
        found.state,
        found.motion,
        found.pivot,
    )
    watch.lap("propagation")

    flow = np.zeros((len(points), 3), np.float32)
    moving = np.zeros(len(points), np.bool_)
    write_flow(scene, found, flow, moving)
    label = np.full(len(points), -1, np.int32)
    inside = grid.voxel >= 0
    label[inside] = parts.label[grid.voxel[inside]]
    count = int(parts.size[0])  # splitting has added some
    of_cluster = cluster_confidence(found, parts.unmatched, queue[done:])
    confidence = np.where(inside, of_cluster[label], np.float32(0.0))
    watch.lap("write")

    return ClusterFlow(
        label,
        found.state[:count],
        found.motion[:count, :3].astype(np.float32),
        found.motion[:count, 3].astype(np.float32),
        found.pivot[:count] + source.origin[:2],
        parts.box[:count, 0] + source.origin,
        parts.box[:count, 1] + source.origin,
        found.energy[:count, 0].astype(np.float32),
        found.energy[:count, 1].astype(np.float32),
        found.support[:count],
        parts.points[:count].copy(),
        parts.unmatched[:count].copy(),
        SceneFlow(
            flow,
            moving,
            confidence,
            target.stamp - source.stamp,
            deadline.elapsed,
            int(found.iterations[:count].sum()),
            complete and done == len(queue),
        ),
        watch.stages,
    )


def _unsolved(
    source: PointCloud, target: PointCloud, deadline: Deadline, watch: Stopwatch
) -> ClusterFlow:
    """The result when there was no time to find even the clusters: confidence 0 everywhere."""
    count = len(source)
    nothing = np.zeros(0, np.float32)
    flow = SceneFlow.unknown(count, target.stamp - source.stamp, deadline.elapsed)
    return ClusterFlow(
        label=np.full(count, -1, np.int32),
        state=np.zeros(0, np.int8),
        translation=nothing.reshape(0, 3),
        yaw=nothing,
        pivot=nothing.reshape(0, 2),
        lower=nothing.reshape(0, 3),
        upper=nothing.reshape(0, 3),
        energy=nothing,
        energy_static=nothing,
        support=np.zeros(0, np.int32),
        points=np.zeros(0, np.int32),
        unmatched=np.zeros(0, np.int32),
        flow=flow,
        stages=watch.stages,
    )


def _local_guesses(
    guesses: Guesses, origin: FloatArray, interval: float
) -> tuple[FloatArray, FloatArray]:
    """Boxes (G, 2, 3) in the solver's coordinates and displacements (G, 2) over the interval."""
    boxes = np.stack([guesses.lower - origin, guesses.upper - origin], axis=1)
    shifts = guesses.velocity[:, :2] * np.float32(interval)
    return boxes.astype(np.float32), np.ascontiguousarray(shifts, np.float32)
