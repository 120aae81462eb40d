"""Does the student forget the first room in the second, and what does the memory do about it?

    python -m ssl_perception_sim.forgetting --rooms 2,3 --minutes 5

A drone flies on stereo through one room, then through another. Two students learn from the same
frames: one whose memory is chosen for coverage, one that remembers only the newest. Both are asked
about held-out poses of both rooms, and of a third, whose walls and things neither has seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import cv2
import typer
from rich.console import Console
from rich.table import Table

from ssl_perception.config import LearnerConfig
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception_sim.experiments.held_out import HeldOut
from ssl_perception_sim.experiments.persistence import Plan
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import learning_pipeline

POLICIES = ("coverage", "recent")


def run(rooms: list[int], unseen: int, minutes: float, plan: Plan) -> list[dict[str, Any]]:
    """A row per policy, room just flown and room asked about: ``auc`` and ``fpr_at_95``.

    Args:
        rooms: seeds, in the order in which they are flown. unseen: seed of a room that isn't.
        minutes: in each.
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
        for policy, pipeline in pipelines.items():
            for asked, held_out in poses.items():
                point = held_out.score(pipeline, minutes)
                rows.append(
                    {
                        "memory": policy,
                        "after": flown,
                        "asked": asked,
                        "auc": point.auc,
                        "fpr_at_95": point.fpr_at_95,
                    }
                )
    return rows


def main(
    rooms: Annotated[str, typer.Option(help="Seeds, in the order flown, with commas.")] = "2,3",
    unseen: Annotated[int, typer.Option(help="Seed of a room that isn't flown.")] = 4,
    minutes: Annotated[float, typer.Option(min=0.1, help="In each room.")] = 5.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """What is left of the first room after the second, with memory and without."""
    console = Console()
    try:
        seeds = [int(seed) for seed in rooms.split(",")]
    except ValueError:
        Console(stderr=True).print(f"error: --rooms {rooms}: want numbers with commas", style="red")
        raise typer.Exit(2) from None
    cv2.setNumThreads(1)
    rows = run(seeds, unseen, minutes, Plan())
    table = Table("memory", "after room", "asked about", "AUC", "FPR at TPR 0.95")
    for row in rows:
        about = f"{row['asked']}{' (never seen)' if row['asked'] == unseen else ''}"
        figures = (f"{row['auc']:.3f}", f"{row['fpr_at_95']:.3f}")
        table.add_row(row["memory"], str(row["after"]), about, *figures)
    console.print(table)
    try:
        if json_file is not None:
            write_json(json_file, {"rooms": seeds, "minutes": minutes, "rows": rows})
    except InputError as error:
        Console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
