"""Does stereo measure what the lidar measures? A wrong baseline, focal length or toe-in gives depth
that looks perfect; only another sensor can tell.

Inverse depth of a rectified pair is ``(disparity - toe_in) / (fx * baseline)``, so that between
stereo and lidar it is a line: its slope is off when ``fx * baseline`` is, its offset when the
cameras have turned against each other. Where the lidar's picture fits only if left and right are
exchanged, its driver mirrors y, which no sweep shows by itself.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

from ssl_perception.config import Config, LidarTeacherConfig
from ssl_perception.depth.teacher.lidar import LidarTeacher, camera_from_lidar
from ssl_perception.types import DepthMap, PointCloud, StereoPair

PARTS = 3  # of a cell, along each side, at which stereo is looked up
PERIOD = 0.5  # s between comparisons
KEPT = 10  # comparisons of which the median counts
ENOUGH = 4  # of them
MIN_CELLS = 60  # in which both see something
MIN_SPREAD = 2.0  # ratio of far to near depths; less doesn't tell slope from offset
MAX_OFFSET = 2.0  # px
MAX_SCALE = 1.12  # and 1 / 1.12
SAMPLE = 300  # cells of a comparison that are fitted
LIKE, UNLIKE = 0.6, 0.3  # correlation of the pictures: exchanged at least, straight at most


class LidarCheck:
    """Compares stereo with the lidar now and then.

    Args:
        options: of the lidar seen from the camera.
        camera_from_lidar: (4, 4) from the lidar's axes to the left camera's optical ones.

    Attributes:
        doubt: empty, or what seems wrong, in one line that stays the same while it does.
    """

    def __init__(self, options: LidarTeacherConfig, camera_from_lidar: NDArray[np.float64]) -> None:
        self._lidar = LidarTeacher(options, camera_from_lidar)
        self._fits: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._likeness: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._stamp = -np.inf
        self.doubt = ""

    def add(self, sweep: PointCloud, twist: NDArray[np.float64] | None) -> None:
        """Take a sweep, without the robot's own points, and the sensor's velocity (6,)."""
        self._lidar.add(sweep, twist)

    def compare(self, stereo: DepthMap, pair: StereoPair) -> None:
        """Take what stereo made of a pair; most pairs are passed over."""
        if not stereo.valid or 0.0 <= pair.stamp - self._stamp < PERIOD:
            return
        measured = self._lidar.depth(pair)
        if not measured.valid:
            return
        self._stamp = pair.stamp
        sampled = _medians(stereo.depth, measured.depth.shape)
        self._likeness.append(
            (_likeness(sampled, measured.depth), _likeness(sampled, measured.depth[:, ::-1]))
        )
        fitted = fit(stereo.depth, measured.depth)
        if fitted is not None:
            slope, offset = fitted
            self._fits.append((slope, offset * pair.camera.fx * pair.baseline))
        self._judge()

    def _judge(self) -> None:
        wrong = ""
        if len(self._likeness) >= ENOUGH:
            straight, mirrored = np.median(np.array(self._likeness), axis=0)
            if mirrored > LIKE and straight < UNLIKE:
                wrong = "they see mirror images: is the lidar's y mirrored"
        if not wrong and len(self._fits) >= ENOUGH:
            scale, pixels = np.median(np.array(self._fits), axis=0)
            if abs(pixels) > MAX_OFFSET:
                wrong = f"disparities are {pixels:+.1f} px off: a camera has turned (toe-in)"
            elif not 1.0 / MAX_SCALE < scale < MAX_SCALE:
                wrong = f"depth is {1.0 / scale:.2f} times the lidar's: check baseline and fx"
        if bool(wrong) != bool(self.doubt):
            where = ", or the camera's place (camera_mount, tf_static)"
            self.doubt = f"stereo and lidar disagree: {wrong}{where}" if wrong else ""


def make_check(config: Config, measured: NDArray[np.float64] | None = None) -> LidarCheck | None:
    """None where the teacher isn't stereo, or nothing says where the camera sits.

    Args:
        config: sections ``teacher``, ``camera_mount`` and ``lidar_mount``.
        measured: (4, 4) as of ``make_teacher``.
    """
    mount = camera_from_lidar(config.camera_mount, config.lidar_mount)
    mount = measured if mount is None else mount
    if config.teacher.source != "stereo" or mount is None:
        return None
    return LidarCheck(config.teacher.lidar, mount)


def fit(stereo: NDArray[np.floating], lidar: NDArray[np.floating]) -> tuple[float, float] | None:
    """Slope and offset (1/m) of stereo's inverse depth over the lidar's (Theil-Sen).

    Args:
        stereo: (H, W) m, NaN unknown.
        lidar: (h, w) m of the same view on a coarser grid, NaN unknown.

    Returns:
        None where too few cells are seen by both, or all at about one depth.
    """
    sampled = _medians(stereo, lidar.shape)
    both = np.isfinite(sampled) & np.isfinite(lidar) & (sampled > 0.0) & (lidar > 0.0)
    if np.count_nonzero(both) < MIN_CELLS:
        return None
    x, y = 1.0 / lidar[both].astype(np.float64), 1.0 / sampled[both].astype(np.float64)
    low, high = np.percentile(x, [10, 90])
    if high < MIN_SPREAD * low:
        return None
    chosen = np.linspace(0, len(x) - 1, min(len(x), SAMPLE)).astype(np.intp)
    slope, offset, _, _ = theilslopes(y[chosen], x[chosen])
    return float(slope), float(offset)


def _likeness(stereo: NDArray[np.floating], lidar: NDArray[np.floating]) -> float:
    """Correlation of two pictures' inverse depths, in the cells that both know; 0: too few do."""
    both = np.isfinite(stereo) & np.isfinite(lidar) & (stereo > 0.0) & (lidar > 0.0)
    if np.count_nonzero(both) < MIN_CELLS:
        return 0.0
    inverse = 1.0 / np.stack([stereo[both], lidar[both]]).astype(np.float64)
    if (np.ptp(inverse, axis=1) == 0.0).any():
        return 0.0
    return float(np.asarray(np.corrcoef(inverse))[0, 1])


def _medians(depth: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """The depth on a coarser grid of this shape: the median of some pixels of each cell that are
    known; NaN where none is."""
    places = [
        ((np.arange(PARTS * cells) + 0.5) * size / (PARTS * cells)).astype(np.intp)
        for cells, size in zip(shape, depth.shape, strict=True)
    ]
    parts = depth[np.ix_(*places)].reshape(shape[0], PARTS, shape[1], PARTS)
    parts = np.sort(parts.transpose(0, 2, 1, 3).reshape(*shape, PARTS * PARTS), axis=-1)
    known = np.isfinite(parts).sum(axis=-1, keepdims=True)  # NaN comes last
    middle = np.take_along_axis(parts, np.maximum(known - 1, 0) // 2, axis=-1)
    return np.asarray(middle[..., 0])
