"""What is known about the student's reliability, and which cue obstacle distance comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ssl_perception.depth.trust.statistics import UNTESTED, Tally
from ssl_perception.types import ActiveCue


@dataclass(frozen=True)
class Observation:
    """What both cues say of one frame.

    Attributes:
        stamp: seconds.
        stereo_valid: the teacher's own verdict.
        stereo, mono: distance of the nearest obstacle ahead, metres; +Inf clear, NaN unknown.
        bias: median over the image of log(mono / stereo); NaN unless both are known.
        mono_partial: mono sees nothing near ahead, and isn't certain of all of it: no test of the
            student, but an answer for the sectors that it is certain of.
        stereo_reason, mono_reason: why the cue is invalid; empty when it is valid.
    """

    stamp: float
    stereo_valid: bool
    stereo: float
    mono: float
    bias: float = math.nan
    mono_partial: bool = False
    stereo_reason: str = ""
    mono_reason: str = ""


@dataclass(frozen=True)
class Trust:
    """The evidence for and against the student, and what follows from it.

    Attributes:
        active_cue: where obstacle distance comes from now.
        reason: why, in a few words, for ``/diagnostics``.
        trusted: the student has passed its tests and not failed since.
        under_stereo, under_mono: the tests that judge it, by the cue that controlled the robot.
        calibration: its distances to the newest near obstacles set aside for the threshold. A
            student that still learns is not the one of a minute ago, whose predictions would
            calibrate a student that no longer exists.
        set_aside: the next near obstacle is for calibration.
        threshold: the student's distance, metres, below which it means an obstacle within
            ``trigger``.
        last_sample: stamp of the newest test; -Inf before the first.
        travelled: metres since the newest test; 0 without odometry.
        place: frame of the odometry, and x, y, z in it, up to which ``travelled`` counts.
        good_frames: valid stereo frames in a row.
        bias_fast, bias_slow, bias_count: of log(mono / stereo), short and long running mean.
        teacher_suspect: stereo has suddenly parted from a student that knows this place.
        drift_sum, drift_low, drift_mean, drift_count: Page-Hinkley test on the student's error.
        override_sum: excess nearness in the frames up to now.
        overriding: stereo overrides mono at this moment.
        overrides: how often it has.
    """

    active_cue: ActiveCue = ActiveCue.NONE
    reason: str = "no frame yet"
    trusted: bool = False
    under_stereo: Tally = UNTESTED
    under_mono: Tally = UNTESTED
    calibration: tuple[float, ...] = ()
    set_aside: bool = True
    threshold: float = math.nan
    last_sample: float = -math.inf
    travelled: float = 0.0
    place: tuple[str, float, float, float] | None = None
    good_frames: int = 0
    bias_fast: float = 0.0
    bias_slow: float = 0.0
    bias_count: int = 0
    teacher_suspect: bool = False
    drift_sum: float = 0.0
    drift_low: float = 0.0
    drift_mean: float = 0.0
    drift_count: int = 0
    override_sum: float = 0.0
    overriding: bool = False
    overrides: int = 0
