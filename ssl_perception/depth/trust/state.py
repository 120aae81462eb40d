"""May the student drive? Pure functions over evidence; nothing here sees an image.

Each frame on which both cues speak is a test that the student has not learnt from yet: did it call
an obstacle where stereo saw one (true positive rate), did it call one where there was none (false
positive rate)? The tallies are kept apart by who was driving, because a student that drives badly
sees other pictures than its teacher did: good marks under stereo say little about marks under
mono (feedback-induced bias; van Hecke et al., arXiv 1603.08047). Frames closer in time than
``sample_interval`` count once, so that the Wilson bounds mean what they say.

Every other near obstacle calibrates the threshold, the rest judge it: a threshold that is judged
by what it was made from always looks good. What is kept of a test is the student's distance, and
it is judged by the threshold of now: "said" of a minute ago would be another threshold's verdict.

The original flight code computed these rates with "obstacle" and "free" swapped, and left the
switch to an operator. Here: TPR = TP / (TP + FN), FPR = FP / (FP + TN), obstacle is positive, and
the switch is ``update``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from ssl_perception.config import TrustConfig
from ssl_perception.types import Cue, ObstacleScan

_BIAS_FAST, _BIAS_SLOW = 0.4, 0.005  # rates of the running means: 2 frames, 200 frames
_BIAS_FRAMES = 300  # before the usual bias is known
_ROUNDING = 1e-6  # s; three tenths of a second are not always three tenths apart


class Driver(str, Enum):
    """Which cue obstacle distance comes from."""

    STEREO = "stereo"
    GUARDED = "mono guarded by stereo"
    MONO = "mono"
    NONE = "none"


class Tally(NamedTuple):
    """Tests of the student: the distances that it gave, metres, oldest first.

    Attributes:
        near: where stereo saw an obstacle within ``trigger``.
        clear: where stereo saw none, nor one within ``margin`` beyond it: to call an obstacle that
            is a little farther than ``trigger`` is caution, not a false alarm.
    """

    near: tuple[float, ...] = ()
    clear: tuple[float, ...] = ()


_UNTESTED = Tally()


class Rates(NamedTuple):
    """Of a tally: rates, their bounds, and how much there is to go by."""

    tpr: float
    fpr: float
    tpr_lower: float
    fpr_upper: float
    tpr_upper: float
    fpr_lower: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class Evidence:
    """What one frame tells.

    Attributes:
        stamp: seconds.
        stereo_valid: the matcher's own verdict.
        stereo, mono: nearest ahead, metres; +Inf clear, NaN unknown.
        bias: median over the image of log(mono / stereo); NaN unless both are there.
        novel: the student has seen nothing like this picture (its replay memory says).
    """

    stamp: float
    stereo_valid: bool
    stereo: float
    mono: float
    bias: float = math.nan
    novel: bool = False


@dataclass(frozen=True)
class Trust:
    """All that is known about the student's worth, and what follows from it.

    Attributes:
        driver: where obstacle distance comes from now.
        reason: why, in a few words, for ``/diagnostics``.
        trusted: the student has earned it and not lost it since.
        under_stereo, under_mono: the tests that judge it, by who was driving.
        calibration: its distances to the newest near obstacles set aside for the threshold,
            whoever drove. A student that still learns is another one than a minute ago, and what
            it said then would calibrate a student that is no more.
        set_aside: the next near obstacle is for calibration.
        threshold: the student's distance, metres, below which it means an obstacle within
            ``trigger``.
        last_sample: stamp of the newest test; -Inf before the first.
        good_frames: valid stereo frames in a row.
        bias_fast, bias_slow, bias_count: of log(mono / stereo), short and long memory.
        teacher_suspect: stereo disagrees suddenly with a student that knows this place.
        drift_sum, drift_low, drift_mean, drift_count: Page-Hinkley test on the student's error.
        override_sum: excess nearness in the frames up to now.
        overriding: stereo has taken over from mono for a moment.
        overrides: how often it has.
    """

    driver: Driver = Driver.NONE
    reason: str = "nothing seen yet"
    trusted: bool = False
    under_stereo: Tally = _UNTESTED
    under_mono: Tally = _UNTESTED
    calibration: tuple[float, ...] = ()
    set_aside: bool = True
    threshold: float = math.nan
    last_sample: float = -math.inf
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


def wilson(successes: int, trials: int, z: float) -> tuple[float, float]:
    """Wilson's score interval for a share; (0, 1) without trials.

    >>> low, high = wilson(95, 100, z=1.645)
    >>> round(low, 3), round(high, 3)
    (0.902, 0.975)
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def rates(tally: Tally, threshold: float, z: float) -> Rates:
    """True and false positive rate of a threshold (m), with one-sided bounds at ``z``."""
    positives, negatives = len(tally.near), len(tally.clear)
    hits = sum(distance < threshold for distance in tally.near)
    alarms = sum(distance < threshold for distance in tally.clear)
    tpr_lower, tpr_upper = wilson(hits, positives, z)
    fpr_lower, fpr_upper = wilson(alarms, negatives, z)
    return Rates(
        hits / positives if positives else math.nan,
        alarms / negatives if negatives else math.nan,
        tpr_lower,
        fpr_upper,
        tpr_upper,
        fpr_lower,
        positives,
        negatives,
    )


