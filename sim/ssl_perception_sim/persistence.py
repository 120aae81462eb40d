"""``ssl-perception experiment persistence``: stereo teaches, then dies; who flies on best?

Each cell is one scheme, one kind of student and one seed: a room, ``stereo_minutes`` on stereo,
``learn_minutes`` of learning under the scheme, then stereo is lost for good (the right camera goes
black), learning stops, and the drone flies on one eye for the test. The simulator alone knows the
true clearance and the true depth that everything is scored by.

| scheme | who drives while learning | in the test |
|---|---|---|
| `stereo` | stereo | stereo, not lost: the reference |
| `cold_turkey` | stereo | mono |
| `dagger` | stereo and mono in turns of 10 s, at random | mono |
| `training_wheels` | mono; stereo overrides before a collision | mono |
| `gated` | stereo; once it has earned it, mono guarded by stereo | mono with its calibrated \
threshold, if trusted; else nobody |
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Learner as LearnerOptions
from ssl_perception.config import ReplayMemory, Section
from ssl_perception.config import Textons as TextonOptions
from ssl_perception.config import Trust as TrustOptions
from ssl_perception.depth.cues import weigh_scans
from ssl_perception.depth.label import label
from ssl_perception.depth.learner import Learner
from ssl_perception.depth.mono import MonoDepth
from ssl_perception.depth.stereo import StereoMatcher
from ssl_perception.depth.textons import Textons
from ssl_perception.depth.trust import Driver, Evidence, Trust, guard
from ssl_perception.errors import InputError
from ssl_perception.evaluation.obstacle_metrics import Rates, auc, rates
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.types import Cue, DepthMap, ObstacleScan, StereoPair
from ssl_perception_sim import room as rooms
from ssl_perception_sim import worlds
from ssl_perception_sim.camera import Frame
from ssl_perception_sim.fly import SCAN, STEREO
from ssl_perception_sim.motion import Still, rotation
from ssl_perception_sim.randomness import stream
from ssl_perception_sim.vehicles import Drone

SCHEMES = ("stereo", "cold_turkey", "dagger", "training_wheels", "gated")
STUDENTS = ("network", "textons")
_RELOAD_FRAMES = 50  # frames between models handed to inference: 5 s, as the store does


class Plan(Section):
    """Fixed before the first flight; written into every result."""

    stereo_minutes: float = 1.0
    learn_minutes: float = 4.0
    test_minutes: float = 10.0
    held_out: int = 150
    near_clearance: float = 0.1
    memory: Literal["coverage", "recent"] = "coverage"
    trust: TrustOptions = TrustOptions(trigger=1.1, threshold_cap=1.8)


@dataclass(frozen=True)
class Cell:
    """What one cell came to, in the test unless said otherwise.

    Attributes:
        crashes, near, turns: per minute; near: times within ``near_clearance`` of something.
        metres: flown per minute. overrides: while learning.
        tpr, fpr: on the test's own pictures, of obstacles nearer than ``trigger`` ahead.
        learn_tpr, learn_fpr: the same on the pictures while learning, each before it was learnt.
        auc: on held-out poses in the room. threshold: m. trusted: when stereo was lost.
        blind: share of the test in which nobody was trusted.
    """

    scheme: str
    student: str
    seed: int
    crashes: float
    near: float
    turns: float
    metres: float
    overrides: int
    tpr: float
    fpr: float
    learn_tpr: float
    learn_fpr: float
    auc: float
    threshold: float
    trusted: bool
    blind: float


class Student(Protocol):
    """What learns from stereo and answers alone."""

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None: ...

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        """Scan, and novelty of the picture."""
        ...


class NetworkStudent:
    """The network of ``depth.learner``."""

    def __init__(self, seed: int, memory: str) -> None:
        policy = ReplayMemory.model_validate({"policy": memory})
        self.learner = Learner(LearnerOptions(memory=policy), seed)
        self.mono = MonoDepth()
        self._frames = 0

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None:
        target = label(depth)
        if target is not None and np.isfinite(target).any():
            self.learner.step(pair.left, target)
        self._frames += 1
        if self._frames % _RELOAD_FRAMES == 0:
            places = self.learner.memory.features()
            self.mono.load(self.learner.weights(), self._frames, places)

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        prediction = self.mono.predict(pair.left)
        scan = obstacle_scan(MonoDepth.to_depth(prediction, pair.camera, pair.stamp), SCAN)
        return scan, 0.0 if prediction is None else prediction.novelty


class TextonStudent:
    """One distance for the whole view."""

    def __init__(self, seed: int, ahead: float) -> None:
        self.textons = Textons(TextonOptions(), seed)
        self._ahead = ahead

    def learn(self, pair: StereoPair, depth: DepthMap, scan: ObstacleScan) -> None:
        distance = nearest_ahead(scan, self._ahead)
        if not math.isnan(distance):
            self.textons.learn(pair.left, distance)

    def look(self, pair: StereoPair) -> tuple[ObstacleScan, float]:
        wide = DepthMap(
            np.ones((1, 1), np.float32), replace(pair.camera, width=1, height=1), pair.stamp
        )
        empty = obstacle_scan(replace(wide, valid=False), SCAN)
        distance = self.textons.predict(pair.left)
        if math.isnan(distance):
            return empty, 0.0
        view = np.arctan(pair.camera.width / 2 / pair.camera.fx)
        ranges = np.where(np.abs(empty.angles) <= view, distance, np.nan)
        return replace(empty, ranges=ranges.astype(np.float32), cue=Cue.MONO), 0.0


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
        self.reset()

    def reset(self) -> None:
        """Start counting."""
        self.crashes = self.near = self.frames = self.blind = 0
        self.metres = 0.0
        self.turns_before = self.avoid.turns
        self.marks: list[tuple[bool, bool]] = []  # an obstacle was near, one was called
        self._close = False

    def step(self) -> Frame | None:
        """One tick; after a touch the drone is set down somewhere else."""
        sensors = self.world.step(self.command)
        drone = self.world.vehicle
        assert isinstance(drone, Drone)
        self.metres += float(np.linalg.norm(drone.velocity[:2])) * self.world.tick
        close = sensors.clearance < self.plan.near_clearance
        self.near += close and not self._close
        self._close = close
        if sensors.clearance < 0:
            self.crashes += 1
            place, yaw = worlds.free_pose(self._rng, self._room, self._taken)
            self.world.vehicle = Drone(place, yaw, self.world.time)
            self._close = False
        return sensors.frames[0] if sensors.frames else None

    def mark(self, frame: Frame, mono: ObstacleScan, threshold: float) -> None:
        """Score the student against the true depth."""
        truth = obstacle_scan(DepthMap(frame.depth, frame.pair.camera), SCAN)
        ahead = self.plan.trust.ahead
        nearest, said = nearest_ahead(truth, ahead), nearest_ahead(mono, ahead)
        if not (math.isnan(nearest) or math.isnan(said)):
            self.marks.append((nearest < self.plan.trust.trigger, said < threshold))

    def rates(self) -> Rates:
        near, said = np.array(self.marks, bool).reshape(-1, 2).T
        return rates(said, near)


def run_cell(scheme: str, kind: str, seed: int, plan: Plan) -> Cell:
    """Fly one cell."""
    trust_options = plan.trust
    flight = _Flight(seed, plan)
    student: Student = (
        NetworkStudent(seed, plan.memory)
        if kind == "network"
        else TextonStudent(seed, trust_options.ahead)
    )
    matcher = StereoMatcher(STEREO)
    turns = stream(seed, "dagger")
    trust = Trust()
    wheels = Trust(driver=Driver.GUARDED, threshold=trust_options.trigger)
    mono_turn = False

    def count(minutes: float) -> int:
        return round(minutes * 60 / flight.world.tick)

    for k in range(count(plan.stereo_minutes + plan.learn_minutes)):
        frame = flight.step()
        if frame is None:
            continue
        pair = frame.pair
        depth = matcher.depth(pair)
        stereo = obstacle_scan(depth, SCAN)
        mono, novelty = student.look(pair)
        flight.mark(frame, mono, trust_options.trigger)
        weighed = weigh_scans(trust, stereo, mono, trust_options, novelty=novelty)
        trust = weighed.trust
        started = k >= count(plan.stereo_minutes) and mono.cue is not Cue.NONE
        if k % 100 == 0:
            mono_turn = bool(turns.random() < 0.5)
        scan = stereo
        if started and scheme == "gated":
            scan = weighed.scan
        elif started and scheme == "dagger" and mono_turn:
            scan = mono
        elif started and scheme == "training_wheels" and depth.valid:
            seen, told = (nearest_ahead(s, trust_options.ahead) for s in (stereo, mono))
            wheels = guard(wheels, Evidence(pair.stamp, True, seen, told), trust_options)
            scan = stereo if wheels.overriding else mono
        flight.command = flight.avoid.command(scan)
        if scheme != "stereo":
            student.learn(pair, depth, stereo)
    learn_tpr, learn_fpr = flight.rates()
    trusted = trust.trusted

    flight.reset()
    for _ in range(count(plan.test_minutes)):
        frame = flight.step()
        if frame is None:
            continue
        pair = frame.pair
        mono, novelty = student.look(pair)
        if scheme == "stereo":
            scan = obstacle_scan(matcher.depth(pair), SCAN)
        else:
            threshold = trust_options.trigger
            dead = replace(pair, right=np.zeros_like(pair.right))
            nothing = obstacle_scan(matcher.depth(dead), SCAN)
            scan = mono
            if scheme == "gated":
                weighed = weigh_scans(trust, nothing, mono, trust_options, novelty=novelty)
                trust, scan = weighed.trust, weighed.scan
                threshold = trust.threshold if trust.threshold > 0 else threshold
                flight.blind += trust.driver is Driver.NONE
            flight.mark(frame, mono, threshold)
        flight.frames += 1
        flight.command = flight.avoid.command(scan)
    tpr, fpr = flight.rates()
    per_minute = 1.0 / plan.test_minutes
    return Cell(
        scheme=scheme,
        student=kind,
        seed=seed,
        crashes=flight.crashes * per_minute,
        near=flight.near * per_minute,
        turns=(flight.avoid.turns - flight.turns_before) * per_minute,
        metres=flight.metres * per_minute,
        overrides=wheels.overrides + trust.overrides,
        tpr=tpr,
        fpr=fpr,
        learn_tpr=learn_tpr,
        learn_fpr=learn_fpr,
        auc=math.nan if scheme == "stereo" else held_out_auc(student, seed, plan),
        threshold=trust.threshold,
        trusted=trusted,
        blind=flight.blind / max(flight.frames, 1),
    )


def held_out_auc(student: Student, seed: int, plan: Plan) -> float:
    """Area under the ROC curve on random poses that nobody flew through on purpose."""
    room = rooms.plan(seed)
    _, taken = rooms.build(seed, room)
    rng = stream(seed, "held out")
    world = worlds.room(seed)
    assert world.camera is not None
    near, said = [], []
    for k in range(plan.held_out):
        place, yaw = worlds.free_pose(rng, room, taken, clearance=float(rng.uniform(0.15, 0.45)))
        frame = world.camera.capture(Still(rotation(0, 0, yaw)[0], place), 0.0, 100_000 + k)
        truth = obstacle_scan(DepthMap(frame.depth, frame.pair.camera), SCAN)
        scan, _ = student.look(frame.pair)
        pair = nearest_ahead(truth, plan.trust.ahead), nearest_ahead(scan, plan.trust.ahead)
        if not any(math.isnan(distance) for distance in pair):
            near.append(pair[0] < plan.trust.trigger)
            said.append(pair[1])
    return auc(np.array(said), np.array(near, bool))


def run_persistence(
    schemes: list[str],
    students: list[str],
    seeds: int,
    plan: Plan,
    folder: Path,
    processes: int,
    json_file: Path | None,
    out: Console,
) -> list[Cell]:
    """Fly every cell that ``folder`` doesn't hold yet, then print the table of all.

    Raises:
        InputError: an unknown scheme or student, or results that can't be read.
    """
    for given, known in ((schemes, SCHEMES), (students, STUDENTS)):
        for name in given:
            if name not in known:
                raise InputError(f"{name!r} is none of {', '.join(known)}")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (scheme, student, seed, plan, folder)
        for seed in range(seeds)
        for scheme in schemes
        for student in (students if scheme != "stereo" else students[:1])
    ]
    left = [job for job in jobs if not _file(*job).exists()]
    out.print(f"{len(jobs)} cells, {len(jobs) - len(left)} flown already")
    if left:
        with multiprocessing.get_context("spawn").Pool(min(processes, len(left))) as pool:
            for name in pool.imap_unordered(_fly, left):
                out.print(f"flown: {name}")
    cells = [_read(_file(*job)) for job in jobs]
    out.print(summary(cells))
    if json_file is not None:
        report = {"plan": plan.model_dump(), "cells": [_plain(cell) for cell in cells]}
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return cells


def _plain(cell: Cell) -> dict[str, object]:
    """JSON has no NaN: None."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(cell).items()
    }


