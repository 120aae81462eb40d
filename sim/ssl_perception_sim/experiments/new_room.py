"""``ssl-perception experiment new-room``: a student that has earned trust is set down elsewhere.

A drone learns from stereo in one room, under the gate. Then, without learning any further, it flies
on where stereo is dead: in that room (what caution costs), and in rooms that it has never seen,
from the first frame on or after some seconds of stereo there. What counts is the sectors of the
scan it is given: how many of those with an obstacle nearer than ``near`` read free. The true depth
is the simulator's; all that perceives is the robot's own pipeline.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.console import progress_bar
from ssl_perception.types import ActiveCue, DepthMap
from ssl_perception_sim.experiments.parallel import each
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import DRONE, learning_pipeline
from ssl_perception_sim.sensors.camera import Frame

FREE = 1.1  # m; a sector that reads so much or more reads free
NEAR = 0.6  # m; an obstacle nearer than this must not be in it


@dataclass(frozen=True)
class SetDown:
    """One flight without learning.

    Attributes:
        home, room: seeds; where it learnt, and where it flew then.
        stereo_seconds: of stereo in this room before it failed; 0: none.
        trusted: when stereo failed. mono: share of the frames in which mono was in control.
        near: sectors with an obstacle nearer than ``NEAR``. false_free: those of them that read
            free. unknown: share of the sectors within the camera's view that were unknown.
        crashes: times. metres: flown a minute. novelty: mean. reasons: the commonest, in words.
    """

    home: int
    room: int
    stereo_seconds: float
    trusted: bool
    mono: float
    near: int
    false_free: int
    unknown: float
    crashes: int
    metres: float
    novelty: float
    reasons: str


def set_down(
    pipeline: DepthPipeline,
    home: int,
    room: int,
    minutes: float,
    stereo_seconds: float,
    start_stamp: float,
    watch: Callable[[Frame, Any], None] = lambda frame, result: None,
) -> SetDown:
    """Fly ``minutes`` without learning; stereo fails after ``stereo_seconds``.

    Args:
        pipeline: is not changed: a fork of it flies.
        start_stamp: s, of the first frame: the clock of the flight before goes on.
        watch: sees each frame and its result.
    """
    pipeline = pipeline.fork()
    flight = RoomFlight(room, start=1)
    flight.lose_stereo(stereo_seconds)
    near = false_free = mono = frames = 0
    unknown: list[float] = []
    novelty: list[float] = []
    reasons: dict[str, int] = {}
    trusted = pipeline.fusion.trust.trusted
    for frame in flight.fly(minutes):
        pair = replace(frame.pair, stamp=frame.pair.stamp + start_stamp)
        result = pipeline.process(pair)
        flight.command = flight.avoid.command(result.scan)
        watch(frame, result)
        if frame.pair.stamp < stereo_seconds:
            trusted = result.trust.trusted
            continue
        truth = obstacle_scan(DepthMap(frame.depth, pair.camera), pipeline.config.scan).ranges
        seen = ~np.isnan(truth)
        close = seen & (truth < NEAR)
        read = result.scan.ranges
        near += int(close.sum())
        false_free += int((read[close] >= FREE).sum())
        unknown.append(float(np.isnan(read[seen]).mean()) if seen.any() else math.nan)
        mono += result.trust.active_cue is ActiveCue.MONO
        frames += 1
        assert result.mono is not None
        novelty.append(result.mono.novelty)
        reason = result.trust.reason.partition("; ")[2].split(":")[0] or result.trust.reason
        reasons[reason] = reasons.get(reason, 0) + 1
    return SetDown(
        home,
        room,
        stereo_seconds,
        trusted,
        mono / max(frames, 1),
        near,
        false_free,
        float(np.nanmean(unknown)),
        flight.crashes,
        flight.metres / minutes,
        float(np.mean(novelty)),
        max(reasons, key=lambda reason: reasons[reason], default=""),
    )


def learn_at_home(home: int, minutes: float, config: Config) -> tuple[DepthPipeline, float]:
    """A gated flight; the pipeline after it, and the stamp of its last frame."""
    pipeline = learning_pipeline("network", home, config.learner, trust=config.trust, base=config)
    flight = RoomFlight(home)
    stamp = 0.0
    for frame in flight.fly(minutes):
        result = pipeline.process(frame.pair)
        flight.command = flight.avoid.command(result.scan)
        stamp = frame.pair.stamp
    return pipeline, stamp


def from_home(
    home: int, rooms: Sequence[int], learn: float, minutes: float, stereo: float, config: Config
) -> list[SetDown]:
    """All that follows from one flight at home: the same room again, and each new room twice."""
    pipeline, stamp = learn_at_home(home, learn, config)
    start = stamp + 0.1
    rows = [set_down(pipeline, home, home, minutes, 0.0, start)]
    for room in rooms:
        rows.append(set_down(pipeline, home, room, minutes, 0.0, start))
        if stereo > 0:
            rows.append(set_down(pipeline, home, room, minutes, stereo, start))
    return rows


def run_new_room(
    homes: Sequence[int],
    new_rooms: int,
    learn: float,
    minutes: float,
    stereo: float,
    settings: Sequence[str],
    processes: int,
    json_file: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Fly, print the table, write the figures.

    Args:
        homes: seeds of the rooms that are learnt. new_rooms: that follow each, seeds ``1000 home``
            onwards.
    """
    from ssl_perception import config as configuration

    config = configuration.override(DRONE, list(settings))
    fly = partial(_job, new_rooms, learn, minutes, stereo, config)
    rows: list[SetDown] = []
    with progress_bar(console) as bar:
        task = bar.add_task("rooms to learn in", total=len(homes))
        for found in each(fly, homes, processes):
            rows += found
            bar.advance(task)
    console.print(_table(rows))
    figures = {"free": FREE, "near": NEAR, "rows": [asdict(row) for row in rows]}
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def _job(
    new_rooms: int, learn: float, minutes: float, stereo: float, config: Config, home: int
) -> list[SetDown]:
    import cv2

    cv2.setNumThreads(1)
    rooms = range(1000 * home + 1, 1000 * home + 1 + new_rooms)
    return from_home(home, rooms, learn, minutes, stereo, config)