def calibrate(near: Sequence[float], options: TrustConfig) -> float:
    """The smallest threshold that calls ``target_tpr`` of near obstacles; NaN: too few of them.

    Kept between half the trigger distance and ``threshold_cap``: a student that needs more is not
    to be trusted, and the tallies will say so.

    Args:
        near: the student's distances to obstacles within ``trigger``, m.
    """
    if len(near) < options.min_positives:
        return math.nan
    rank = min(len(near) - 1, math.ceil(options.target_tpr * len(near)) - 1)
    smallest = math.nextafter(sorted(near)[rank], math.inf)  # "below" must include it
    return min(max(smallest, 0.5 * options.trigger), options.threshold_cap)


def update(trust: Trust, evidence: Evidence, options: TrustConfig) -> Trust:
    """The state after one more frame."""
    trust = _watch_teacher(trust, evidence, options)
    teacher = evidence.stereo_valid and not trust.teacher_suspect
    if teacher and not math.isnan(evidence.stereo) and not math.isnan(evidence.mono):
        trust = _test_student(trust, evidence, options)
    return _choose(trust, evidence, teacher, options)


def _watch_teacher(trust: Trust, evidence: Evidence, options: TrustConfig) -> Trust:
    """Stereo fails at once and recovers slowly. Where the two cues suddenly part in a place that
    the student knows, a camera has moved; in a place that it doesn't know, the student is wrong.
    """
    good = trust.good_frames + 1 if evidence.stereo_valid else 0
    trust = replace(trust, good_frames=good)
    if math.isnan(evidence.bias):
        return trust
    fast = trust.bias_fast + _BIAS_FAST * (evidence.bias - trust.bias_fast)
    jump = abs(fast - trust.bias_slow) > options.bias_jump
    known = trust.bias_count >= _BIAS_FRAMES and trust.trusted
    suspect = known and jump and (not evidence.novel or trust.teacher_suspect)
    # While the cues part, what is usual is not learnt from them, or the fault would become usual.
    rate = 0.0 if suspect else max(_BIAS_SLOW, 1.0 / (trust.bias_count + 1))
    slow = trust.bias_slow + rate * (evidence.bias - trust.bias_slow)
    return replace(
        trust,
        bias_fast=fast,
        bias_slow=slow,
        bias_count=trust.bias_count + 1,
        teacher_suspect=suspect,
    )


