"""``ssl-perception experiment persistence``: stereo teaches, then dies; who flies on best?

One flight for each scheme, kind of student and seed: a room, a minute on stereo, then learning
under the scheme. After each of ``learn_minutes`` a test branches off: stereo is lost for good (the
right camera goes black), learning stops, and the drone flies on with one eye from where it is. The
simulator alone knows the true clearance and the true depth that everything is scored by.

| scheme | who drives while learning | tests |
|---|---|---|
| `stereo` | stereo | `stereo`: not lost, the reference |
| `cold_turkey` | stereo | `mono` |
| `dagger` | stereo and mono in turns of 10 s, at random | `mono` |
| `training_wheels` | mono; stereo overrides before a collision | `mono` |
| `gated` | stereo; once it has earned it, mono guarded by stereo | `gated`, and without parts of \
it: `calibrated`, `mono` |

| test | who drives |
|---|---|
| `mono` | the student as it is: an obstacle is what it calls nearer than ``trigger`` |
| `calibrated` | the student with its calibrated threshold, whether trusted or not |
| `gated` | the student with its calibrated threshold while it is trusted; else nobody |

Along a gated flight stereo also dies at ``deaths`` random times for ``death_seconds``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from ssl_perception.config import LearnerConfig, Section, TextonsConfig, TrustConfig
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.depth.trust.fusion import weigh_scans
from ssl_perception.depth.trust.state import (
    Driver,
    Evidence,
    Trust,
    guard,
)
from ssl_perception.evaluation.obstacle_metrics import Rates, rates
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import Cue, ObstacleScan
from ssl_perception_sim.experiments.fly import SCAN, STEREO
from ssl_perception_sim.experiments.held_out import HeldOut, Point, true_nearest
from ssl_perception_sim.experiments.students import NetworkStudent, Student, TextonStudent
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.sensors.faults import Picture
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.vehicles import Drone

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
    deaths: int = Field(8, description="times that stereo dies along a gated flight")
    deaths_after: float = Field(6.0, description="minutes")
    death_seconds: float = Field(10.0, description="that the drone flies on after each")
    learner: LearnerConfig = LearnerConfig()
    textons: TextonsConfig = TextonsConfig()
    trust: TrustConfig = TrustConfig(trigger=1.1, threshold_cap=1.8)


@dataclass(frozen=True)
class Cell:
    """What one test came to.

    Attributes:
        learnt: minutes of flight before it.
        crashes, near, turns, metres: per minute; near: times within ``near_clearance`` of
            something.
        overrides: of mono by stereo while learning.
        tpr, fpr: on the test's own pictures, of obstacles nearer than ``trigger`` ahead.
        learn_tpr, learn_fpr: the same on the pictures while learning, each before it was learnt.
        threshold: m. trusted: when stereo was lost. blind: share of the test in which nobody was.
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
class Death:
    """Stereo died in mid-flight.

    Attributes:
        minute: when. driver: half a second later. crashed: within ``death_seconds``.
        clearance: least, m. metres: flown.
    """

    minute: float
    driver: str
    crashed: bool
    clearance: float
    metres: float


@dataclass(frozen=True)
class Result:
    """Of one flight: its tests, its learning curve, its deaths."""

    cells: tuple[Cell, ...]
    curve: tuple[Point, ...]
    deaths: tuple[Death, ...]