def _table(rows: Sequence[SetDown]) -> Table:
    table = Table(
        "learnt in", "set down in", "stereo, s", "trusted", "mono drives", "near sectors",
        "read free", "unknown", "crashes", "m a minute", "novelty", "mostly because",
    )  # fmt: skip
    for row in rows:
        place = "the same room" if row.room == row.home else str(row.room)
        table.add_row(
            str(row.home), place, f"{row.stereo_seconds:g}", "yes" if row.trusted else "no",
            f"{row.mono:.0%}", str(row.near), str(row.false_free), f"{row.unknown:.0%}",
            str(row.crashes), f"{row.metres:.1f}", f"{row.novelty:.2f}", row.reasons,
        )  # fmt: skip
    for name, chosen in (
        ("known", [r for r in rows if r.room == r.home]),
        ("new, stereo dead", [r for r in rows if r.room != r.home and not r.stereo_seconds]),
        ("new, stereo first", [r for r in rows if r.room != r.home and r.stereo_seconds]),
    ):
        if not chosen:
            continue
        near = sum(r.near for r in chosen)
        false_free = sum(r.false_free for r in chosen)
        table.add_row(
            "all", name, "", f"{np.mean([r.trusted for r in chosen]):.0%}",
            f"{np.mean([r.mono for r in chosen]):.0%}", str(near),
            f"{false_free} ({false_free / max(near, 1):.2%})",
            f"{np.mean([r.unknown for r in chosen]):.0%}", str(sum(r.crashes for r in chosen)),
            f"{np.mean([r.metres for r in chosen]):.1f}",
            f"{np.mean([r.novelty for r in chosen]):.2f}", "",
        )  # fmt: skip
    return table