def _read(path: Path) -> Cell:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["cell"]
        known: dict[str, Any] = {k: math.nan if v is None else v for k, v in values.items()}
        return Cell(**known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of this experiment: {error}") from None


def _file(scheme: str, student: str, seed: int, plan: Plan, folder: Path) -> Path:
    """Named by what it is of; a plan other than the default's gets its checksum too."""
    settings = plan.model_dump_json()
    variant = hashlib.sha256(settings.encode()).hexdigest()[:8]
    default = settings == Plan().model_dump_json()
    return folder / f"{scheme}-{student}-{seed}{'' if default else f'-{variant}'}.json"


def _fly(job: tuple[str, str, int, Plan, Path]) -> str:
    cv2.setNumThreads(1)  # the cells share the machine, not each its threads
    scheme, student, seed, plan, _ = job
    target = _file(*job)
    cell = run_cell(scheme, student, seed, plan)
    report = {"plan": plan.model_dump(), "cell": _plain(cell)}
    partial = target.with_suffix(".part")
    partial.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    partial.replace(target)
    return target.name


def bootstrap(values: list[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 90 % bootstrap interval over seeds; NaN values are left out."""
    known = np.array([v for v in values if not math.isnan(v)])
    if not len(known):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).choice(known, (2000, len(known))).mean(axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(known.mean()), float(low), float(high)


def summary(cells: list[Cell]) -> Table:
    """Mean over seeds with bootstrap intervals: a row per quantity, a column per scheme."""
    rows = ("crashes", "near", "turns", "metres", "tpr", "fpr", "learn_tpr", "learn_fpr", "auc",
            "blind")  # fmt: skip
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.scheme, cell.student), []).append(cell)
    heads = [f"{scheme} {student} ({len(of)})" for (scheme, student), of in groups.items()]
    table = Table("mean [90 %] over seeds", *heads)
    for name in rows:
        row = []
        for of in groups.values():
            mean, low, high = bootstrap([getattr(cell, name) for cell in of])
            interval = f" [{low:.2f}, {high:.2f}]" if len(of) > 1 else ""
            row.append("" if math.isnan(mean) else f"{mean:.2f}{interval}")
        table.add_row(name, *row)
    return table