def _test_student(trust: Trust, evidence: Evidence, options: TrustConfig) -> Trust:
    if evidence.stamp - trust.last_sample < options.sample_interval - _ROUNDING:
        return trust
    trust = _file(trust, evidence, options)
    threshold = calibrate(trust.calibration, options)

    # Page-Hinkley: the running sum of (error - usual error - slack) rises far above its minimum.
    far = options.threshold_cap
    error = abs(math.log(max(min(evidence.mono, far), 0.05) / max(min(evidence.stereo, far), 0.05)))
    count = trust.drift_count + 1
    mean = trust.drift_mean + (error - trust.drift_mean) / count
    total = trust.drift_sum + error - mean - options.drift_slack
    low = min(trust.drift_low, total)
    drifted = total - low > options.drift_limit
    trust = replace(
        trust,
        last_sample=evidence.stamp,
        threshold=threshold,
        drift_sum=total,
        drift_low=low,
        drift_mean=mean,
        drift_count=count,
    )
    if not drifted:
        return _judge(trust, options)
    # What was true of the student no longer is: start the tallies anew.
    return replace(
        trust,
        trusted=False,
        under_stereo=_UNTESTED,
        under_mono=_UNTESTED,
        calibration=(),
        threshold=math.nan,
        drift_sum=0.0,
        drift_low=0.0,
        drift_mean=0.0,
        drift_count=0,
    )


def _file(trust: Trust, evidence: Evidence, options: TrustConfig) -> Trust:
    """The test goes where it belongs; the oldest ones make room."""
    near = evidence.stereo < options.trigger
    if near and trust.set_aside:
        newest = (*trust.calibration, evidence.mono)[-options.near_window :]
        return replace(trust, calibration=newest, set_aside=False)
    name = "under_mono" if trust.driver in (Driver.GUARDED, Driver.MONO) else "under_stereo"
    tally: Tally = getattr(trust, name)
    if near:
        tally = tally._replace(near=(*tally.near, evidence.mono)[-options.near_window :])
    elif evidence.stereo >= options.trigger * (1.0 + options.margin):
        tally = tally._replace(clear=(*tally.clear, evidence.mono)[-options.clear_window :])
    fields: dict[str, Any] = {name: tally, "set_aside": near or trust.set_aside}
    return replace(trust, **fields)


def _judge(trust: Trust, options: TrustConfig) -> Trust:
    """Trust is earned under stereo at the entry bounds, and lost at the laxer exit bounds on the
    pictures that the student makes itself see, once it drives.

    Few tests are enough to be clearly bad; to be good takes a full tally. Who loses trust starts
    anew: the marks that it was earned with belong to a student that no longer deserves them, and
    those that cost it would stand in its way for ever.
    """
    if math.isnan(trust.threshold):
        return replace(trust, trusted=False)
    if not trust.trusted:
        earned = _passes(rates(trust.under_stereo, trust.threshold, options.z), 0.0, options)
        return replace(trust, trusted=True) if earned else trust
    newest = trust.under_mono if any(trust.under_mono) else trust.under_stereo
    marks = rates(newest, trust.threshold, options.z)
    full = marks.positives >= options.near_window
    if not _fails(marks, options) and (not full or _passes(marks, options.hysteresis, options)):
        return trust
    return replace(trust, trusted=False, under_stereo=_UNTESTED, under_mono=_UNTESTED)


def _passes(marks: Rates, slack: float, options: TrustConfig) -> bool:
    return (
        marks.positives >= options.min_positives
        and marks.tpr_lower >= options.min_tpr - slack
        and marks.fpr_upper <= options.max_fpr + slack
    )


def _fails(marks: Rates, options: TrustConfig) -> bool:
    return marks.tpr_upper < options.min_tpr or marks.fpr_lower > options.max_fpr


def _choose(trust: Trust, evidence: Evidence, teacher: bool, options: TrustConfig) -> Trust:
    age = evidence.stamp - trust.last_sample
    has_mono = not math.isnan(evidence.mono)
    mono = trust.trusted and has_mono and age <= options.max_age and not evidence.novel
    if teacher and (trust.good_frames >= options.recover_frames or trust.driver is Driver.STEREO):
        if mono and options.mono_drives:
            trust = guard(trust, evidence, options)
            reason = "stereo overrides" if trust.overriding else "mono has earned it"
            return replace(trust, driver=Driver.GUARDED, reason=reason)
        driver, reason = Driver.STEREO, "stereo is valid"
    elif mono:
        why = "cues part in a known place" if trust.teacher_suspect else "stereo is invalid"
        driver, reason = Driver.MONO, f"{why}; mono has earned it"
    else:
        driver, reason = Driver.NONE, "stereo is invalid; " + _objection(trust, evidence, age)
    return replace(trust, driver=driver, reason=reason, override_sum=0.0, overriding=False)


