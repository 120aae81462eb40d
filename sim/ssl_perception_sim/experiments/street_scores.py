"""``ssl-perception evaluate streets``: errors on simulated streets, by kind and by class."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config
from ssl_perception.datasets import FlowSample
from ssl_perception.errors import InputError
from ssl_perception.evaluation.flow_metrics import PARTS, score
from ssl_perception.evaluation.kept_results import KeptRows, fingerprint
from ssl_perception.flow import estimate_flow, find
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.resident_memory import forget_peak, peak_megabytes
from ssl_perception.types import SceneFlow
from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.world.categories import FOREGROUND
from ssl_perception_sim.world.road import StreetPlan

ZERO = "zero"  # overall errors flatter a method that predicts no motion: shown beside
# None: a plan of its own for each seed
KINDS: dict[str, StreetPlan | None] = {
    "any": None,
    "coaches": StreetPlan(lanes=2, vehicles=9, coaches=0.5, pedestrians=2, cyclists=1),
    "hills": StreetPlan(slope=0.12, vehicles=6),
    "walkers": StreetPlan(vehicles=3, pedestrians=15, cyclists=4),
    "crowd": StreetPlan(vehicles=2, pedestrians=40, cyclists=8),
}


def without_times(sample: FlowSample) -> FlowSample:
    """The same pair without the time of each point (xyz only)."""
    source, target = (
        dataclasses.replace(cloud, time=None) for cloud in (sample.source, sample.target)
    )
    return dataclasses.replace(sample, source=source, target=target)


def class_sums(sample: FlowSample, flow: np.ndarray, moving: np.ndarray) -> dict[str, np.ndarray]:
    """Of each class's dynamic points: their number, summed error and true length (m), and how many
    are called moving."""
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


@dataclasses.dataclass(frozen=True, eq=False)
class StreetResult:
    """A method's answer on one street, scored.

    Attributes:
        figures: of ``flow_metrics.score``, ``seconds`` and ``peak_mb``.
        classes: of ``class_sums``.
    """

    figures: dict[str, float]
    classes: dict[str, np.ndarray]


def score_street(sample: FlowSample, method: str, config: Config) -> StreetResult:
    """Run a method on one street's pair; ``ZERO`` predicts no motion."""
    forget_peak()
    if method == ZERO:
        answer = SceneFlow.still(len(sample.source), sample.interval)
    else:
        _, options = find(method, flow=config.flow)
        answer = estimate_flow(sample.source, sample.target, method, options=options)
    costs = {"seconds": answer.seconds, "peak_mb": peak_megabytes()}
    figures = score(sample, answer) | costs
    return StreetResult(figures, class_sums(sample, answer.flow, answer.moving))


def summarise(results: Iterable[StreetResult]) -> dict[str, Any]:
    """Means over streets, the worst three-way error, and the dynamic error of each class."""
    streets = list(results)
    rows: dict[str, Any] = {}
    for figure in ("epe_three_way", *PARTS):
        rows[figure] = _mean([street.figures[figure] for street in streets])
    known = [s.figures["epe_three_way"] for s in streets]
    known = [error for error in known if not math.isnan(error)]
    rows["worst_three_way"] = max(known, default=None)
    rows["seconds_median"] = float(np.median([s.figures["seconds"] for s in streets]))
    rows["peak_mb"] = max(s.figures["peak_mb"] for s in streets)
    rows["classes"] = {}
    for name in streets[0].classes:
        sums = np.sum([street.classes[name] for street in streets], axis=0)
        points, error, length, moving = (float(value) for value in sums)
        if points:
            rows["classes"][name] = {
                "points": int(points),
                "epe": error / points,
                "zero_flow": length / points,
                "moving": moving / points,
            }
    return rows


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else None


