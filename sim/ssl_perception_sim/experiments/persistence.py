"""``ssl-perception experiment persistence``: stereo teaches the student, then stereo fails.

One flight for each scheme, kind of student and seed: a room, a minute on stereo, then learning
under the scheme. After each of ``learn_minutes`` a test branches off: stereo is lost for good (the
right camera goes black), learning stops, and the drone flies on with the left camera from where it
is. The simulator alone knows the true clearance and the true depth that everything is scored by.
Everything that perceives is the robot's own depth pipeline, with the ``drone`` preset.

| scheme | cue in control while learning | tests |
|---|---|---|
| `stereo` | stereo | `stereo`: not lost, the reference |
| `cold_turkey` | stereo | `mono` |
| `dagger` | stereo and mono in turns of 10 s, at random | `mono` |
| `training_wheels` | mono; stereo overrides before a collision | `mono` |
| `gated` | stereo; once trusted, mono guarded by stereo | `gated`, and without parts of it: \
`calibrated`, `mono` |

| test | cue in control |
|---|---|
| `mono` | the student as it is: an obstacle is what it predicts nearer than ``trigger`` |
| `calibrated` | the student with its calibrated threshold, whether trusted or not |
| `gated` | the student with its calibrated threshold while it is trusted; else none |

Along a gated flight stereo also fails at ``failures`` random times for ``failure_seconds``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from ssl_perception.config import LearnerConfig, Section, TextonsConfig, TrustConfig
from ssl_perception.depth.trust.fusion import calibrated
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.update import guard
from ssl_perception.evaluation.obstacle_metrics import Rates, rates
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.types import Cue, ObstacleScan
from ssl_perception_sim.experiments.held_out import HeldOut, HeldOutScore, true_nearest
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import learning_pipeline, stereo_pipeline
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.world.randomness import stream

SCHEMES = ("stereo", "cold_turkey", "dagger", "training_wheels", "gated")
STUDENTS = ("network", "textons")
_DAGGER_TURN = 100  # frames
Minutes = tuple[float, ...]


class Plan(Section):
    """Fixed before the first flight; written into every result."""

    stereo_minutes: float = Field(1.0, description="at the start, whatever the scheme")
    learn_minutes: Minutes = Field((10.0,), description="from the start; a test after each")
    test_minutes: float = Field(10.0, description="of each test")
    curve: Minutes = Field((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0), description="held-out scores")
    held_out: int = Field(300, description="random poses in the room")
    near_clearance: float = Field(0.1, description="m; nearer is a near miss")
    failures: int = Field(8, description="times that stereo fails along a gated flight")
    failures_after: float = Field(6.0, description="minutes")
    failure_seconds: float = Field(10.0, description="that the drone flies on after each")
    learner: LearnerConfig = LearnerConfig()
    textons: TextonsConfig = TextonsConfig()
    trust: TrustConfig = TrustConfig()


@dataclass(frozen=True)
class Cell:
    """Results of one test.

    Attributes:
        learnt: minutes of flight before it.
        crashes, near, turns, metres: per minute; near: times within ``near_clearance`` of
            something.
        overrides: of mono by stereo while learning.
        tpr, fpr: on the test's own pictures, of obstacles nearer than ``trigger`` ahead.
        learn_tpr, learn_fpr: the same on the pictures while learning, each before it was learnt.
        threshold: m. trusted: when stereo was lost. blind: share of the test without an active cue.
    """

    scheme: str
    student: str
    seed: int
    test: str
    learnt: float
    crashes: float
    near: float
    turns: float
    metres: float
    overrides: int
    tpr: float
    fpr: float
    learn_tpr: float
    learn_fpr: float
    threshold: float
    trusted: bool
    blind: float


@dataclass(frozen=True)
class StereoFailure:
    """Stereo failed in mid-flight.

    Attributes:
        minute: when. active_cue: half a second later. crashed: within ``failure_seconds``.
        clearance: least, m. metres: flown.
    """

    minute: float
    active_cue: str
    crashed: bool
    clearance: float
    metres: float


@dataclass(frozen=True)
class Result:
    """Of one flight: its tests, its learning curve, its stereo failures."""

    cells: tuple[Cell, ...]
    curve: tuple[HeldOutScore, ...]
    failures: tuple[StereoFailure, ...]


class _ObstacleCounts:
    """The student against the true depth, on the images of a flight."""

    def __init__(self, options: TrustConfig) -> None:
        self._options = options
        self._pairs: list[tuple[bool, bool]] = []  # an obstacle was near, one was predicted

    def add(self, frame: Frame, scan: ObstacleScan, threshold: float) -> None:
        ahead = self._options.ahead
        nearest = true_nearest(frame, ahead)
        predicted = nearest_ahead(scan, ahead, self._options.trigger)
        if not (math.isnan(nearest) or math.isnan(predicted)):
            self._pairs.append((nearest < self._options.trigger, predicted < threshold))

    def rates(self) -> Rates:
        near, predicted = np.array(self._pairs, bool).reshape(-1, 2).T
        return rates(predicted, near)


def fly(scheme: str, kind: str, seed: int, plan: Plan) -> Result:
    """One flight with everything that branches off it."""
    flight = RoomFlight(seed, plan.near_clearance)
    if scheme == "stereo":
        cell = _test(flight, "stereo", stereo_pipeline(), plan)
        return Result((replace(cell, scheme=scheme, student="", seed=seed),), (), ())
    options = plan.trust
    pipeline = learning_pipeline(kind, seed, plan.learner, plan.textons, options)
    counts = _ObstacleCounts(options)
    poses = HeldOut(seed, plan.held_out, options)
    turns = stream(seed, "dagger")
    wheels = Trust(active_cue=ActiveCue.GUARDED, threshold=options.trigger)
    mono_turn = False
    last = max(plan.learn_minutes)
    failures_left: list[float] = []
    if scheme == "gated" and last > plan.failures_after:
        rng = stream(seed, "deaths")  # the name is part of the seed: another gives other times
        failures_left = sorted(rng.uniform(plan.failures_after, last, plan.failures))
    tests_left, points_left = sorted(plan.learn_minutes), sorted(plan.curve)
    cells: list[Cell] = []
    curve: list[HeldOutScore] = []
    failures: list[StereoFailure] = []

    for frame in flight.fly(last):
        result = pipeline.process(frame.pair)
        stereo, mono = result.stereo_scan, result.mono_scan
        assert mono is not None
        counts.add(frame, mono, options.trigger)
        started = flight.minutes > plan.stereo_minutes and mono.cue is not Cue.NONE
        if flight.frames % _DAGGER_TURN == 1:
            mono_turn = bool(turns.random() < 0.5)
        scan = stereo
        if started and scheme == "gated":
            scan = result.scan
        elif started and scheme == "dagger" and mono_turn:
            scan = mono
        elif started and scheme == "training_wheels" and result.stereo.valid:
            near, predicted = (nearest_ahead(s, options.ahead) for s in (stereo, mono))
            seen = Observation(frame.pair.stamp, True, near, predicted)
            wheels = guard(wheels, seen, options)
            scan = stereo if wheels.overriding else mono
        flight.command = flight.avoid.command(scan)

        minute = flight.minutes
        if points_left and minute >= points_left[0] - 1e-6:
            curve.append(poses.score(pipeline, points_left.pop(0)))
        if failures_left and minute >= failures_left[0]:
            failures_left.pop(0)
            failures.append(_failure(flight, pipeline, plan, minute))
        if tests_left and minute >= tests_left[0] - 1e-6:
            learnt = tests_left.pop(0)
            for test in ("gated", "calibrated", "mono") if scheme == "gated" else ("mono",):
                branch = flight.fork()
                branch.lose_stereo()
                cell = _test(branch, test, pipeline.fork(), plan)
                so_far = counts.rates()
                cells.append(
                    replace(
                        cell,
                        scheme=scheme,
                        student=kind,
                        seed=seed,
                        learnt=learnt,
                        learn_tpr=so_far.tpr,
                        learn_fpr=so_far.fpr,
                        overrides=wheels.overrides + result.trust.overrides,
                    )
                )
    return Result(tuple(cells), tuple(curve), tuple(failures))


def _mono_alone(
    flight: RoomFlight, pipeline: DepthPipeline, test: str, minutes: float, counts: _ObstacleCounts
) -> Iterator[ActiveCue]:
    """Fly on without stereo; yields the active cue of each frame."""
    options = pipeline.config.trust
    threshold = pipeline.fusion.trust.threshold
    if test == "mono" or not threshold > 0:
        threshold = options.trigger
    assert pipeline.student is not None
    for frame in flight.fly(minutes):
        if test == "gated":
            result = pipeline.process(frame.pair)
            assert result.mono_scan is not None
            mono, scan, active = result.mono_scan, result.scan, result.trust.active_cue
        else:  # nothing else than the student's depth is used: no need to match
            pair = frame.pair
            depth = pipeline.student.depth(pair.left, pair.camera, pair.stamp)
            mono = obstacle_scan(depth, pipeline.config.scan)
            scan, active = calibrated(mono, threshold, options), ActiveCue.MONO
        counts.add(frame, mono, threshold)
        flight.command = flight.avoid.command(scan)
        yield active


def _test(flight: RoomFlight, test: str, pipeline: DepthPipeline, plan: Plan) -> Cell:
    """The long test; the caller fills in the scheme, the student and how long it learnt."""
    counts = _ObstacleCounts(plan.trust)
    trust = pipeline.fusion.trust
    blind = 0
    if test == "stereo":
        for frame in flight.fly(plan.test_minutes):
            result = pipeline.process(frame.pair)
            counts.add(frame, result.scan, plan.trust.trigger)
            flight.command = flight.avoid.command(result.scan)
    else:
        for active in _mono_alone(flight, pipeline, test, plan.test_minutes, counts):
            blind += active is ActiveCue.NONE
    found = counts.rates()
    per_minute = 1.0 / plan.test_minutes
    return Cell(
        scheme="",
        student="",
        seed=0,
        test=test,
        learnt=0.0,
        crashes=flight.crashes * per_minute,
        near=flight.near * per_minute,
        turns=flight.turns * per_minute,
        metres=flight.metres * per_minute,
        overrides=0,
        tpr=found.tpr,
        fpr=found.fpr,
        learn_tpr=math.nan,
        learn_fpr=math.nan,
        threshold=trust.threshold,
        trusted=trust.trusted,
        blind=blind / max(flight.frames, 1),
    )


def _failure(
    flight: RoomFlight, pipeline: DepthPipeline, plan: Plan, minute: float
) -> StereoFailure:
    branch = flight.fork()
    branch.lose_stereo()
    active = ActiveCue.NONE
    minutes = plan.failure_seconds / 60
    counts = _ObstacleCounts(plan.trust)
    for cue in _mono_alone(branch, pipeline.fork(), "gated", minutes, counts):
        if branch.frames * branch.world.tick <= 0.5:
            active = cue
    return StereoFailure(minute, active.value, branch.crashes > 0, branch.clearance, branch.metres)
