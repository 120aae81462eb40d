"""Static / moving segmentation before a solver that treats every point alike.

A point is matched when the other sweep has a point within the threshold of ``rigid_cluster``'s
static test (``match_base`` and ``match_per_metre``). Unmatched points alone are too few to register
(where an object overlaps its old place its points match by chance), so each connected cluster is
treated as a whole: solved if enough of it is unmatched, else static.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ssl_perception.config import RigidClusterConfig
from ssl_perception.types import BoolArray, FloatArray, PointCloud

VOXEL = 0.2  # m
LINK = 0.45  # m between voxels of one object near the sensor ...
LINK_PER_RANGE = 0.006  # ... and with range
MIN_UNMATCHED = 5  # voxels
MIN_SHARE = 0.1  # of a cluster's voxels
MAX_EXTENT = 20.0  # m; longer is a building


def moving_candidates(
    source: PointCloud, target: PointCloud, options: RigidClusterConfig
) -> tuple[BoolArray, BoolArray]:
    """Points of each cloud that may have moved; the rest is static.

    Args:
        source, target: ego-compensated and ground-free, in one frame.
        options: the static test's threshold.

    Returns:
        (N,) and (M,) masks.
    """
    return (
        _candidates(source.points, target.points, source.origin, options),
        _candidates(target.points, source.points, target.origin, options),
    )


def _candidates(
    points: FloatArray, other: FloatArray, origin: FloatArray, options: RigidClusterConfig
) -> BoolArray:
    if len(points) == 0 or len(other) == 0:
        return np.zeros(len(points), np.bool_)
    centres, voxel_of_point = voxels(points, VOXEL)
    reach = np.linalg.norm(centres[:, :2] - origin[:2], axis=1)
    radius = options.match_base + options.match_per_metre * reach
    distance, _ = cKDTree(other).query(centres, distance_upper_bound=float(radius.max()))
    unmatched = distance > radius
    labels = clusters(centres, LINK + LINK_PER_RANGE * reach)
    size = np.bincount(labels)
    novel = np.bincount(labels, unmatched)
    extent = np.zeros(len(size))
    for axis in range(2):
        low, high = np.full(len(size), np.inf), np.full(len(size), -np.inf)
        np.minimum.at(low, labels, centres[:, axis])
        np.maximum.at(high, labels, centres[:, axis])
        extent = np.maximum(extent, high - low)
    chosen = (novel >= MIN_UNMATCHED) & (novel >= MIN_SHARE * size) & (extent < MAX_EXTENT)
    return chosen[labels][voxel_of_point]


def moving_clusters(cloud: PointCloud, moving: BoolArray) -> NDArray[np.int32]:
    """Cluster of each moving point (N,); -1 where nothing moves."""
    labels = np.full(len(cloud), -1, np.int32)
    points = cloud.points[moving]
    if len(points):
        centres, voxel_of_point = voxels(points, VOXEL)
        reach = np.linalg.norm(centres[:, :2] - cloud.origin[:2], axis=1)
        labels[moving] = clusters(centres, LINK + LINK_PER_RANGE * reach)[voxel_of_point]
    return labels


def voxels(points: FloatArray, edge: float) -> tuple[FloatArray, NDArray[np.intp]]:
    """Occupied voxels of a cloud: centroids (V, 3), and each point's voxel (N,)."""
    cells = np.floor(points / np.float32(edge)).astype(np.int64)
    cells -= cells.min(axis=0)
    spans = cells.max(axis=0) + 1
    keys = (cells[:, 0] * spans[1] + cells[:, 1]) * spans[2] + cells[:, 2]
    _, voxel_of_point, counts = np.unique(keys, return_inverse=True, return_counts=True)
    centres = np.empty((len(counts), 3), np.float32)
    for axis in range(3):
        centres[:, axis] = np.bincount(voxel_of_point, points[:, axis]) / counts
    return centres, voxel_of_point


def clusters(centres: FloatArray, radius: FloatArray) -> NDArray[np.int32]:
    """Connected components: (V,) labels; two points link within the smaller of their radii."""
    pairs = cKDTree(centres).query_pairs(float(radius.max()), output_type="ndarray")
    gap = np.linalg.norm(centres[pairs[:, 0]] - centres[pairs[:, 1]], axis=1)
    pairs = pairs[gap <= np.minimum(radius[pairs[:, 0]], radius[pairs[:, 1]])]
    ones = np.ones(len(pairs), np.bool_)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(len(centres), len(centres)))
    return connected_components(graph, directed=False)[1]
