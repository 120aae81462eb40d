"""A lidar as teacher: its newest sweep seen from the camera, and the gate that says when not to
trust it.

Each point is carried on from its own time to the image's by the sensor's velocity, projected into
the camera, and left out where something nearer hides it (``visibility``). What is left fills a
depth grid of two by two cells for each one of the student's: a sweep has not a point for each
pixel, but it has for most of these. Between the beams nothing is known, so a grid with
``Cue.LIDAR`` says where obstacles are and never that there are none (``obstacles.scan``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import CameraMountConfig, LidarMountConfig, LidarTeacherConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.depth.student.architecture import NANO
from ssl_perception.depth.teacher.visibility import visible
from ssl_perception.flow.online.deskew import deskew
from ssl_perception.flow.online.pose_buffer import body_from_sensor
from ssl_perception.frames import BODY_FROM_OPTICAL
from ssl_perception.types import (
    CameraImage,
    CameraModel,
    Cue,
    DepthMap,
    FloatArray,
    PointCloud,
    StereoPair,
    transformed,
)

CELLS = 2  # of the depth grid, along each side of one of the student's
NO_MOUNT = "it isn't known where the camera sits: set camera_mount, or give tf_static"


def camera_from_lidar(
    camera: CameraMountConfig, lidar: LidarMountConfig
) -> NDArray[np.float64] | None:
    """(4, 4) from the lidar's axes (REP 103) to the camera's optical ones (z forward, x right, y
    down); None while ``camera`` isn't set."""
    if camera == CameraMountConfig():
        return None
    body_from_optical = body_from_sensor(camera) @ BODY_FROM_OPTICAL
    return np.linalg.inv(body_from_optical) @ body_from_sensor(lidar)


class LidarTeacher:
    """Depth of what the camera sees, from the newest sweep.

    Args:
        options: range, ages, and the gate.
        camera_from_lidar: (4, 4) from the lidar's axes to the camera's optical ones; None: not
            known, then no depth map is valid.

    Attributes:
        camera_from_lidar: as given; it may be set later.
    """

    def __init__(
        self,
        options: LidarTeacherConfig | None = None,
        camera_from_lidar: NDArray[np.float64] | None = None,
    ) -> None:
        self.options = options or LidarTeacherConfig()
        self.camera_from_lidar = camera_from_lidar
        self._sweep: PointCloud | None = None
        self._twist: NDArray[np.float64] | None = None
        self._image, self._points = FrozenImage(), FrozenImage()
        self._frozen = False

    def add(self, sweep: PointCloud, twist: NDArray[np.float64] | None) -> None:
        """Take a sweep, in the order of time, for the images to come.

        Args:
            sweep: as the sensor gave it, without the robot's own points.
            twist: (6,) velocity of the sensor in its own axes, m/s, then rad/s; None: not known.
        """
        self._frozen = self._points.repeats(sweep.points.view(np.uint8), sweep.stamp)
        self._sweep, self._twist = sweep, twist

    def depth(self, frame: StereoPair | CameraImage) -> DepthMap:
        """Depth on a grid of 80x60 cells of the image; NaN where no beam met what the camera sees.

        A cell is the mean inverse depth of its points, as a cell of the pseudo-label is.
        """
        grid = depth_grid(frame.camera)
        frozen = self._image.repeats(frame.image, frame.stamp)
        depth = np.full((grid.height, grid.width), np.nan, np.float32)
        reason = frozen_reason("left") if frozen else self._objection(frame.stamp)
        if not reason:
            depth, reason = self._measured(frame.stamp, grid)
        confidence = np.isfinite(depth).astype(np.float32)
        return DepthMap(
            depth, grid, frame.stamp, Cue.LIDAR, not reason, reason, confidence=confidence
        )

    def _objection(self, stamp: float) -> str:
        """Why the sweep can't be used for an image of ``stamp``; empty: it can."""
        if self.camera_from_lidar is None:
            return NO_MOUNT
        if self._sweep is None:
            return "no sweep yet"
        return "sweep frozen: bit-identical to the previous one" if self._frozen else ""

    def _measured(self, stamp: float, grid: CameraModel) -> tuple[FloatArray, str]:
        """Depth on the grid (60, 80), and why it can't be trusted."""
        assert self._sweep is not None and self.camera_from_lidar is not None
        options, sweep = self.options, self._sweep
        later = stamp - sweep.stamp
        age = np.full(len(sweep), later) if sweep.time is None else later - sweep.time
        limit = options.max_age if self._twist is not None else options.max_age_unmoved
        fresh = np.abs(age) <= limit
        unknown = np.full((grid.height, grid.width), np.nan, np.float32)
        if not fresh.any():
            newest = float(np.abs(age).min()) if len(age) else np.nan
            lacking = "" if self._twist is not None else ", and the ego motion isn't known"
            return unknown, f"sweep too old: {newest:.2f} s, at most {limit:g} s{lacking}"
        points = sweep.points[fresh]
        if self._twist is not None:
            points = deskew(points, -age[fresh].astype(np.float32), self._twist)
        seen = transformed(points, self.camera_from_lidar)
        ahead = seen[seen[:, 2] >= max(options.min_depth, 1e-3)]
        column, row = cells(ahead, grid)
        inside = (column >= 0) & (column < grid.width) & (row >= 0) & (row < grid.height)
        ahead, place = ahead[inside], (row * grid.width + column)[inside]
        if options.occlusion:
            shown = visible(ahead, options.beam_gap)
            ahead, place = ahead[shown], place[shown]
        near = ahead[:, 2] <= options.max_depth
        depth = mean_depth(ahead[near, 2], place[near], grid)
        known = float(np.isfinite(depth).mean())
        if known < options.min_known:
            return (
                depth,
                f"too few points: in {known:.0%} of the cells, {options.min_known:.0%} asked",
            )
        return depth, ""


def depth_grid(camera: CameraModel) -> CameraModel:
    """The camera that sees the same view on the teacher's grid of 80x60 cells."""
    rows, columns = NANO.grid
    return camera.resized(CELLS * columns, CELLS * rows)


def cells(points: FloatArray, grid: CameraModel) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) column and row of the cell in which each point is seen; some lie outside the grid.

    Args:
        points: (N, 3) m in optical axes, all before the camera.
    """
    column, row = (np.floor(pixels + 0.5) for pixels in grid.project(points))
    size = 2**31  # a point beside the camera may be seen anywhere
    return np.clip(column, -1, size).astype(np.int64), np.clip(row, -1, size).astype(np.int64)


def mean_depth(z: FloatArray, place: NDArray[np.int64], grid: CameraModel) -> FloatArray:
    """(H, W) float32: harmonic mean of the depths (N,) that fall into each cell, NaN without any.

    Args:
        place: (N,) number of the cell, row by row.
    """
    size = grid.width * grid.height
    count = np.bincount(place, minlength=size)
    inverse = np.bincount(place, 1.0 / z, minlength=size)
    depth = np.full(size, np.nan, np.float32)
    known = count > 0
    depth[known] = count[known] / inverse[known]
    return depth.reshape(grid.height, grid.width)
