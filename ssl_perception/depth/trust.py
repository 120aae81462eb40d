"""May the student drive? Pure functions over evidence; nothing here sees an image.

Each frame on which both cues speak is a test that the student has not learnt from yet: did it call
an obstacle where stereo saw one (true positive rate), did it call one where there was none (false
positive rate)? The tallies are kept apart by who was driving, because a student that drives badly
sees other pictures than its teacher did: good marks under stereo say little about marks under
mono (feedback-induced bias; van Hecke et al., arXiv 1603.08047). Frames closer in time than
``sample_interval`` count once, so that the Wilson bounds mean what they say.

The original flight code computed these rates with "obstacle" and "free" swapped, and left the
switch to an operator. Here: TPR = TP / (TP + FN), FPR = FP / (FP + TN), obstacle is positive, and
the switch is ``update``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np

from ssl_perception.config import Trust as Options
from ssl_perception.types import Cue, ObstacleScan

_BIAS_FAST, _BIAS_SLOW = 0.4, 0.005  # rates of the running means: 2 frames, 200 frames
_TALLIES = ("under_stereo", "under_mono", "recent")
_BIAS_FRAMES = 300  # before the usual bias is known


class Driver(str, Enum):
    """Which cue obstacle distance comes from."""

    STEREO = "stereo"
    GUARDED = "mono guarded by stereo"
    MONO = "mono"
    NONE = "none"


class Outcome(NamedTuple):
    """One test of the student.

    Attributes:
        near: stereo saw an obstacle within ``trigger``.
        said: the student, with the threshold of that moment, called one.
        mono: its distance, metres.
    """

    near: bool
    said: bool
    mono: float


class Rates(NamedTuple):
    """Of a tally: rates, the bounds that count, and how much there is to go by."""

    tpr: float
    fpr: float
    tpr_lower: float
    fpr_upper: float
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
        under_stereo, under_mono: the tests, by who was driving, oldest first.
        recent: the newest tests with a near obstacle, whoever drove, oldest first: the threshold
            comes from these alone. A student that still learns is another one than a minute ago,
            and what it said then would calibrate a student that is no more.
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
    under_stereo: tuple[Outcome, ...] = ()
    under_mono: tuple[Outcome, ...] = ()
    recent: tuple[Outcome, ...] = ()
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


def rates(outcomes: Sequence[Outcome], z: float) -> Rates:
    """True and false positive rate of a tally, with one-sided bounds at ``z``."""
    positives = sum(o.near for o in outcomes)
    negatives = len(outcomes) - positives
    hits = sum(o.near and o.said for o in outcomes)
    alarms = sum(not o.near and o.said for o in outcomes)
    return Rates(
        hits / positives if positives else math.nan,
        alarms / negatives if negatives else math.nan,
        wilson(hits, positives, z)[0],
        wilson(alarms, negatives, z)[1],
        positives,
        negatives,
    )


def calibrate(outcomes: Sequence[Outcome], options: Options) -> float:
    """The smallest threshold that calls ``target_tpr`` of the near frames; NaN: too few of them.

    Kept between half the trigger distance and ``threshold_cap``: a student that needs more is not
    to be trusted, and the tallies will say so.
    """
    near = sorted(o.mono for o in outcomes if o.near and not math.isnan(o.mono))
    if len(near) < options.min_positives:
        return math.nan
    rank = min(len(near) - 1, math.ceil(options.target_tpr * len(near)) - 1)
    smallest = math.nextafter(near[rank], math.inf)  # "below" must include it
    return min(max(smallest, 0.5 * options.trigger), options.threshold_cap)


def update(trust: Trust, evidence: Evidence, options: Options) -> Trust:
    """The state after one more frame."""
    trust = _watch_teacher(trust, evidence, options)
    teacher = evidence.stereo_valid and not trust.teacher_suspect
    if teacher and not math.isnan(evidence.stereo) and not math.isnan(evidence.mono):
        trust = _test_student(trust, evidence, options)
    return _choose(trust, evidence, teacher, options)


def _watch_teacher(trust: Trust, evidence: Evidence, options: Options) -> Trust:
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


def _test_student(trust: Trust, evidence: Evidence, options: Options) -> Trust:
    if evidence.stamp - trust.last_sample < options.sample_interval:
        return trust
    near = evidence.stereo < options.trigger
    threshold = options.trigger if math.isnan(trust.threshold) else trust.threshold
    outcome = Outcome(near, evidence.mono < threshold, evidence.mono)
    if trust.driver in (Driver.GUARDED, Driver.MONO):
        trust = replace(trust, under_mono=(*trust.under_mono, outcome)[-options.window :])
    else:
        trust = replace(trust, under_stereo=(*trust.under_stereo, outcome)[-options.window :])
    if near:
        trust = replace(trust, recent=(*trust.recent, outcome)[-options.calibration :])
    threshold = calibrate(trust.recent, options)

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
        under_stereo=(),
        under_mono=(),
        recent=(),
        threshold=math.nan,
        drift_sum=0.0,
        drift_low=0.0,
        drift_mean=0.0,
        drift_count=0,
    )


def _judge(trust: Trust, options: Options) -> Trust:
    """Trust is earned at the entry bounds and lost at the laxer exit bounds."""
    slack = options.hysteresis if trust.trusted else 0.0
    trusted = (
        not math.isnan(trust.threshold)
        and _passes(rates(trust.under_stereo, options.z), slack, options)
        and (
            # On the student's own pictures: judged as soon as there are enough of them.
            rates(trust.under_mono, options.z).positives < options.min_positives
            or _passes(rates(trust.under_mono, options.z), slack, options)
        )
    )
    return trust if trusted == trust.trusted else replace(trust, trusted=trusted)


def _passes(marks: Rates, slack: float, options: Options) -> bool:
    return (
        marks.positives >= options.min_positives
        and marks.tpr_lower >= options.min_tpr - slack
        and marks.fpr_upper <= options.max_fpr + slack
    )


def _choose(trust: Trust, evidence: Evidence, teacher: bool, options: Options) -> Trust:
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


def guard(trust: Trust, evidence: Evidence, options: Options) -> Trust:
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


def fuse(trust: Trust, stereo: ObstacleScan, mono: ObstacleScan, options: Options) -> ObstacleScan:
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
    return {
        "threshold": None if math.isnan(trust.threshold) else trust.threshold,
        "overrides": trust.overrides,
        **{
            name: [[o.near, o.said, _finite(o.mono)] for o in getattr(trust, name)]
            for name in _TALLIES
        },
        "bias": trust.bias_slow,
        "bias_count": trust.bias_count,
    }


def from_json(values: dict[str, object], options: Options) -> Trust:
    """``to_json`` undone. Trust itself is judged anew; anything that doesn't fit starts from
    nothing, which is the safe side."""
    try:
        stereo, mono, recent = (
            tuple(
                Outcome(bool(near), bool(said), math.inf if distance is None else float(distance))
                for near, said, distance in values[name]  # type: ignore[attr-defined]
            )
            for name in _TALLIES
        )
        threshold = values["threshold"]
        trust = Trust(
            under_stereo=stereo[-options.window :],
            under_mono=mono[-options.window :],
            recent=recent[-options.calibration :],
            threshold=math.nan if threshold is None else float(threshold),  # type: ignore[arg-type]
            overrides=int(values["overrides"]),  # type: ignore[call-overload]
            bias_slow=float(values["bias"]),  # type: ignore[arg-type]
            bias_count=int(values["bias_count"]),  # type: ignore[call-overload]
        )
    except (KeyError, TypeError, ValueError):
        return Trust()
    return _judge(trust, options)


def _finite(distance: float) -> float | None:
    """JSON has no infinities: None is clear, 0 is nearer than can be measured."""
    return None if distance == math.inf or math.isnan(distance) else max(distance, 0.0)
