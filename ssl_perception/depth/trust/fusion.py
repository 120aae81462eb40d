"""Two cues, one answer: what stereo and mono say, weighed by trust, as one obstacle scan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ssl_perception.config import ScanConfig, TrustConfig
from ssl_perception.depth.teacher.pseudo_label import label
from ssl_perception.depth.trust.state import (
    Evidence,
    Trust,
    fuse,
    update,
)
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    ObstacleScan,
)


@dataclass(frozen=True, eq=False)
class Weighed:
    """What the two cues came to.

    Attributes:
        scan: what the robot may rely on; all unknown when nobody can be trusted.
        stereo, mono: what each cue says by itself.
        trust: the state after this frame.
    """

    scan: ObstacleScan
    stereo: ObstacleScan
    mono: ObstacleScan
    trust: Trust


def weigh(
    trust: Trust,
    stereo: DepthMap,
    mono: DepthMap,
    scan_options: ScanConfig,
    options: TrustConfig,
    novelty: float = 0.0,
) -> Weighed:
    """One frame of both cues.

    Args:
        trust: the state so far (``Trust()`` at the start).
        stereo: of this instant; an invalid one says that there is none.
        mono: of the same image; an invalid one says that there is no model.
        scan_options: of the scan.
        options: of trust.
        novelty: distance of the image's feature to the student's memory (``Prediction.novelty``).
    """
    scans = obstacle_scan(stereo, scan_options), obstacle_scan(mono, scan_options)
    return weigh_scans(trust, *scans, options, _bias(stereo, mono), novelty)


def weigh_scans(
    trust: Trust,
    stereo: ObstacleScan,
    mono: ObstacleScan,
    options: TrustConfig,
    bias: float = math.nan,
    novelty: float = 0.0,
) -> Weighed:
    """``weigh`` for scans: of a cue that gives no depth image, say.

    Args:
        stereo, mono: each cue's scan; one with ``Cue.NONE`` says that the cue is invalid.
        bias: median over the image of log(mono / stereo); NaN unless both are there.
    """
    evidence = Evidence(
        stamp=stereo.stamp,
        stereo_valid=stereo.cue is not Cue.NONE,
        stereo=nearest_ahead(stereo, options.ahead),
        mono=nearest_ahead(mono, options.ahead),
        bias=bias,
        novel=novelty > options.novelty,
    )
    trust = update(trust, evidence, options)
    return Weighed(fuse(trust, stereo, mono, options), stereo, mono, trust)


def absent(cue: Cue, camera: CameraModel, stamp: float, reason: str) -> DepthMap:
    """What a cue says that says nothing: an invalid depth map, unknown everywhere."""
    unknown = np.full((camera.height, camera.width), np.nan, np.float32)
    return DepthMap(unknown, camera, stamp, cue, valid=False, reason=reason)


def _bias(stereo: DepthMap, mono: DepthMap) -> float:
    """Median over the image of log(mono / stereo); NaN unless both are there."""
    if not mono.valid:
        return math.nan
    target = label(stereo)
    if target is None:
        return math.nan
    known = np.isfinite(target)
    if not known.any():
        return math.nan
    return float(np.median(np.log(mono.depth[known]) - target[known]))
