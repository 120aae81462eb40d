"""``ssl-perception experiment prior``: what a fresh student sees in rooms that it has never seen.

Before it has learnt anything there, and after some minutes of flight on stereo: on random poses of
the room, with the simulator's true distances. Once by every answer of the network, and once as it
flies, where it isn't certain left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config, StudentConfig
from ssl_perception.depth.learning.online import OnlineLearner
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception_sim.experiments.held_out import HeldOut, HeldOutScore
from ssl_perception_sim.experiments.parallel import each
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import DRONE, learning_pipeline


@dataclass(frozen=True)
class RoomScore:
    """One room after so many minutes of flight.

    Attributes:
        room: its seed.
        every: of every answer. certain: as it flies; ``unknown`` is what that leaves out.
        trusted_after: s of flight until trust was earned; NaN: not yet.
    """

    room: int
    every: HeldOutScore
    certain: HeldOutScore
    trusted_after: float


def score_room(poses: int, minutes: Sequence[float], config: Config, room: int) -> list[RoomScore]:
    """A fresh student in one room: a score after each of ``minutes``, which ascend from 0."""
    import cv2

    cv2.setNumThreads(1)
    held_out = HeldOut(room, poses, config.trust)
    pipeline = learning_pipeline("network", room, config.learner, trust=config.trust, base=config)
    learner = pipeline.learner
    assert isinstance(learner, OnlineLearner)
    flight = RoomFlight(room)
    frames = flight.fly(max(minutes) + 1.0)
    trusted_after = now = math.nan
    scores = []
    for minute in minutes:
        while minute > 0.0 and not now >= 60.0 * minute:
            frame = next(frames)
            now = frame.pair.stamp
            result = pipeline.process(frame.pair)
            flight.command = flight.avoid.command(result.scan)
            if result.trust.trusted and np.isnan(trusted_after):
                trusted_after = now
        learner.hand_over()
        everything = StudentInference(StudentConfig(exclude=0.0, new_place=100.0, max_novelty=2.0))
        everything.load(learner.learner.weights(), 0)
        certain = StudentInference(config.student)
        certain.load(learner.learner.weights(), 0)
        every, flies = (held_out.score(pipeline, minute, s) for s in (everything, certain))
        scores.append(RoomScore(room, every, flies, trusted_after))
    return scores


def run_prior(
    rooms: Sequence[int],
    poses: int,
    minutes: Sequence[float],
    settings: Sequence[str],
    processes: int,
    json_file: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Score, print the table, write the figures.

    Args:
        rooms: seeds. poses: in each. minutes: of flight before a score.
    """
    from ssl_perception import config as configuration

    config = configuration.override(DRONE, list(settings))
    score = partial(score_room, poses, sorted(minutes), config)
    scores: list[RoomScore] = []
    with progress_bar(console) as bar:
        task = bar.add_task("rooms", total=len(rooms))
        for found in each(score, rooms, processes):
            scores += found
            bar.advance(task)
    console.print(_table(scores))
    figures = {"poses": poses, "rows": [asdict(score) for score in scores]}
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def _table(scores: Sequence[RoomScore]) -> Table:
    table = Table(
        "room", "minutes", "AUC, every answer", "FPR at TPR 0.95", "AUC, certain", "TPR, FPR",
        "not certain", "trusted after, s",
    )  # fmt: skip

    def row(room: str, minute: float, chosen: Sequence[RoomScore], after: str) -> None:
        def mean(who: str, what: str) -> float:
            values = np.array([getattr(getattr(score, who), what) for score in chosen])
            known = values[~np.isnan(values)]
            return float(known.mean()) if len(known) else math.nan

        table.add_row(
            room, f"{minute:g}", f"{mean('every', 'auc'):.3f}", f"{mean('every', 'fpr_at_95'):.2f}",
            f"{mean('certain', 'auc'):.3f}",
            f"{mean('certain', 'tpr'):.2f}, {mean('certain', 'fpr'):.2f}",
            f"{mean('certain', 'unknown'):.0%}", after,
        )  # fmt: skip

    for score in scores:
        after = "" if np.isnan(score.trusted_after) else f"{score.trusted_after:.0f}"
        row(str(score.room), score.every.minute, [score], after)
    for minute in sorted({score.every.minute for score in scores}):
        chosen = [score for score in scores if score.every.minute == minute]
        worst = min(score.every.auc for score in chosen)
        trusted = sum(not np.isnan(score.trusted_after) for score in chosen)
        row("mean", minute, chosen, f"{trusted} of {len(chosen)}; worst AUC {worst:.3f}")
    return table
