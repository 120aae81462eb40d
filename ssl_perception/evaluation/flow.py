"""``ssl-perception evaluate flow``: methods side by side, and the one that says nothing moves."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import ssl_perception
from ssl_perception.config import Config
from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.doctor import examine
from ssl_perception.errors import InputError
from ssl_perception.evaluation.bucketed import Buckets
from ssl_perception.evaluation.flow_metrics import score, three_way
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.flow import estimate_flow, find
from ssl_perception.replay import progress_bar, write_json
from ssl_perception.types import SceneFlow

ZERO = "zero"  # overall error and accuracy flatter whoever predicts nothing: show it beside
PARTS = ("epe_dynamic_foreground", "epe_static_foreground", "epe_static_background")
KEYS = (
    "epe",
    "epe_three_way",
    *PARTS,
    "acc_strict",
    "acc_relax",
    "outliers",
    "angle_error",
    "dynamic_iou",
    "points",
)
BUCKETED = ("bucketed_dynamic_error", "bucketed_static_epe")
HEADINGS = {
    "epe_three_way": "3-way m",
    "epe_dynamic_foreground": "FD m",
    "epe_static_foreground": "FS m",
    "epe_static_background": "BS m",
    "epe": "EPE m",
    "acc_strict": "AccS",
    "acc_relax": "AccR",
    "dynamic_iou": "IoU",
    "bucketed_dynamic_error": "DN",
    "seconds_median": "s",
}


def run_evaluate_flow(
    dataset: str,
    path: Path,
    methods: list[str],
    seed: int,
    config: Config,
    json_file: Path | None,
    console: Console,
    limit: int | None = None,
    csv_file: Path | None = None,
    html_file: Path | None = None,
    resume: Path | None = None,
) -> dict[str, Any]:
    """Score every method on every pair, print the table, write what was asked for.

    Args:
        limit: at most so many pairs, the first ones; None: all.
        resume: JSON-lines file that takes each result as it comes. A run that was killed goes on
            from there, when method settings, seed and data are still the same.

    Returns:
        The figures, as in the JSON.

    Raises:
        InputError: unknown method or dataset, a dataset without truth, or files that can't be used.
    """
    for method in methods:
        find(method)
    samples = open_flow(dataset, path)
    count = len(samples) if limit is None else min(limit, len(samples))
    done = _Results(resume, _fingerprint(dataset, path, seed, config))
    names = [ZERO, *dict.fromkeys(methods)]
    warm = {ZERO}
    with progress_bar(console) as bar:
        task = bar.add_task(f"{dataset} {path.name}", total=count * len(names))
        for k in range(count):
            missing = [name for name in names if not done.has(k, name)]
            bar.advance(task, len(names) - len(missing))
            if not missing:
                continue
            sample = samples[k]
            if sample.flow is None:
                raise InputError(f"{path}: {dataset} has no true flow to compare with")
            if not sample.prepared:
                raise InputError(f"{sample.name}: sweeps are not ego-compensated and ground-free")
            for name in missing:
                if name not in warm:
                    _warm_up(sample, name, config, seed)
                    warm.add(name)
                answer, seconds = _answer(sample, name, config, seed)
                measured = {**score(sample, answer), "seconds": seconds}
                done.add(k, name, Result(measured, Buckets.of(sample, answer)))
                bar.advance(task)
    installation = examine()
    figures = {
        "dataset": dataset,
        "pairs": count,
        "seed": seed,
        "versions": {"ssl_perception": ssl_perception.__version__, **installation["parts"]},
        "machine": installation["machine"],
        "methods": {name: summarise(done.of(name, count)) for name in names},
    }
    rows = [_row(name, figures["methods"][name]) for name in names]
    _print(["method", *HEADINGS.values()], rows, console)
    class_names, class_rows = _by_class(figures["methods"])
    if len(class_names) > 1:
        console.print("\nDynamic error by class, bucket-normalised (no motion: 1.000)")
        _print(["method", *class_names], class_rows, console)
    if json_file is not None:
        write_json(json_file, figures)
    if csv_file is not None:
        _write_csv(csv_file, figures["methods"])
    if html_file is not None:
        lead = f"{count} pairs, seed {seed}, {figures['machine']['processor']}"
        section = Section(f"{dataset}: {path.name}", header=["method", *HEADINGS.values()])
        section.rows = rows
        buckets = Section(
            "By class: dynamic error, bucket-normalised (no motion: 1.000)",
            header=["method", *class_names],
            rows=class_rows,
        )
        write_html(html_file, "Scene flow", lead, [section, buckets])
    return figures


@dataclass(frozen=True, eq=False)
class Result:
    """A method's answer to a pair, scored.

    Attributes:
        figures: of ``flow_metrics.score``, and ``seconds``.
        buckets: for the bucket-normalised error.
    """

    figures: dict[str, float]
    buckets: Buckets


def summarise(results: Iterable[Result]) -> dict[str, Any]:
    """``summary`` of all pairs, and the bucket-normalised error over all their points."""
    parts = list(results)
    buckets = Buckets.total(part.buckets for part in parts)
    static, dynamic = (None if math.isnan(value) else value for value in buckets.means())
    by_class = {
        name: {
            "static_epe": None if math.isnan(slow) else slow,
            "dynamic_error": None if math.isnan(moving) else moving,
            "points": points,
        }
        for name, (slow, moving, points) in buckets.errors().items()
    }
    return {
        **summary(part.figures for part in parts),
        "bucketed_dynamic_error": dynamic,
        "bucketed_static_epe": static,
        "bucketed": by_class,
    }


def summary(results: Iterable[dict[str, float]]) -> dict[str, float | None]:
    """Means over pairs, each pair counting the same, undefined ones left out; None: none defined.

    The three-way error is the mean of the three means, so that a pair without movers doesn't
    flatter it. ``points`` is the total.
    """
    rows = list(results)
    means: dict[str, float] = {}
    for key in KEYS:
        known = [row[key] for row in rows if not math.isnan(row[key])]
        means[key] = float(np.mean(known)) if known else math.nan
    means["epe_three_way"] = three_way({key: means[key] for key in PARTS})
    means["points"] = float(sum(row["points"] for row in rows))
    seconds = [row["seconds"] for row in rows]
    means["seconds_median"] = float(np.median(seconds))
    means["seconds_p95"] = float(np.percentile(seconds, 95))
    return {key: None if math.isnan(value) else value for key, value in means.items()}


def _answer(sample: FlowSample, method: str, config: Config, seed: int) -> tuple[SceneFlow, float]:
    if method == ZERO:
        n = len(sample.source)
        nothing = SceneFlow(
            np.zeros((n, 3), np.float32), np.zeros(n, bool), np.ones(n, np.float32), sample.interval
        )
        return nothing, 0.0
    _, options = find(method, flow=config.flow)
    start = time.perf_counter()
    answer = estimate_flow(sample.source, sample.target, method, seed=seed, options=options)
    return answer, time.perf_counter() - start


def _warm_up(sample: FlowSample, method: str, config: Config, seed: int) -> None:
    """Imports and compilers are not what is timed."""
    _, options = find(method, flow=config.flow)
    few = np.arange(min(2000, len(sample.source), len(sample.target)))
    source, target = sample.source.select(few), sample.target.select(few)
    estimate_flow(source, target, method, seconds=1.0, seed=seed, options=options)


class _Results:
    """Results by pair and method, in a file too when there is one."""

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self._path = path
        self._known: dict[tuple[int, str], Result] = {}
        if path is None:
            return
        if path.exists():
            self._load(path, fingerprint)
        else:
            self._write({"fingerprint": fingerprint}, "w")

    def _load(self, path: Path, fingerprint: str) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            if json.loads(lines[0])["fingerprint"] != fingerprint:
                raise InputError(
                    f"{path}: results of other settings, seed or data; name a new file"
                )
            for line in lines[1:]:
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    break  # cut short by the kill: that pair is done again
                figures = {k: math.nan if v is None else v for k, v in row["figures"].items()}
                buckets = Buckets.from_plain(row["buckets"])
                self._known[row["pair"], row["method"]] = Result(figures, buckets)
        except (OSError, UnicodeDecodeError, ValueError, KeyError, IndexError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path}: not results of evaluate flow") from None

    def has(self, pair: int, method: str) -> bool:
        return (pair, method) in self._known

    def add(self, pair: int, method: str, result: Result) -> None:
        self._known[pair, method] = result
        plain = {k: None if math.isnan(v) else v for k, v in result.figures.items()}
        row = {"pair": pair, "method": method, "figures": plain}
        self._write({**row, "buckets": result.buckets.plain()}, "a")

    def of(self, method: str, count: int) -> list[Result]:
        return [self._known[pair, method] for pair in range(count)]

    def _write(self, row: dict[str, Any], mode: str) -> None:
        if self._path is not None:
            try:
                with self._path.open(mode, encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
            except OSError as error:
                raise InputError(f"{self._path}: {error.strerror or error}") from None


def _fingerprint(dataset: str, path: Path, seed: int, config: Config) -> str:
    what = [dataset, str(path.resolve()), seed, config.flow.model_dump_json()]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _row(name: str, figures: dict[str, float | None]) -> list[str]:
    def text(key: str) -> str:
        value = figures[key]
        return "–" if value is None else f"{value:.3f}"

    return [name, *(text(key) for key in HEADINGS)]


def _write_csv(path: Path, methods: dict[str, dict[str, Any]]) -> None:
    keys = [*KEYS, *BUCKETED, "seconds_median", "seconds_p95"]
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(["method", *keys])
            for name, figures in methods.items():
                table.writerow([name, *(figures[key] for key in keys)])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _by_class(methods: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The classes in which something moves, and each method's dynamic error there."""
    of_zero = methods[ZERO]["bucketed"]
    names = [name for name, errors in of_zero.items() if errors["dynamic_error"] is not None]
    rows = [
        [method, *(f"{figures['bucketed'][name]['dynamic_error']:.3f}" for name in names)]
        for method, figures in methods.items()
    ]
    return names, rows


def _print(headings: list[str], rows: list[list[str]], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