class _Flight:
    """The world, what is true in it, and the counts."""

    def __init__(self, seed: int, plan: Plan) -> None:
        self.world = worlds.room(seed)
        self.plan = plan
        self._room = rooms.plan(seed)
        _, self._taken = rooms.build(seed, self._room)
        self._rng = stream(seed, "respawn")
        self.avoid = Avoid(seed=seed)
        self.command = Command()
        self._count()

    def _count(self) -> None:
        self.crashes = self.near = self.frames = self.blind = 0
        self.metres = 0.0
        self.clearance = math.inf
        self.turns_before = self.avoid.turns
        self.marks: list[tuple[bool, bool]] = []  # an obstacle was near, one was called
        self._close = False

    def fork(self, stereo: bool) -> _Flight:
        """Another future, with or without stereo; counts from zero."""
        other = copy.copy(self)
        black = Picture(fault="camera_black", side="right", start=self.world.time)
        other.world = self.world.fork([] if stereo else [black])
        other.avoid = copy.deepcopy(self.avoid)
        other._rng = copy.deepcopy(self._rng)
        other._count()
        return other

    def frames_of(self, minutes: float) -> Iterator[Frame]:
        """Fly; after a touch the drone is set down somewhere else."""
        for _ in range(round(minutes * 60 / self.world.tick)):
            sensors = self.world.step(self.command)
            drone = self.world.vehicle
            assert isinstance(drone, Drone)
            self.metres += float(np.linalg.norm(drone.velocity[:2])) * self.world.tick
            self.clearance = min(self.clearance, sensors.clearance)
            close = sensors.clearance < self.plan.near_clearance
            self.near += close and not self._close
            self._close = close
            if sensors.clearance < 0:
                self.crashes += 1
                place, yaw = worlds.free_pose(self._rng, self._room, self._taken)
                self.world.vehicle = Drone(place, yaw, self.world.time)
                self._close = False
            for frame in sensors.frames:
                self.frames += 1
                yield frame

    def mark(self, frame: Frame, mono: ObstacleScan, threshold: float) -> None:
        """Score the student against the true depth."""
        ahead = self.plan.trust.ahead
        nearest, said = true_nearest(frame, ahead), nearest_ahead(mono, ahead)
        if not (math.isnan(nearest) or math.isnan(said)):
            self.marks.append((nearest < self.plan.trust.trigger, said < threshold))

    def rates(self) -> Rates:
        near, said = np.array(self.marks, bool).reshape(-1, 2).T
        return rates(said, near)


def fly(scheme: str, kind: str, seed: int, plan: Plan) -> Result:
    """One flight with everything that branches off it."""
    flight = _Flight(seed, plan)
    if scheme == "stereo":
        cell = _test(flight, "stereo", None, Trust(), plan)
        return Result((replace(cell, scheme=scheme, student="", seed=seed),), (), ())
    options = plan.trust
    student: Student = (
        NetworkStudent(seed, plan.learner)
        if kind == "network"
        else TextonStudent(seed, plan.textons, options.ahead)
    )
    matcher = StereoMatcher(STEREO)
    poses = HeldOut(seed, plan.held_out, options)
    turns = stream(seed, "dagger")
    trust = Trust()
    wheels = Trust(driver=Driver.GUARDED, threshold=options.trigger)
    mono_turn = False
    last = max(plan.learn_minutes)
    deaths_left: list[float] = []
    if scheme == "gated" and last > plan.deaths_after:
        deaths_left = sorted(stream(seed, "deaths").uniform(plan.deaths_after, last, plan.deaths))
    tests_left, points_left = sorted(plan.learn_minutes), sorted(plan.curve)
    cells: list[Cell] = []
    curve: list[Point] = []
    deaths: list[Death] = []

    for frame in flight.frames_of(last):
        pair = frame.pair
        depth = matcher.depth(pair)
        stereo = obstacle_scan(depth, SCAN)
        mono, novelty = student.look(pair)
        flight.mark(frame, mono, options.trigger)
        weighed = weigh_scans(trust, stereo, mono, options, novelty=novelty)
        trust = weighed.trust
        minute = flight.frames * flight.world.tick / 60
        started = minute > plan.stereo_minutes and mono.cue is not Cue.NONE
        if flight.frames % _DAGGER_TURN == 1:
            mono_turn = bool(turns.random() < 0.5)
        scan = stereo
        if started and scheme == "gated":
            scan = weighed.scan
        elif started and scheme == "dagger" and mono_turn:
            scan = mono
        elif started and scheme == "training_wheels" and depth.valid:
            seen, told = (nearest_ahead(s, options.ahead) for s in (stereo, mono))
            wheels = guard(wheels, Evidence(pair.stamp, True, seen, told), options)
            scan = stereo if wheels.overriding else mono
        flight.command = flight.avoid.command(scan)
        student.learn(pair, depth, stereo)

        if points_left and minute >= points_left[0] - 1e-6:
            curve.append(poses.score(student, trust, points_left.pop(0)))
        if deaths_left and minute >= deaths_left[0]:
            deaths_left.pop(0)
            deaths.append(_death(flight, student, trust, plan, minute))
        if tests_left and minute >= tests_left[0] - 1e-6:
            learnt = tests_left.pop(0)
            for test in ("gated", "calibrated", "mono") if scheme == "gated" else ("mono",):
                cell = _test(flight.fork(stereo=False), test, student, trust, plan)
                about = {"scheme": scheme, "student": kind, "seed": seed, "learnt": learnt}
                marks = flight.rates()
                overrides = wheels.overrides + trust.overrides
                cells.append(
                    replace(
                        cell,
                        **about,  # type: ignore[arg-type]
                        learn_tpr=marks.tpr,
                        learn_fpr=marks.fpr,
                        overrides=overrides,
                    )
                )
    return Result(tuple(cells), tuple(curve), tuple(deaths))


