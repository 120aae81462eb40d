"""How well methods find the flow in streets they have never seen, class by class.

python -m ssl_perception_sim.score --seeds 0-9
python -m ssl_perception_sim.score --kind coaches --kind crowd --seeds 0-4 --xyz
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ssl_perception.datasets import FlowSample
from ssl_perception.errors import InputError
from ssl_perception.evaluation.flow_metrics import PARTS, score
from ssl_perception.flow import estimate_flow, find
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.resident_memory import forget_peak, peak_megabytes
from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.world.categories import FOREGROUND
from ssl_perception_sim.world.road import StreetPlan

# None: a plan of its own for each seed
KINDS: dict[str, StreetPlan | None] = {
    "any": None,
    "coaches": StreetPlan(lanes=2, vehicles=9, coaches=0.5, pedestrians=2, cyclists=1),
    "hills": StreetPlan(slope=0.12, vehicles=6),
    "walkers": StreetPlan(vehicles=3, pedestrians=15, cyclists=4),
    "crowd": StreetPlan(vehicles=2, pedestrians=40, cyclists=8),
}


def without_times(sample: FlowSample) -> FlowSample:
    """The same pair as a sensor gives it that tells no time per point."""
    source, target = (
        dataclasses.replace(cloud, time=None) for cloud in (sample.source, sample.target)
    )
    return dataclasses.replace(sample, source=source, target=target)


def class_sums(sample: FlowSample, flow: np.ndarray, moving: np.ndarray) -> dict[str, np.ndarray]:
    """Of each class's dynamic points: how many, error and truth (m, summed), how many move."""
    assert sample.flow is not None
    assert sample.category is not None
    assert sample.dynamic is not None
    error = np.linalg.norm(flow - sample.flow, axis=1)
    length = np.linalg.norm(sample.flow, axis=1)
    sums = {}
    for category in FOREGROUND:
        own = sample.dynamic & (sample.category == category)
        sums[category.name] = np.array(
            [own.sum(), error[own].sum(), length[own].sum(), moving[own].sum()], np.float64
        )
    return sums


def run(
    kind: str, seeds: Iterable[int], method: str, xyz: bool, console: Console
) -> dict[str, Any]:
    """Figures of one kind of street: the mean and the worst three-way error, its parts, classes."""
    scores, classes = [], []
    chosen = list(seeds)
    with progress_bar(console) as bar:
        task = bar.add_task(f"{method}, {kind}", total=len(chosen))
        for pair in street_pairs(chosen, plan=KINDS[kind]):
            sample = without_times(pair) if xyz else pair
            forget_peak()
            answer = estimate_flow(sample.source, sample.target, method)
            costs = {"seconds": answer.seconds, "peak_mb": peak_megabytes()}
            scores.append(score(sample, answer) | costs)
            classes.append(class_sums(sample, answer.flow, answer.moving))
            bar.advance(task)
    rows: dict[str, Any] = {"kind": kind, "method": method, "xyz": xyz, "seeds": chosen}
    for figure in ("epe_three_way", *PARTS):
        rows[figure] = float(np.nanmean([s[figure] for s in scores]))
    rows["worst_three_way"] = float(np.nanmax([s["epe_three_way"] for s in scores]))
    rows["seconds_median"] = float(np.median([s["seconds"] for s in scores]))
    rows["peak_mb"] = max(s["peak_mb"] for s in scores)
    rows["classes"] = {}
    for name in classes[0]:
        points, error, length, moving = np.sum([sums[name] for sums in classes], axis=0)
        if points:
            rows["classes"][name] = {
                "points": int(points),
                "epe": error / points,
                "zero_flow": length / points,
                "moving": moving / points,
            }
    return rows


def seed_range(text: str) -> range:
    """``100-109`` or ``3``.

    Raises:
        InputError: neither.
    """
    first, _, last = text.partition("-")
    if not (first.isdigit() and (last or first).isdigit()):
        raise InputError(f"--seeds {text}: want FIRST-LAST or one number")
    return range(int(first), int(last or first) + 1)


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Two tables: errors by kind of street, and by class."""
    table = Table(
        "kind", "method", "3-way m", "worst", "dynamic", "static fg", "static bg", "ms", "MiB"
    )
    for row in results:
        table.add_row(
            row["kind"],
            row["method"] + (" xyz" if row["xyz"] else ""),
            *(f"{row[k]:.4f}" for k in ("epe_three_way", "worst_three_way", *PARTS)),
            f"{1e3 * row['seconds_median']:.0f}",
            f"{row['peak_mb']:.0f}",
        )
    console.print(table)
    table = Table("kind", "method", "class that moves", "points", "error m", "zero flow m", "found")
    for row in results:
        for name, values in row["classes"].items():
            table.add_row(
                row["kind"],
                row["method"] + (" xyz" if row["xyz"] else ""),
                name.lower(),
                str(values["points"]),
                f"{values['epe']:.3f}",
                f"{values['zero_flow']:.3f}",
                f"{values['moving']:.0%}",
            )
    console.print(table)


def main(
    seeds: Annotated[str, typer.Option(help="FIRST-LAST, one street each.")] = "0-4",
    kind: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(KINDS)}; all if none.")
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="As for evaluate flow.")] = None,
    xyz: Annotated[bool, typer.Option("--xyz", help="Leave the time of each point out.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Score methods on streets made by seed; zero flow stands beside every class."""
    console = Console(width=110)
    try:
        for name in kind or ():
            if name not in KINDS:
                raise InputError(f"--kind {name}: choose from {', '.join(KINDS)}")
        for name in method or ():
            find(name)
        results = [
            run(name, seed_range(seeds), one, xyz, console)
            for one in method or ["rigid_cluster"]
            for name in kind or KINDS
        ]
        show(results, console)
        if json_file is not None:
            write_json(json_file, {"results": results})
    except InputError as error:
        Console(stderr=True).print(f"error: {error}", style="red", soft_wrap=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
