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
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.depth.trust.state import Trust
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception_sim.experiments.fly import SCAN, STEREO
from ssl_perception_sim.experiments.held_out import HeldOut
from ssl_perception_sim.experiments.persistence import Plan
from ssl_perception_sim.experiments.students import NetworkStudent
from ssl_perception_sim.world import worlds

POLICIES = ("coverage", "recent")


def run(rooms: list[int], unseen: int, minutes: float, plan: Plan) -> list[dict[str, Any]]:
    """A row per policy, room just flown and room asked about: ``auc`` and ``fpr_at_95``.

    Args:
        rooms: seeds, in the order in which they are flown. unseen: seed of a room that isn't.
        minutes: in each.
    """
    students = {
        policy: NetworkStudent(
            rooms[0], LearnerConfig.model_validate({"memory": {"policy": policy}})
        )
        for policy in POLICIES
    }
    poses = {seed: HeldOut(seed, plan.held_out, plan.trust) for seed in (*rooms, unseen)}
    rows = []
    for flown in rooms:
        world, matcher, avoid = worlds.room(flown), StereoMatcher(STEREO), Avoid(seed=flown)
        command = Command()
        for _ in range(round(minutes * 60 / world.tick)):
            for frame in world.step(command).frames:
                depth = matcher.depth(frame.pair)
                scan = obstacle_scan(depth, SCAN)
                command = avoid.command(scan)
                for student in students.values():
                    student.learn(frame.pair, depth, scan)
        for policy, student in students.items():
            for asked, held_out in poses.items():
                point = held_out.score(student, Trust(), minutes)
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
