"""Depth images and obstacle scans as PointCloud2, for consumers that take nothing else."""

from __future__ import annotations

import numpy as np

from ssl_perception.io.point_cloud2 import FLOAT32, PackedCloud, PointField
from ssl_perception.io.scan_encoding import WHOLE_CIRCLE, Encoding, encoded_scan
from ssl_perception.types import DepthMap, FloatArray, ObstacleScan

SPACING = 0.05  # m between the points of a sector; a usual cell of a costmap
_FIELDS = tuple(PointField(name, 4 * i, FLOAT32) for i, name in enumerate("xyz"))
_BLOCKED = Encoding(unknown="range_min", too_close="range_min")


def depth_points(depth: DepthMap) -> PackedCloud:
    """One point a pixel, in the camera's optical axes, rows and columns as in the image.

    NaN where depth is unknown; everywhere, where the depth map isn't valid.
    """
    height, width = depth.depth.shape
    camera = depth.camera
    points = np.full((height, width, 3), np.nan, np.float32)
    if depth.valid:
        u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        points[..., 0] = depth.depth * ((u - np.float32(camera.cx)) / np.float32(camera.fx))
        points[..., 1] = depth.depth * ((v - np.float32(camera.cy)) / np.float32(camera.fy))
        points[..., 2] = depth.depth
    dense = bool(np.isfinite(depth.depth).all()) and depth.valid
    return _packed(points, depth.camera.frame, dense)


def obstacle_points(scan: ObstacleScan, view: float = WHOLE_CIRCLE) -> PackedCloud:
    """Points on the near side of whatever stands in a sector, in the scan's frame, z = 0.

    A PointCloud2 has no word for unknown, and no points mean free: so unknown sectors, and those
    with something too close, are an obstacle at ``range_min``. A clear sector has no points. Those
    of a sector are ``SPACING`` apart, on its whole width.

    Args:
        view: rad, centred ahead, in which directions are looked at: unknown sectors beyond it have
            no points, or a camera that looks ahead would wall the robot in.
    """
    sent = encoded_scan(scan, _BLOCKED, view)
    assert sent is not None, "it is never silent"
    rows = [
        distance * np.stack([np.cos(across), np.sin(across), np.zeros_like(across)], -1)
        for angle, distance in zip(sent.angles, sent.ranges, strict=True)
        if np.isfinite(distance)
        for across in [_arc(float(angle), scan.angle_increment, float(distance))]
    ]
    points = np.concatenate(rows) if rows else np.empty((0, 3))
    return _packed(points.astype(np.float32)[None], scan.frame, True)


def _arc(angle: float, width: float, distance: float) -> FloatArray:
    """Angles across a sector, its edges left out, so far apart that points are ``SPACING``."""
    count = max(1, int(np.ceil(abs(width) * distance / SPACING)))
    steps = (np.arange(count) + 0.5) / count - 0.5
    return np.asarray(angle + steps * width, np.float32)


def _packed(points: FloatArray, frame: str, dense: bool) -> PackedCloud:
    height, width = points.shape[:2]
    data = np.ascontiguousarray(points, "<f4").view(np.uint8).reshape(-1)
    return PackedCloud(frame, _FIELDS, 12, data, width, dense, height)
