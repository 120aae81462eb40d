"""Runs the persistence experiment's flights, several at a time, and shows what they came to."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.io.output_paths import check_outputs
from ssl_perception.io.write import write_json
from ssl_perception_sim.experiments.held_out import Point
from ssl_perception_sim.experiments.persistence import (
    SCHEMES,
    STUDENTS,
    Cell,
    Death,
    Plan,
    Result,
    fly,
)

_RATES = ("tpr", "fpr", "learn_tpr", "learn_fpr")
_ROWS = ("crashes", "near", "turns", "metres", "overrides", *_RATES, "blind")
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Job:
    """One flight to be flown, or flown already."""

    scheme: str
    student: str
    seed: int
    plan: Plan
    folder: Path

    @property
    def file(self) -> Path:
        """Named by what it is of; a plan other than the default's gets its checksum too."""
        settings = self.plan.model_dump_json()
        variant = hashlib.sha256(settings.encode()).hexdigest()[:8]
        default = settings == Plan().model_dump_json()
        name = f"{self.scheme}-{self.student}-{self.seed}{'' if default else f'-{variant}'}.json"
        return self.folder / name


def run_persistence(
    schemes: Sequence[str],
    students: Sequence[str],
    seeds: int,
    plan: Plan,
    folder: Path,
    processes: int,
    json_file: Path | None,
    report: Path | None,
    out: Console,
) -> dict[Job, Result]:
    """Fly every flight that ``folder`` doesn't hold yet, then print the table of all.

    Raises:
        InputError: an unknown scheme or student, or results that can't be read.
    """
    for given, known in ((schemes, SCHEMES), (students, STUDENTS)):
        for name in given:
            if name not in known:
                raise InputError(f"{name!r} is none of {', '.join(known)}")
    jobs = [
        Job(scheme, student, seed, plan, folder)
        for scheme in schemes
        for student in (students if scheme != "stereo" else students[:1])
        for seed in range(seeds)
    ]
    flights = {f"the flight {job.file.stem}": job.file for job in jobs}
    check_outputs([], {"--out": folder, **flights, "--json": json_file, "--report": report})
    folder.mkdir(parents=True, exist_ok=True)
    # read now: what can't be used must not come to light after hours of flying
    results = {job: read(job.file, job.plan) for job in jobs if job.file.exists()}
    left = [job for job in jobs if job not in results]
    out.print(f"{len(jobs)} flights, {len(results)} flown already")
    if left:
        with multiprocessing.get_context("spawn").Pool(min(processes, len(left))) as pool:
            for name in pool.imap_unordered(_fly, left):
                out.print(f"flown: {name}")
    results = {job: results[job] if job in results else read(job.file) for job in jobs}
    tables = [tests(results.values()), learning(results), deaths(results)]
    for table in tables:
        if table.row_count:
            out.print(table)
    if json_file is not None:
        flown = [{"file": j.file.name, **_plain(r)} for j, r in results.items()]
        content = {"plan": plan.model_dump(), "flights": flown}
        write_json(json_file, content)
    if report is not None:
        sections = [
            Section(str(t.title), header=_heads(t), rows=_cells(t)) for t in tables if t.row_count
        ]
        sections[0].figures = [(outcomes(results.values()), "after stereo is lost: a dot per room")]
        sections[-1].figures = [(curves(results), "learning curves on held-out poses")]
        write_html(report, "Persistence: stereo teaches, then dies", _lead(plan, seeds), sections)
    return results


def _lead(plan: Plan, seeds: int) -> str:
    return (
        f"{seeds} rooms; tests of {plan.test_minutes:g} minutes after "
        + " and ".join(f"{m:g}" for m in plan.learn_minutes)
        + " minutes of flight. Means with 90 % bootstrap intervals over rooms."
    )


def _fly(job: Job) -> str:
    cv2.setNumThreads(1)  # the flights share the machine, not each its threads
    result = fly(job.scheme, job.student, job.seed, job.plan)
    content = {"plan": job.plan.model_dump(), **_plain(result)}
    write_json(job.file, content)
    return job.file.name


def _plain(result: Result) -> dict[str, object]:
    """JSON has no NaN: None."""

    def plain(row: Cell | Point | Death) -> dict[str, object]:
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(row).items()
        }

    return {
        "cells": [plain(row) for row in result.cells],
        "curve": [plain(row) for row in result.curve],
        "deaths": [plain(row) for row in result.deaths],
    }