def run_evaluate_streets(
    seeds: Sequence[int],
    kinds: Sequence[str],
    methods: Sequence[str],
    xyz: bool,
    config: Config,
    json_file: Path | None,
    resume: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Score every method, and zero flow, on every street, print the tables, write the figures.

    Args:
        seeds: one street each.
        kinds: of street, keys of ``KINDS``.
        methods: solvers or ``solver:preset``.
        xyz: leave the time of each point out.
        resume: JSON-lines file that takes each result as it comes; a killed run goes on from there.

    Raises:
        InputError: an unknown kind or method, or a file that can't be used.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"--kind {kind}: choose from {', '.join(KINDS)}")
    for method in methods:
        find(method)
    names, kinds = [ZERO, *dict.fromkeys(methods)], list(dict.fromkeys(kinds))
    settings = fingerprint("evaluate streets", xyz, config.flow.model_dump_json())
    kept = KeptRows(resume, settings, "evaluate streets", _parse)
    with progress_bar(console) as bar:
        task = bar.add_task("streets", total=len(kinds) * len(seeds) * len(names))
        for kind in kinds:
            for seed in seeds:
                missing = [name for name in names if (kind, name, seed) not in kept]
                bar.advance(task, len(names) - len(missing))
                if not missing:
                    continue
                pair = next(street_pairs([seed], plan=KINDS[kind]))
                sample = without_times(pair) if xyz else pair
                for name in missing:
                    result = score_street(sample, name, config)
                    kept.add((kind, name, seed), result, _row(kind, name, seed, result))
                    bar.advance(task)
    results = [
        {"kind": kind, "method": name, "xyz": xyz, "seeds": list(seeds)}
        | summarise(kept[kind, name, seed] for seed in seeds)
        for kind in kinds
        for name in names
    ]
    show(results, console)
    figures = {"results": results}
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def _row(kind: str, method: str, seed: int, result: StreetResult) -> dict[str, Any]:
    figures = {k: None if math.isnan(v) else float(v) for k, v in result.figures.items()}
    classes = {name: sums.tolist() for name, sums in result.classes.items()}
    key = {"kind": kind, "method": method, "seed": seed}
    return {**key, "figures": figures, "classes": classes}


def _parse(row: Any) -> tuple[tuple[str, str, int], StreetResult]:
    figures = {k: math.nan if v is None else float(v) for k, v in row["figures"].items()}
    for name in ("epe_three_way", *PARTS, "seconds", "peak_mb"):
        figures[name]
    classes = {name: np.array(sums, np.float64) for name, sums in row["classes"].items()}
    if any(sums.shape != (4,) for sums in classes.values()):
        raise ValueError("other sums")
    return (str(row["kind"]), str(row["method"]), int(row["seed"])), StreetResult(figures, classes)


def show(results: list[dict[str, Any]], console: Console) -> None:
    """Two tables: errors by kind of street, and by class."""

    def text(value: float | None) -> str:
        return "–" if value is None else f"{value:.4f}"

    table = Table(
        "kind", "method", "3-way m", "worst", "FD m", "FS m", "BS m", "ms", "MiB", box=None
    )
    for row in results:
        table.add_row(
            row["kind"],
            row["method"] + (" xyz" if row["xyz"] else ""),
            *(text(row[k]) for k in ("epe_three_way", "worst_three_way", *PARTS)),
            f"{1e3 * row['seconds_median']:.0f}",
            f"{row['peak_mb']:.0f}",
        )
    console.print(table)
    console.print(
        "3-way: mean of foreground dynamic (FD), foreground static (FS) and background static (BS) "
        "end-point error; worst: of the streets; MiB: most memory of the whole process\n"
    )
    table = Table("kind", "method", "class", "points", "EPE m", "moving", box=None)
    for row in results:
        for name, values in row["classes"].items():
            table.add_row(
                row["kind"],
                row["method"] + (" xyz" if row["xyz"] else ""),
                name.lower(),
                str(values["points"]),
                f"{values['epe']:.3f}",
                f"{values['moving']:.0%}",
            )
    console.print(table)
    console.print("Dynamic points of each class; moving: share of them that the method calls so")
