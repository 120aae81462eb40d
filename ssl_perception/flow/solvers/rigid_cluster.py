"""Rigid-cluster scene flow: static unless a cluster earns its motion.

    voxels ─► unmatched? ─► hidden? ─► clusters ─► hypotheses ─► ICP ─► energy ─► GICP ─► fragments

Nothing is learnt and nothing is smooth: what both sweeps explain without motion has exactly zero
flow; what doesn't, and could have been seen, must find a rigid motion (x, y, z, yaw) that explains
clearly more than standing still. The parts live in ``ssl_perception.flow.rigid``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import RigidClusterConfig
from ssl_perception.flow.rigid.cluster_motion import (
    MIN_UNMATCHED,
    Motions,
    Scene,
    find_candidates,
    write_flow,
)
from ssl_perception.flow.rigid.components import Components, connected_components
from ssl_perception.flow.rigid.height_above_ground import ceiling
from ssl_perception.flow.rigid.hypothesis_search import CostField, cost_field
from ssl_perception.flow.rigid.propagation import STATIC, propagate
from ssl_perception.flow.rigid.registration_queue import most_important_first, register_all
from ssl_perception.flow.rigid.static_test import match_voxels
from ssl_perception.flow.rigid.visibility import find_novel, range_image
from ssl_perception.flow.rigid.voxel_grid import grid_bounds, local_points, voxel_grid
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.runtime.worker_thread import Both, in_turn
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

_kept = threading.local()  # the workspace of each thread that calls `solve`
_USUAL_INTERVAL = 0.1  # s, taken where the stamps say nothing


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
        energy, energy_still: (K,) float32, cost per sampled point of the motion, and of none.
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
    energy_still: FloatArray
    support: NDArray[np.int32]
    points: NDArray[np.int32]
    unmatched: NDArray[np.int32]
    flow: SceneFlow
    stages: dict[str, float]


def solve(
    source: PointCloud,
    target: PointCloud,
    options: RigidClusterConfig,
    deadline: Deadline,
    seed: int,
) -> SceneFlow:
    """As ``ssl_perception.flow.Solver`` asks. Nothing here is random: the seed is idle.

    Each calling thread keeps its workspace (some 40 MB for 100,000 points): allocating it anew
    would take as long as a third of the work.
    """
    if not hasattr(_kept, "workspace"):
        _kept.workspace = Workspace()
    return cluster_flow(source, target, options, deadline, workspace=_kept.workspace).flow


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
        deadline: when it is near, only as far is looked as there is time for, and when it passes
            the remaining clusters stay static; near and large ones come first. What was left out
            has confidence 0, and ``flow.converged`` is False.
        guesses: further hypotheses per region. They never replace the search.
        workspace: keep one per thread between calls; the result holds no view of it.
    """
    options = options or RigidClusterConfig()
    deadline = deadline or Deadline()
    workspace = workspace or Workspace()
    watch = Stopwatch()
    both: Both = workspace.second.both if options.threads > 1 else in_turn

    scene, everything = _look(source, target, options, deadline, workspace, both, watch)
    if scene is None:
        return _nothing_known(source, target, deadline, watch)
    grid, here, parts = scene.source, scene.source_points, scene.parts
    count = int(parts.size[0])
    room = len(parts.points)
    found = Motions(
        np.zeros(room, np.int8),
        np.zeros((room, 4)),
        parts.centre.copy(),
        np.ones((room, 2)),
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
    )
    candidate = workspace.array("candidate", (count,), np.int8)
    both(lambda: find_candidates(scene, 0, candidate), lambda: find_candidates(scene, 1, candidate))
    watch.lap("candidates")

    queue = most_important_first(parts.points[:count], parts.centre[:count], candidate)
    boxes, shifts = _local_guesses(guesses, source.origin, target.stamp - source.stamp)
    reserve = workspace.pace.after(len(source) + len(target))
    done = register_all(scene, queue, boxes, shifts, found, deadline, reserve, workspace, both)
    watch.lap("registration")

    propagate(
        grid,
        here,
        scene.target,
        scene.target_points,
        parts,
        found.state,
        found.motion,
        found.pivot,
    )
    watch.lap("propagation")

    flow = np.zeros((len(here), 3), np.float32)
    moving = np.zeros(len(here), np.bool_)
    write_flow(scene, found, flow, moving)
    label = np.full(len(here), -1, np.int32)
    inside = grid.voxel >= 0
    label[inside] = parts.label[grid.voxel[inside]]
    count = int(parts.size[0])  # splitting has added some
    certainty = _confidence(found, parts.unmatched, queue[done:])
    confidence = np.where(inside, certainty[label], np.float32(0.0))
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
            everything and done == len(queue),
        ),
        watch.stages,
    )