def read(path: Path, plan: Plan | None = None) -> Result:
    """A flight's file.

    Args:
        plan: that it must have been flown with; None: any.

    Raises:
        InputError: not one, or flown with another plan (the defaults have changed since).
    """

    def rows(kind: type, stored: list[dict[str, Any]]) -> tuple[Any, ...]:
        return tuple(
            kind(**{k: math.nan if v is None else v for k, v in row.items()}) for row in stored
        )

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        flown_with = Plan.model_validate(values["plan"])
        result = Result(
            rows(Cell, values["cells"]), rows(Point, values["curve"]), rows(Death, values["deaths"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of this experiment: {error}") from None
    if plan is not None and flown_with != plan:
        before, now = flown_with.model_dump(), plan.model_dump()
        names = ", ".join(name for name in now if before[name] != now[name])
        raise InputError(f"{path}: flown with another plan: {names} differ; take another folder")
    return result


def bootstrap(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 90 % bootstrap interval over seeds; NaN values are left out."""
    known = np.array([v for v in values if not math.isnan(v)])
    if not len(known):
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).choice(known, (2000, len(known))).mean(axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    return float(known.mean()), float(low), float(high)


def _mean(values: Sequence[float], digits: int = 2) -> str:
    mean, low, high = bootstrap(values)
    if math.isnan(mean):
        return ""
    interval = f" [{low:.{digits}f}, {high:.{digits}f}]" if len(values) > 1 else ""
    return f"{mean:.{digits}f}{interval}"


def _by_test(results: Iterable[Result]) -> dict[tuple[str, str, str, float], list[Cell]]:
    groups: dict[tuple[str, str, str, float], list[Cell]] = {}
    for result in results:
        for cell in result.cells:
            key = (cell.scheme, cell.student, cell.test, cell.learnt)
            groups.setdefault(key, []).append(cell)
    return groups


def tests(results: Iterable[Result]) -> Table:
    """A row per scheme, student, test and length of learning; means over seeds."""
    table = Table("scheme", "student", "test", "learnt", "rooms", "trusted", *_ROWS)
    table.title = (
        "Stereo lost for good; crashes, near misses, turns and metres a minute; overrides of mono "
        "by stereo in all of learning"
    )
    for (scheme, student, test, learnt), of in _by_test(results).items():
        trusted = f"{sum(cell.trusted for cell in of)}" if scheme == "gated" else ""
        values = [_mean([getattr(cell, name) for cell in of]) for name in _ROWS]
        minutes = f"{learnt:g}" if learnt else ""
        table.add_row(scheme, student, test, minutes, str(len(of)), trusted, *values)
    return table


def _by_group(results: dict[Job, Result]) -> dict[tuple[str, str], dict[float, list[Point]]]:
    groups: dict[tuple[str, str], dict[float, list[Point]]] = {}
    for job, result in results.items():
        for point in result.curve:
            curve = groups.setdefault((job.scheme, job.student), {})
            curve.setdefault(point.minute, []).append(point)
    return groups


def learning(results: dict[Job, Result]) -> Table:
    """Scores on held-out poses over time; means over seeds."""
    table = Table("scheme", "student", "minute", "rooms", "AUC", "FPR at TPR 0.95", "TPR", "FPR")
    table.title = "Held-out poses; TPR and FPR of the threshold calibrated in flight"
    for (scheme, student), curve in _by_group(results).items():
        for minute, points in sorted(curve.items()):
            values = [
                _mean([getattr(point, name) for point in points], 3)
                for name in ("auc", "fpr_at_95", "tpr", "fpr")
            ]
            table.add_row(scheme, student, f"{minute:g}", str(len(points)), *values)
    return table


def deaths(results: dict[Job, Result]) -> Table:
    """Stereo dying in mid-flight, by who drove half a second later."""
    table = Table("driver", "deaths", "crashed", "least clearance, m", "metres flown")
    table.title = "Stereo dies at a random time: the seconds after"
    of: dict[str, list[Death]] = {}
    for result in results.values():
        for death in result.deaths:
            of.setdefault(death.driver, []).append(death)
    for driver, those in of.items():
        crashed = sum(death.crashed for death in those)
        clearance = min(death.clearance for death in those)
        metres = np.mean([death.metres for death in those])
        table.add_row(driver, str(len(those)), str(crashed), f"{clearance:.2f}", f"{metres:.1f}")
    return table


def outcomes(results: Iterable[Result]) -> Figure:
    """What flying on came to: a row per test, a dot per room, a bar at their mean."""
    groups = _by_test(results)
    names = [
        " ".join(filter(None, (scheme, student, test if test != scheme else "")))
        + (f", {learnt:g} min" if learnt else "")
        for scheme, student, test, learnt in groups
    ]
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(names)), layout="constrained")
    for axes, name in zip(
        figure.subplots(1, 4, sharey=True), ("crashes", "turns", "metres", "tpr"), strict=True
    ):
        for row, of in enumerate(groups.values()):
            values = [float(getattr(cell, name)) for cell in of]
            axes.plot(values, [row] * len(values), "o", color="C0", alpha=0.5, ms=4)
            axes.plot(bootstrap(values)[0], row, "|", color="k", ms=14, mew=2)
        axes.set_xlabel("TPR" if name == "tpr" else f"{name} a minute")
        axes.grid(alpha=0.3)
        if name != "tpr":
            axes.set_xlim(left=min(-0.05, axes.get_xlim()[0]))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    return figure


def curves(results: dict[Job, Result]) -> Figure:
    """AUC over minutes: a thin line per room, a thick one for their mean."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="minutes of flight", ylabel="AUC on held-out poses")
    for number, ((scheme, student), curve) in enumerate(_by_group(results).items()):
        minutes = sorted(curve)
        colour = f"C{number}"
        for job, result in results.items():
            if (job.scheme, job.student) == (scheme, student):
                line = [point.auc for point in result.curve]
                axes.plot([p.minute for p in result.curve], line, colour, alpha=0.3, lw=0.8)
        means = [bootstrap([p.auc for p in curve[minute]])[0] for minute in minutes]
        axes.plot(minutes, means, colour, lw=2, marker="o", ms=4, label=f"{scheme}, {student}")
    axes.axhline(0.5, color="0.6", ls=":", label="chance")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    return figure


def _heads(table: Table) -> list[str]:
    return [str(column.header) for column in table.columns]


def _cells(table: Table) -> list[list[str]]:
    return [
        list(row)
        for row in zip(*([str(c) for c in col.cells] for col in table.columns), strict=True)
    ]
