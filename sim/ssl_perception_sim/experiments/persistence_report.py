"""Runs the persistence experiment's flights, several at a time, and reports the results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.io.output_paths import check_outputs
from ssl_perception.io.write import make_folder, write_json
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.worker_processes import worker_pool
from ssl_perception_sim.experiments.held_out import HeldOutScore
from ssl_perception_sim.experiments.persistence import (
    SCHEMES,
    STUDENTS,
    Cell,
    Plan,
    Result,
    StereoFailure,
    fly,
)
from ssl_perception_sim.experiments.persistence_files import (
    FlightKey,
    plain,
    plan_name,
    read_flight,
    read_folder,
    table_files,
    write_tables,
)

_RATES = ("tpr", "fpr", "learn_tpr", "learn_fpr")
_ROWS = ("crashes", "near", "turns", "metres", "overrides", *_RATES, "blind")


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
        """Named by what it is of; a plan other than the default's gets its name, too."""
        variant = "" if self.plan == Plan() else f"-{self.key.plan}"
        return self.folder / f"{self.scheme}-{self.student}-{self.seed}{variant}.json"

    @property
    def key(self) -> FlightKey:
        return FlightKey(
            plan_name(self.plan.model_dump(mode="json")), self.scheme, self.student, self.seed
        )


def run_persistence(
    schemes: Sequence[str],
    students: Sequence[str],
    seeds: Sequence[int],
    plan: Plan,
    folder: Path,
    processes: int,
    json_file: Path | None,
    csv_file: Path | None,
    report: Path | None,
    out: Console,
) -> dict[Job, Result]:
    """Fly every flight that ``folder`` doesn't hold yet, then print the tables of all.

    Args:
        schemes, students: names in ``SCHEMES`` and ``STUDENTS``. seeds: of the rooms.
        folder: takes a JSON file for each flight; a killed run goes on from there.
        processes: flights at a time.
        csv_file: takes a row for each test of all flights in ``folder``, those of other plans too;
            curves, stereo failures and plans go into files beside it (``table_files``).

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
        for seed in seeds
    ]
    flights = {f"the flight {job.file.stem}": job.file for job in jobs}
    tables_of = {f"--csv ({name})": file for name, file in table_files(csv_file).items()}
    outputs = {"--json": json_file, **tables_of, "--report": report}
    check_outputs([], {"--out": folder, **flights, **outputs})
    make_folder(folder)
    # read now: what can't be used must not come to light after hours of flying
    results = {
        job: read_flight(job.file, job.plan.model_dump(mode="json")).result
        for job in jobs
        if job.file.exists()
    }
    if csv_file is not None:
        read_folder(folder)
    left = [job for job in jobs if job not in results]
    out.print(f"{len(jobs)} flights, {len(results)} flown already")
    if left:
        with worker_pool(min(processes, len(left))) as pool, progress_bar(out) as bar:
            task = bar.add_task("flights", total=len(left))
            for flown_job in as_completed([pool.submit(_fly, job) for job in left]):
                bar.console.print(f"flown: {flown_job.result()}")
                bar.advance(task)
    results = {
        job: results[job] if job in results else read_flight(job.file).result for job in jobs
    }
    flown = {job.key: result for job, result in results.items()}
    tables = [tests(flown.values()), learning(flown), failures(flown)]
    for table in tables:
        if table.row_count:
            out.print(table)
    if json_file is not None:
        flights_of = [{"file": j.file.name, **plain(r)} for j, r in results.items()]
        write_json(json_file, {"plan": plan.model_dump(mode="json"), "flights": flights_of})
    if csv_file is not None:
        write_tables(csv_file, read_folder(folder))
    if report is not None:
        sections = [
            Section(str(t.title), header=_heads(t), rows=_cells(t)) for t in tables if t.row_count
        ]
        sections[0].figures = [(outcomes(flown.values()), "after stereo is lost: a dot per room")]
        sections[-1].figures = [(curves(flown), "learning curves on held-out poses")]
        write_html(report, "Persistence: stereo teaches, then fails", _lead(plan, seeds), sections)
    return results


def _lead(plan: Plan, seeds: Sequence[int]) -> str:
    return (
        f"{len(seeds)} rooms; tests of {plan.test_minutes:g} minutes after "
        + " and ".join(f"{m:g}" for m in plan.learn_minutes)
        + " minutes of flight. Means with 90 % bootstrap intervals over rooms."
    )


def _fly(job: Job) -> str:
    cv2.setNumThreads(1)  # the flights share the machine, not each its threads
    result = fly(job.scheme, job.student, job.seed, job.plan)
    write_json(job.file, {"plan": job.plan.model_dump(mode="json"), **plain(result)})
    return job.file.name


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
        "Stereo lost for good; crashes, near misses, turns and metres per minute; overrides of "
        "mono by stereo in all of learning"
    )
    for (scheme, student, test, learnt), of in _by_test(results).items():
        trusted = f"{sum(cell.trusted for cell in of)}" if scheme == "gated" else ""
        values = [_mean([getattr(cell, name) for cell in of]) for name in _ROWS]
        minutes = f"{learnt:g}" if learnt else ""
        table.add_row(scheme, student, test, minutes, str(len(of)), trusted, *values)
    return table


def _by_group(
    results: Mapping[FlightKey, Result],
) -> dict[tuple[str, str], dict[float, list[HeldOutScore]]]:
    groups: dict[tuple[str, str], dict[float, list[HeldOutScore]]] = {}
    for key, result in results.items():
        for point in result.curve:
            curve = groups.setdefault((key.scheme, key.student), {})
            curve.setdefault(point.minute, []).append(point)
    return groups


def learning(results: Mapping[FlightKey, Result]) -> Table:
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


def failures(results: Mapping[FlightKey, Result]) -> Table:
    """Stereo failures in mid-flight, by the cue that was active half a second later."""
    table = Table("active cue", "failures", "crashed", "least clearance, m", "metres flown")
    table.title = "Stereo fails at a random time: the seconds after"
    of: dict[str, list[StereoFailure]] = {}
    for result in results.values():
        for failure in result.failures:
            of.setdefault(failure.active_cue, []).append(failure)
    for cue, those in of.items():
        crashed = sum(failure.crashed for failure in those)
        clearance = min(failure.clearance for failure in those)
        metres = np.mean([failure.metres for failure in those])
        table.add_row(cue, str(len(those)), str(crashed), f"{clearance:.2f}", f"{metres:.1f}")
    return table


def outcomes(results: Iterable[Result]) -> Figure:
    """Results after stereo is lost: a row per test, a dot per room, a bar at their mean."""
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
        axes.set_xlabel("TPR" if name == "tpr" else f"{name} per minute")
        axes.grid(alpha=0.3)
        if name != "tpr":
            axes.set_xlim(left=min(-0.05, axes.get_xlim()[0]))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    return figure


def curves(results: Mapping[FlightKey, Result]) -> Figure:
    """AUC over minutes: a thin line per room, a thick one for their mean."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="minutes of flight", ylabel="AUC on held-out poses")
    for number, ((scheme, student), curve) in enumerate(_by_group(results).items()):
        minutes = sorted(curve)
        colour = f"C{number}"
        for key, result in results.items():
            if (key.scheme, key.student) == (scheme, student):
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
