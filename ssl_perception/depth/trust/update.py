"""May mono be used? The trust state after one more frame: a pure function of what both cues say.

Each frame on which both cues are known is a test that the student has not learnt from yet
(prequential evaluation): did it detect an obstacle where stereo measured one (true positive rate),
did it report one where there was none (false positive rate)? The tallies are kept apart by the cue
in control, because a student in control makes the robot see other images than its teacher did:
good rates under stereo say little about rates under mono (feedback-induced bias; van Hecke et al.,
arXiv 1603.08047). Frames closer in time than ``sample_interval`` count once, so that the Wilson
bounds mean what they say.

Every other near obstacle calibrates the threshold, the rest judge it: a threshold judged by the
samples that it was fitted to always looks good. What is kept of a test is the student's distance,
judged by the current threshold, not by the one of its time.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.state import Observation, Trust
from ssl_perception.depth.trust.statistics import (
    UNTESTED,
    RateBounds,
    Tally,
    calibrate,
    rate_bounds,
)
from ssl_perception.types import ActiveCue

_BIAS_FAST, _BIAS_SLOW = 0.4, 0.005  # rates of the running means: 2 frames, 200 frames
_BIAS_FRAMES = 300  # before the usual bias is known
_ROUNDING = 1e-6  # s; three tenths of a second are not always three tenths apart


def update(trust: Trust, seen: Observation, options: TrustConfig) -> Trust:
    """The state after one more frame."""
    trust = _watch_teacher(trust, seen, options)
    teacher = seen.stereo_valid and not trust.teacher_suspect
    if teacher and not math.isnan(seen.stereo) and not math.isnan(seen.mono):
        trust = _test_student(trust, seen, options)
    return _choose(trust, seen, teacher, options)


def update_without_student(trust: Trust, seen: Observation) -> Trust:
    """The state where there is no student at all: stereo, or nothing."""
    if seen.stereo_valid:
        return replace(trust, active_cue=ActiveCue.STEREO, reason="stereo is valid")
    reason = f"stereo is invalid: {seen.stereo_reason or 'no reason given'}"
    return replace(trust, active_cue=ActiveCue.NONE, reason=reason)


def _watch_teacher(trust: Trust, seen: Observation, options: TrustConfig) -> Trust:
    """Stereo fails at once and recovers slowly. Where the two cues suddenly part in a place that
    the student knows, a camera has moved; in a place that it doesn't know, the student is wrong
    (and invalid, so that there is no bias).
    """
    good = trust.good_frames + 1 if seen.stereo_valid else 0
    trust = replace(trust, good_frames=good)
    if math.isnan(seen.bias):
        return trust
    fast = trust.bias_fast + _BIAS_FAST * (seen.bias - trust.bias_fast)
    jump = abs(fast - trust.bias_slow) > options.bias_jump
    suspect = trust.bias_count >= _BIAS_FRAMES and trust.trusted and jump
    # While the cues part, what is usual is not learnt from them, or the fault would become usual.
    rate = 0.0 if suspect else max(_BIAS_SLOW, 1.0 / (trust.bias_count + 1))
    slow = trust.bias_slow + rate * (seen.bias - trust.bias_slow)
    return replace(
        trust,
        bias_fast=fast,
        bias_slow=slow,
        bias_count=trust.bias_count + 1,
        teacher_suspect=suspect,
    )


def _test_student(trust: Trust, seen: Observation, options: TrustConfig) -> Trust:
    if seen.stamp - trust.last_sample < options.sample_interval - _ROUNDING:
        return trust
    trust = _file(trust, seen, options)
    threshold = calibrate(trust.calibration, options)

    # Page-Hinkley: the running sum of (error - usual error - slack) rises far above its minimum.
    far = options.threshold_cap
    error = abs(math.log(max(min(seen.mono, far), 0.05) / max(min(seen.stereo, far), 0.05)))
    count = trust.drift_count + 1
    mean = trust.drift_mean + (error - trust.drift_mean) / count
    total = trust.drift_sum + error - mean - options.drift_slack
    low = min(trust.drift_low, total)
    drifted = total - low > options.drift_limit
    trust = replace(
        trust,
        last_sample=seen.stamp,
        travelled=0.0,
        threshold=threshold,
        drift_sum=total,
        drift_low=low,
        drift_mean=mean,
        drift_count=count,
    )
    if not drifted:
        return judge(trust, options)
    # The student is no longer the one that was tested: its statistics start anew.
    return replace(
        trust,
        trusted=False,
        under_stereo=UNTESTED,
        under_mono=UNTESTED,
        calibration=(),
        threshold=math.nan,
        drift_sum=0.0,
        drift_low=0.0,
        drift_mean=0.0,
        drift_count=0,
    )


def _file(trust: Trust, seen: Observation, options: TrustConfig) -> Trust:
    """Put the test where it belongs; the oldest ones make room."""
    near = seen.stereo < options.trigger
    if near and trust.set_aside:
        newest = (*trust.calibration, seen.mono)[-options.near_window :]
        return replace(trust, calibration=newest, set_aside=False)
    mono_controls = trust.active_cue in (ActiveCue.GUARDED, ActiveCue.MONO)
    name = "under_mono" if mono_controls else "under_stereo"
    tally: Tally = getattr(trust, name)
    if near:
        tally = tally._replace(near=(*tally.near, seen.mono)[-options.near_window :])
    elif seen.stereo >= options.trigger * (1.0 + options.margin):
        tally = tally._replace(clear=(*tally.clear, seen.mono)[-options.clear_window :])
    fields: dict[str, Any] = {name: tally, "set_aside": near or trust.set_aside}
    return replace(trust, **fields)


def judge(trust: Trust, options: TrustConfig) -> Trust:
    """Grant or revoke trust by the tallies.

    Trust is granted under stereo at the entry bounds, and revoked at the laxer exit bounds on the
    images that the student in control makes the robot see. A few tests are enough to be clearly
    bad; to be good takes a full tally. Revocation resets the statistics: the tests that trust was
    granted for belong to a student that no longer deserves it, and those that it was revoked for
    would count against the student for ever.
    """
    if math.isnan(trust.threshold):
        return replace(trust, trusted=False)
    if not trust.trusted:
        passed = _passes(rate_bounds(trust.under_stereo, trust.threshold, options.z), 0.0, options)
        return replace(trust, trusted=True) if passed else trust
    newest = trust.under_mono if any(trust.under_mono) else trust.under_stereo
    marks = rate_bounds(newest, trust.threshold, options.z)
    full = marks.positives >= options.near_window
    if not _fails(marks, options) and (not full or _passes(marks, options.hysteresis, options)):
        return trust
    return replace(trust, trusted=False, under_stereo=UNTESTED, under_mono=UNTESTED)


def _passes(marks: RateBounds, slack: float, options: TrustConfig) -> bool:
    return (
        marks.positives >= options.min_positives
        and marks.tpr_lower >= options.min_tpr - slack
        and marks.fpr_upper <= options.max_fpr + slack
    )


def _fails(marks: RateBounds, options: TrustConfig) -> bool:
    return marks.tpr_upper < options.min_tpr or marks.fpr_lower > options.max_fpr


def _choose(trust: Trust, seen: Observation, teacher: bool, options: TrustConfig) -> Trust:
    age = seen.stamp - trust.last_sample
    known = seen.mono_partial or not math.isnan(seen.mono)
    lapsed = age > options.max_age or trust.travelled > options.max_distance
    mono = trust.trusted and known and not lapsed
    recovered = trust.good_frames >= options.recover_frames
    if teacher and (recovered or trust.active_cue is ActiveCue.STEREO):
        if mono and options.mono_drives:
            trust = guard(trust, seen, options)
            reason = "stereo overrides mono" if trust.overriding else "mono is trusted"
            return replace(trust, active_cue=ActiveCue.GUARDED, reason=reason)
        active, reason = ActiveCue.STEREO, "stereo is valid"
    else:
        if not seen.stereo_valid:
            stereo = f"stereo is invalid: {seen.stereo_reason or 'no reason given'}"
        elif trust.teacher_suspect:
            stereo = "stereo and mono disagree in a known place"
        else:
            frames = f"{trust.good_frames} of {options.recover_frames} good frames"
            stereo = f"stereo is recovering: {frames}"
        active = ActiveCue.MONO if mono else ActiveCue.NONE
        reason = f"{stereo}; " + ("mono is trusted" if mono else _objection(trust, seen, age))
    return replace(trust, active_cue=active, reason=reason, override_sum=0.0, overriding=False)


def _objection(trust: Trust, seen: Observation, age: float) -> str:
    if math.isnan(seen.mono) and not seen.mono_partial:
        return f"mono is invalid: {seen.mono_reason}" if seen.mono_reason else "mono is unknown"
    if not trust.trusted:
        return "mono is not trusted yet"
    return f"last test {age:.0f} s and {trust.travelled:.0f} m ago"


def guard(trust: Trust, seen: Observation, options: TrustConfig) -> Trust:
    """The training wheels: stereo overrides where the student misses an imminent obstacle.

    Excess nearness adds up over successive frames in which stereo measures an obstacle within
    ``override`` that the student calls free, and any other frame resets it; so a very near one
    takes two frames, a marginal one several, a single wrong frame nothing.
    """
    imminent = seen.stereo < options.override
    missed = imminent and not seen.mono < trust.threshold
    if trust.overriding:
        return trust if imminent else replace(trust, overriding=False, override_sum=0.0)
    if not missed:
        return replace(trust, override_sum=0.0)
    total = trust.override_sum + options.override / max(seen.stereo, 0.05)
    if total <= options.override_sum:
        return replace(trust, override_sum=total)
    return replace(trust, override_sum=total, overriding=True, overrides=trust.overrides + 1)