def _objection(trust: Trust, evidence: Evidence, age: float) -> str:
    if math.isnan(evidence.mono):
        return "no mono depth"
    if not trust.trusted:
        return "mono has not earned trust"
    return "mono knows nothing like this" if evidence.novel else f"last test {age:.0f} s ago"


def guard(trust: Trust, evidence: Evidence, options: TrustConfig) -> Trust:
    """The training wheels: stereo takes over where the student misses an imminent obstacle.

    Excess nearness adds up over successive frames in which stereo sees an obstacle within
    ``override`` that the student calls free, and is forgotten by any other frame; so a very near
    one takes two frames, a marginal one several, a single wrong frame nothing.
    """
    imminent = evidence.stereo < options.override
    missed = imminent and not evidence.mono < trust.threshold
    if trust.overriding:
        return trust if imminent else replace(trust, overriding=False, override_sum=0.0)
    if not missed:
        return replace(trust, override_sum=0.0)
    total = trust.override_sum + options.override / max(evidence.stereo, 0.05)
    if total <= options.override_sum:
        return replace(trust, override_sum=total)
    return replace(trust, override_sum=total, overriding=True, overrides=trust.overrides + 1)


def fuse(
    trust: Trust, stereo: ObstacleScan, mono: ObstacleScan, options: TrustConfig
) -> ObstacleScan:
    """The scan that the robot gets: of the cue that drives.

    Mono ranges are scaled by trigger / threshold, so that an obstacle at ``trigger`` reads so.
    Guarded: the nearer of both; where one knows nothing, the other. Nobody to trust: all unknown.
    """
    scale = np.float32(options.trigger / trust.threshold if trust.threshold > 0 else 1.0)
    scaled = replace(mono, ranges=mono.ranges * scale)
    if trust.driver is Driver.STEREO:
        return stereo
    if trust.driver is Driver.MONO:
        return scaled
    if trust.driver is Driver.GUARDED:
        if trust.overriding:
            return stereo
        return replace(scaled, ranges=np.fmin(stereo.ranges, scaled.ranges))
    return replace(mono, ranges=np.full_like(mono.ranges, np.nan), cue=Cue.NONE)


def to_json(trust: Trust) -> dict[str, object]:
    """What must survive a restart: the tallies and what they were judged by."""

    def plain(distances: Sequence[float]) -> list[float | None]:
        """JSON has no infinities: None is clear, 0 is nearer than can be measured."""
        return [None if d == math.inf else max(d, 0.0) for d in distances]

    return {
        "trusted": trust.trusted,
        "overrides": trust.overrides,
        "calibration": plain(trust.calibration),
        **{
            name: {"near": plain(tally.near), "clear": plain(tally.clear)}
            for name, tally in (
                ("under_stereo", trust.under_stereo),
                ("under_mono", trust.under_mono),
            )
        },
        "bias": trust.bias_slow,
        "bias_count": trust.bias_count,
    }


def from_json(values: dict[str, Any], options: TrustConfig) -> Trust:
    """``to_json`` undone, and judged anew; anything that doesn't fit starts from nothing, which is
    the safe side."""

    def distances(stored: list[float | None], newest: int) -> tuple[float, ...]:
        found = tuple(math.inf if d is None else float(d) for d in stored)[-newest:]
        if any(math.isnan(d) for d in found):
            raise ValueError("NaN is no distance")
        return found

    def tally(stored: dict[str, list[float | None]]) -> Tally:
        return Tally(
            distances(stored["near"], options.near_window),
            distances(stored["clear"], options.clear_window),
        )

    try:
        calibration = distances(values["calibration"], options.near_window)
        trust = Trust(
            trusted=values["trusted"] is True,
            under_stereo=tally(values["under_stereo"]),
            under_mono=tally(values["under_mono"]),
            calibration=calibration,
            threshold=calibrate(calibration, options),
            overrides=int(values["overrides"]),
            bias_slow=float(values["bias"]),
            bias_count=int(values["bias_count"]),
        )
    except (KeyError, TypeError, ValueError):
        return Trust()
    return _judge(trust, options)