def _alone(
    flight: _Flight, student: Student, trust: Trust, test: str, minutes: float
) -> Iterator[Trust]:
    """Fly on one eye; gives the state of trust after each frame."""
    options = flight.plan.trust
    matcher = StereoMatcher(STEREO)
    threshold = trust.threshold if trust.threshold > 0 and test != "mono" else options.trigger
    for frame in flight.frames_of(minutes):
        mono, novelty = student.look(frame.pair)
        flight.mark(frame, mono, threshold)
        if test == "gated":
            nothing = obstacle_scan(matcher.depth(frame.pair), SCAN)
            weighed = weigh_scans(trust, nothing, mono, options, novelty=novelty)
            trust, scan = weighed.trust, weighed.scan
            flight.blind += trust.driver is Driver.NONE
        else:
            scale = np.float32(options.trigger / threshold)
            scan = replace(mono, ranges=mono.ranges * scale)
        flight.command = flight.avoid.command(scan)
        yield trust


def _test(flight: _Flight, test: str, student: Student | None, trust: Trust, plan: Plan) -> Cell:
    """The long test; who learnt what, and for how long, is for the caller to fill in."""
    if student is None:
        matcher = StereoMatcher(STEREO)
        for frame in flight.frames_of(plan.test_minutes):
            scan = obstacle_scan(matcher.depth(frame.pair), SCAN)
            flight.mark(frame, scan, plan.trust.trigger)
            flight.command = flight.avoid.command(scan)
    else:
        for _ in _alone(flight, student, trust, test, plan.test_minutes):
            pass
    marks = flight.rates()
    per_minute = 1.0 / plan.test_minutes
    return Cell(
        scheme="",
        student="",
        seed=0,
        test=test,
        learnt=0.0,
        crashes=flight.crashes * per_minute,
        near=flight.near * per_minute,
        turns=(flight.avoid.turns - flight.turns_before) * per_minute,
        metres=flight.metres * per_minute,
        overrides=0,
        tpr=marks.tpr,
        fpr=marks.fpr,
        learn_tpr=math.nan,
        learn_fpr=math.nan,
        threshold=trust.threshold,
        trusted=trust.trusted,
        blind=flight.blind / max(flight.frames, 1),
    )


def _death(flight: _Flight, student: Student, trust: Trust, plan: Plan, minute: float) -> Death:
    dying = flight.fork(stereo=False)
    driver = Driver.NONE
    for after in _alone(dying, student, trust, "gated", plan.death_seconds / 60):
        if dying.frames * dying.world.tick <= 0.5:
            driver = after.driver
    return Death(minute, driver.value, dying.crashes > 0, dying.clearance, dying.metres)
