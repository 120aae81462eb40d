"""The cues, one obstacle scan: the stage at which stereo, mono and lidar meet."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ssl_perception.config import LidarMountConfig, LidarScanConfig, ScanConfig, TrustConfig
from ssl_perception.depth.trust.state import Observation, Trust
from ssl_perception.depth.trust.travel import travel
from ssl_perception.depth.trust.update import update, update_without_student
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.obstacles.carry import carried, motion_of
from ssl_perception.obstacles.fusion import fuse_scans
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import (
    ActiveCue,
    CameraModel,
    Cue,
    DepthMap,
    FloatArray,
    ObstacleScan,
    Odometry,
)


@dataclass(frozen=True, eq=False)
class Fused:
    """What the two cues give together.

    Attributes:
        scan: what the robot may rely on; all unknown when no cue can be trusted and there is no
            lidar.
        stereo: the scan of the teacher alone, whichever sensor it is.
        mono: the scan of mono alone; None where there is no student.
        trust: the state after this frame.
    """

    scan: ObstacleScan
    stereo: ObstacleScan
    mono: ObstacleScan | None
    trust: Trust


class CueFusion:
    """Chooses the cue by trust, frame after frame.

    Args:
        scan: settings of the obstacle scan.
        options: settings of trust.
        trust: the state to start from; None: nothing is known about the student.
        lidar_scan: settings of the lidar's scan.
        mount: where the lidar is on the body that odometry speaks of.

    Attributes:
        trust: the state after the last frame.
    """

    def __init__(
        self,
        scan: ScanConfig,
        options: TrustConfig,
        trust: Trust | None = None,
        lidar_scan: LidarScanConfig | None = None,
        mount: LidarMountConfig | None = None,
    ) -> None:
        self._scan = scan
        self._options = options
        self._lidar_scan = lidar_scan or LidarScanConfig()
        self._mount = mount or LidarMountConfig()
        self._max_age = self._lidar_scan.max_age
        self._bodies = PoseBuffer(LidarMountConfig())
        self.trust = trust or Trust()

    def mount_camera(self, scan: ScanConfig) -> None:
        """Take the settings of a camera that is mounted otherwise; trust and poses go on."""
        self._scan = scan

    def travel(self, odometry: Odometry) -> None:
        """Take a pose of the robot: trust lapses after ``max_distance`` without a test, and the
        lidar's scan is carried to the image by it."""
        self._bodies.add(odometry)
        self.trust = travel(self.trust, odometry)

    def update(
        self,
        stereo: DepthMap,
        mono: DepthMap | None,
        label: FloatArray | None = None,
        lidar: ObstacleScan | None = None,
    ) -> Fused:
        """One frame.

        Args:
            stereo: the teacher's, of this image; an invalid one gives the reason.
            mono: of the same image; None: there is no student.
            label: log depth of stereo on the student's grid (``pseudo_label``), against
                which the bias of mono is measured; None: not measured.
            lidar: the newest sweep's scan, which no trust hangs on; None: there is none. It is
                carried to the image's stamp, as far as the robot's motion is known.
        """
        lidar = self._at(lidar, stereo.stamp)
        stereo_scan = obstacle_scan(stereo, self._scan)
        if stereo.cue is Cue.LIDAR and stereo.valid:
            # between the beams of its depth nothing is known; the sweep's scan knows what is free
            stereo_scan = fuse_scans(stereo_scan, lidar, self._max_age)
        seen = Observation(
            stamp=stereo.stamp,
            stereo_valid=stereo.valid,
            stereo=nearest_ahead(stereo_scan, self._options.ahead),
            mono=math.nan,
            stereo_reason=stereo.reason,
        )
        if mono is None:
            self.trust = update_without_student(self.trust, seen)
            scan = fuse_scans(stereo_scan, lidar, self._max_age)
            return Fused(scan, stereo_scan, None, self.trust)
        mono_scan = obstacle_scan(mono, self._scan)
        nearest = nearest_ahead(mono_scan, self._options.ahead)
        certain = nearest_ahead(mono_scan, self._options.ahead, self._options.trigger)
        seen = replace(
            seen,
            mono=certain,
            mono_partial=math.isnan(certain) and not math.isnan(nearest),
            bias=_bias(mono, label),
            mono_reason=mono.reason,
        )
        self.trust = update(self.trust, seen, self._options)
        scan = fuse(self.trust, stereo_scan, mono_scan, self._options)
        scan = fuse_scans(scan, lidar, self._max_age)
        return Fused(scan, stereo_scan, mono_scan, self.trust)

    def _at(self, lidar: ObstacleScan | None, stamp: float) -> ObstacleScan | None:
        """The lidar's scan as it is at an image's stamp; None: there is none, or it is too old."""
        if lidar is None or abs(stamp - lidar.stamp) > self._max_age:
            return None
        motion = motion_of(lidar, stamp, self._bodies, self._mount, self._lidar_scan)
        return lidar if motion is None else carried(lidar, motion, stamp, self._lidar_scan.blind)


def fuse(
    trust: Trust, stereo: ObstacleScan, mono: ObstacleScan, options: TrustConfig
) -> ObstacleScan:
    """The scan that the robot gets: of the active cue.

    Guarded: the nearer of both; where one is unknown, the other. No cue: all unknown.
    """
    if trust.active_cue is ActiveCue.STEREO:
        return stereo
    scaled = calibrated(mono, trust.threshold, options)
    if trust.active_cue is ActiveCue.MONO:
        return scaled
    if trust.active_cue is ActiveCue.GUARDED:
        if trust.overriding:
            return stereo
        return replace(scaled, ranges=np.fmin(stereo.ranges, scaled.ranges))
    return replace(mono, ranges=np.full_like(mono.ranges, np.nan), cue=Cue.NONE)


def calibrated(mono: ObstacleScan, threshold: float, options: TrustConfig) -> ObstacleScan:
    """Mono's scan scaled by trigger / threshold, so that an obstacle at ``trigger`` reads so.

    Args:
        threshold: m; NaN: not calibrated yet, the scan stays as it is.
    """
    scale = np.float32(options.trigger / threshold if threshold > 0 else 1.0)
    return replace(mono, ranges=mono.ranges * scale)


def absent(cue: Cue, camera: CameraModel, stamp: float, reason: str) -> DepthMap:
    """The depth map of a cue that gave none: invalid, unknown everywhere."""
    unknown = np.full((camera.height, camera.width), np.nan, np.float32)
    return DepthMap(unknown, camera, stamp, cue, valid=False, reason=reason)


def _bias(mono: DepthMap, label: FloatArray | None) -> float:
    """Median over the image of log(mono / stereo); NaN unless both are known."""
    if label is None or not mono.valid or mono.depth.shape != label.shape:
        return math.nan
    known = np.isfinite(label) & (mono.depth > 0)
    if not known.any():
        return math.nan
    return float(np.median(np.log(mono.depth[known]) - label[known]))