def _look(
    source: PointCloud,
    target: PointCloud,
    options: RigidClusterConfig,
    deadline: Deadline,
    workspace: Workspace,
    both: Both,
    watch: Stopwatch,
) -> tuple[Scene | None, bool]:
    """What the two sweeps explain without motion, what was hidden, and the clusters.

    Returns:
        the scene, None when the deadline passed meanwhile; and whether all of it was looked at.
    """
    start = time.perf_counter()
    # Everything below counts from the source's sensor: range is a norm, float32 is precise.
    origin = source.origin
    here, corners = local_points(source.points, origin, workspace, "source")
    there, others = local_points(target.points, origin, workspace, "target")
    corners[0] = np.minimum(corners[0], others[0])
    corners[1] = np.maximum(corners[1], others[1])
    interval = target.stamp - source.stamp
    times = _relative_times(source, target, interval, workspace)
    longest = options.max_speed * abs(interval or _USUAL_INTERVAL)
    reach = workspace.pace.affordable_range(here, there, options.max_range, deadline.remaining)

    middle = float(np.median(here[:: 1 + len(here) // 1024, 2]))
    lower, shape = grid_bounds(corners, middle, reach, longest + 1.0)
    (grid, own_view), (other, target_view) = both(
        lambda: (
            voxel_grid(here, lower, shape, reach, workspace, "source_grid"),
            range_image(here, np.zeros(3, np.float32), workspace, "source_view"),
        ),
        lambda: (
            voxel_grid(there, lower, shape, reach + longest + 1.0, workspace, "target_grid"),
            range_image(there, target.origin - origin, workspace, "target_view"),
        ),
    )
    watch.lap("voxels")
    points, in_range = len(here) + len(there), len(grid.order) + len(other.order)

    if deadline.passed:
        workspace.pace.measured(points, in_range, time.perf_counter() - start, whole=False)
        return None, False

    matched = workspace.array("matched", (len(grid.cell),), np.int32)
    explained = workspace.array("explained", (len(other.cell),), np.int32)
    novel = workspace.array("novel", (len(other.cell),), np.bool_)

    def look_at_source() -> Components:
        match_voxels(grid, other, options.match_base, options.match_per_metre, matched)
        return connected_components(grid, here, matched, workspace)

    def look_at_target() -> CostField:
        match_voxels(other, grid, options.match_base, options.match_per_metre, explained)
        find_novel(other.centroid, explained, own_view, novel)
        return cost_field(other, longest, workspace)

    parts, field = both(look_at_source, look_at_target)
    watch.lap("clusters")
    workspace.pace.measured(points, in_range, time.perf_counter() - start)
    if deadline.passed:
        return None, False
    scene = Scene(
        grid,
        here,
        times[0],
        matched,
        other,
        there,
        times[1],
        explained,
        novel,
        target_view,
        field,
        parts,
        ceiling(grid, options.max_hover, workspace),
    )
    return scene, reach == options.max_range


def _nothing_known(
    source: PointCloud, target: PointCloud, deadline: Deadline, watch: Stopwatch
) -> ClusterFlow:
    """The answer when there was no time to find even the clusters."""
    count = len(source)
    nothing = np.zeros(0, np.float32)
    flow = SceneFlow(
        np.zeros((count, 3), np.float32),
        np.zeros(count, np.bool_),
        np.zeros(count, np.float32),
        target.stamp - source.stamp,
        deadline.elapsed,
        0,
        False,
    )
    return ClusterFlow(
        label=np.full(count, -1, np.int32),
        state=np.zeros(0, np.int8),
        translation=nothing.reshape(0, 3),
        yaw=nothing,
        pivot=nothing.reshape(0, 2),
        lower=nothing.reshape(0, 3),
        upper=nothing.reshape(0, 3),
        energy=nothing,
        energy_still=nothing,
        support=np.zeros(0, np.int32),
        points=np.zeros(0, np.int32),
        unmatched=np.zeros(0, np.int32),
        flow=flow,
        stages=watch.stages,
    )


def _relative_times(
    source: PointCloud, target: PointCloud, interval: float, workspace: Workspace
) -> tuple[FloatArray, FloatArray]:
    """Capture times in fractions of the interval; zero unless both clouds have them."""
    known = source.time is not None and target.time is not None and interval != 0.0
    fractions = []
    for name, cloud in (("source.time", source), ("target.time", target)):
        fraction = workspace.array(name, (len(cloud),), np.float32)
        if known and cloud.time is not None:
            np.divide(cloud.time, np.float32(interval), out=fraction)
        else:
            fraction.fill(0.0)
        fractions.append(fraction)
    return fractions[0], fractions[1]


def _local_guesses(
    guesses: Guesses, origin: FloatArray, interval: float
) -> tuple[FloatArray, FloatArray]:
    """Boxes (G, 2, 3) in the solver's coordinates and displacements (G, 2) over the interval."""
    boxes = np.stack([guesses.lower - origin, guesses.upper - origin], axis=1)
    shifts = guesses.velocity[:, :2] * np.float32(interval)
    return boxes.astype(np.float32), np.ascontiguousarray(shifts, np.float32)


def _confidence(
    found: Motions, unmatched: NDArray[np.int32], left: NDArray[np.int32]
) -> FloatArray:
    """(K,) in [0, 1]: how sure the state of each cluster is."""
    confidence = np.ones(len(found.state), np.float32)
    gain = 1.0 - found.energy[:, 0] / np.maximum(found.energy[:, 1], 1e-9)
    support = np.minimum(1.0, found.support / 64.0)
    moved = found.state != STATIC
    confidence[moved] = (gain * np.sqrt(support))[moved]
    doubtful = ~moved & (unmatched >= MIN_UNMATCHED)
    confidence[doubtful] = 0.5
    confidence[left] = 0.0
    return np.clip(confidence, 0.0, 1.0).astype(np.float32)
