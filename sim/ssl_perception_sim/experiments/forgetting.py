"""``ssl-perception experiment forgetting``: what a second room does to what the first one taught.

A drone flies on stereo through one room after the other. Two students learn from the same frames:
one whose replay memory is chosen for coverage, one that keeps only the newest frames. After each
room both are scored on held-out poses of every room, and of one that is never flown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.table import Table

from ssl_perception.config import LearnerConfig
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception_sim.experiments.held_out import HeldOut
from ssl_perception_sim.experiments.persistence import Plan
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import learning_pipeline
from ssl_perception_sim.world import worlds

POLICIES = ("coverage", "recent")


def score_students(
    rooms: Sequence[int],
    unseen: int,
    minutes: float,
    plan: Plan,
    advance: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """A row per memory policy, room just flown and room scored: ``auc`` and ``fpr_at_95``.

    Args:
        rooms: seeds, in the order in which they are flown. unseen: seed of a room that isn't.
        minutes: in each.
        advance: called after each frame.
    """
    options = {p: LearnerConfig.model_validate({"memory": {"policy": p}}) for p in POLICIES}
    pipelines = {
        p: learning_pipeline("network", rooms[0], learner) for p, learner in options.items()
    }
    poses = {seed: HeldOut(seed, plan.held_out, plan.trust) for seed in (*rooms, unseen)}
    rows = []
    for flown in rooms:
        flight = RoomFlight(flown)
        for frame in flight.fly(minutes):
            results = [pipeline.process(frame.pair) for pipeline in pipelines.values()]
            flight.command = flight.avoid.command(results[0].stereo_scan)
            advance()
        for policy, pipeline in pipelines.items():
            for asked, held_out in poses.items():
                score = held_out.score(pipeline, minutes)
                rows.append(
                    {
                        "memory": policy,
                        "after": flown,
                        "asked": asked,
                        "auc": score.auc,
                        "fpr_at_95": score.fpr_at_95,
                    }
                )
    return rows


def run_forgetting(
    rooms: Sequence[int], unseen: int, minutes: float, json_file: Path | None, console: Console
) -> dict[str, Any]:
    """Fly, score, print the table, write the figures.

    Raises:
        InputError: the unseen room is among those flown, or a file can't be written.
    """
    if unseen in rooms:
        raise InputError(f"--unseen {unseen}: is one of the rooms that are flown")
    cv2.setNumThreads(1)
    with progress_bar(console) as bar:
        frames = len(rooms) * round(minutes * 60 / worlds.room(rooms[0]).tick)
        task = bar.add_task("frames", total=frames)
        rows = score_students(rooms, unseen, minutes, Plan(), lambda: bar.advance(task))
    table = Table("memory", "after room", "scored in room", "AUC", "FPR at TPR 0.95")
    for row in rows:
        asked = f"{row['asked']}{' (never flown)' if row['asked'] == unseen else ''}"
        scores = (f"{row['auc']:.3f}", f"{row['fpr_at_95']:.3f}")
        table.add_row(row["memory"], str(row["after"]), asked, *scores)
    console.print(table)
    figures = {"rooms": list(rooms), "unseen": unseen, "minutes": minutes, "rows": rows}
    if json_file is not None:
        plain = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
            for row in rows
        ]
        write_json(json_file, {**figures, "rows": plain})
    return figures
