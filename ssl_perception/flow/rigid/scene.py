"""The scene that clusters are registered in: both sweeps' voxels, visibility, and the clusters."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import RigidClusterConfig
from ssl_perception.flow.rigid.components import Components, connected_components
from ssl_perception.flow.rigid.height_above_ground import HeightLimit, height_limit
from ssl_perception.flow.rigid.hypothesis_search import CostField, cost_field
from ssl_perception.flow.rigid.static_test import match_voxels
from ssl_perception.flow.rigid.visibility import RangeImage, find_novel, range_image
from ssl_perception.flow.rigid.voxel_grid import VoxelGrid, grid_bounds, local_points, voxel_grid
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.runtime.worker_thread import RunTwo
from ssl_perception.types import FloatArray, PointCloud

_USUAL_INTERVAL = 0.1  # s, assumed where both stamps are equal


class Scene(NamedTuple):
    """All that the registration of a cluster reads. Coordinates: from the source's sensor.

    ``source_time`` and ``target_time`` are fractions of the interval T; ``matched`` is per source
    voxel, ``explained`` and ``novel`` per target voxel, ``image`` the target's range image,
    ``field`` its cost field; ``height_limit`` is of the source.
    """

    source: VoxelGrid
    source_points: NDArray[np.float32]
    source_time: NDArray[np.float32]
    matched: NDArray[np.int32]
    target: VoxelGrid
    target_points: NDArray[np.float32]
    target_time: NDArray[np.float32]
    explained: NDArray[np.int32]
    novel: NDArray[np.bool_]
    image: RangeImage
    field: CostField
    parts: Components
    height_limit: HeightLimit


def build_scene(
    source: PointCloud,
    target: PointCloud,
    options: RigidClusterConfig,
    deadline: Deadline,
    workspace: Workspace,
    run_two: RunTwo,
    watch: Stopwatch,
) -> tuple[Scene | None, bool]:
    """Voxels that match without motion, what was occluded, and the clusters.

    Returns:
        The scene, None when the deadline passed meanwhile; and whether it covers the whole of
        ``options.max_range``.
    """
    start = time.perf_counter()
    # Everything below counts from the source's sensor: range is a norm, float32 is precise.
    origin = source.origin
    source_points, corners = local_points(source.points, origin, workspace, "source")
    target_points, target_corners = local_points(target.points, origin, workspace, "target")
    corners[0] = np.minimum(corners[0], target_corners[0])
    corners[1] = np.maximum(corners[1], target_corners[1])
    interval = target.stamp - source.stamp
    source_time, target_time = _relative_times(source, target, interval, workspace)
    longest = options.max_speed * abs(interval or _USUAL_INTERVAL)
    budget = workspace.range_budget
    reach = budget.affordable_range(
        source_points, target_points, options.max_range, deadline.remaining
    )

    middle = float(np.median(source_points[:: 1 + len(source_points) // 1024, 2]))
    lower, shape = grid_bounds(corners, middle, reach, longest + 1.0)
    (source_grid, source_view), (target_grid, target_view) = run_two(
        lambda: (
            voxel_grid(source_points, lower, shape, reach, workspace, "source_grid"),
            range_image(source_points, np.zeros(3, np.float32), workspace, "source_view"),
        ),
        lambda: (
            voxel_grid(
                target_points, lower, shape, reach + longest + 1.0, workspace, "target_grid"
            ),
            range_image(target_points, target.origin - origin, workspace, "target_view"),
        ),
    )
    watch.lap("voxels")
    points = len(source_points) + len(target_points)
    in_range = len(source_grid.order) + len(target_grid.order)

    if deadline.passed:
        budget.record(points, in_range, time.perf_counter() - start, complete=False)
        return None, False

    matched = workspace.array("matched", (len(source_grid.cell),), np.int32)
    explained = workspace.array("explained", (len(target_grid.cell),), np.int32)
    novel = workspace.array("novel", (len(target_grid.cell),), np.bool_)

    def cluster_source() -> Components:
        match_voxels(source_grid, target_grid, options.match_base, options.match_per_metre, matched)
        return connected_components(source_grid, source_points, matched, workspace)

    def spread_target() -> CostField:
        match_voxels(
            target_grid, source_grid, options.match_base, options.match_per_metre, explained
        )
        find_novel(target_grid.centroid, explained, source_view, novel)
        return cost_field(target_grid, longest, workspace)

    parts, field = run_two(cluster_source, spread_target)
    watch.lap("clusters")
    budget.record(points, in_range, time.perf_counter() - start)
    if deadline.passed:
        return None, False
    scene = Scene(
        source_grid,
        source_points,
        source_time,
        matched,
        target_grid,
        target_points,
        target_time,
        explained,
        novel,
        target_view,
        field,
        parts,
        height_limit(source_grid, options.max_height_above_ground, workspace),
    )
    return scene, reach == options.max_range


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
