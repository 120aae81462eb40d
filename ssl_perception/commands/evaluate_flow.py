"""``ssl-perception evaluate flow``: methods side by side, and the one that says nothing moves.

Where a dataset's flow includes the ego motion (KITTI scene flow), the published networks run on
the clouds as they are, as in their papers. All others are made for clouds in one frame: the source
is moved there first by the ego motion registered from the two clouds (none where that fails), and
its motion counts as part of the answer. What it answers alone is a row of its own.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config
from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.errors import InputError
from ssl_perception.evaluation.bucketed import Buckets
from ssl_perception.evaluation.flow_metrics import (
    FIGURES,
    PARTS,
    score,
    three_way,
)
from ssl_perception.evaluation.kept_results import KeptResults, Result, fingerprint
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.flow import estimate_flow, find
from ssl_perception.flow.online.ego_motion import NEIGHBOURS, EgoMotion
from ssl_perception.io.write import write_json, write_output
from ssl_perception.runtime.console import PREPARING, meanwhile, progress_bar
from ssl_perception.runtime.installation import examine
from ssl_perception.runtime.resident_memory import forget_peak, peak_megabytes
from ssl_perception.types import FloatArray, PointCloud, SceneFlow
from ssl_perception.version import __version__
from ssl_perception.warm_up import time_to_warm

ZERO = "zero"  # overall error and accuracy flatter predicting no motion: show it beside
EGO = "ego_motion"  # the clouds' rigid registration and nothing else
AS_PUBLISHED = (
    "nsfp",
    "fast_nsf",
    "scoop",
)  # run with the ego motion in the flow, as in their papers
BUCKETED = ("bucketed_dynamic_error", "bucketed_static_epe")
HEADINGS = {
    "epe_three_way": "3-way m",
    "epe_dynamic_foreground": "FD m",
    "epe_static_foreground": "FS m",
    "epe_static_background": "BS m",
    "epe": "EPE m",
    "acc_strict": "AccS",
    "acc_relax": "AccR",
    "outliers": "Out",
    "dynamic_iou": "IoU",
    "bucketed_dynamic_error": "DN",
    "iterations_median": "steps",
    "seconds_median": "s",
}
LEGEND = (
    "End-point errors in m, means over pairs: dynamic foreground (FD), static foreground (FS), "
    "static background (BS), the mean of the three (3-way), all points (EPE). AccS, AccR: share of "
    "points with an error below 0.05 m or 5 %, 0.1 m or 10 %. Out: share above 0.3 m or 10 %, near "
    "1 wherever most points are static. IoU: of the points called moving. DN: bucket-normalised "
    "dynamic error (no motion: 1). steps, s: median a pair. zero: the baseline without motion."
)


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

    Raw sweeps have no true flow: on ``kitti-raw`` the third-sweep test runs, on ``kitti-tracking``
    labelled boxes are compared with the objects found.

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
    if dataset == "kitti-raw":
        from ssl_perception.commands.evaluate_third_sweep import run_third_sweep

        files = (limit, csv_file, html_file, resume)
        return run_third_sweep(path, methods, seed, config, json_file, console, *files)
    if dataset == "kitti-tracking":
        from ssl_perception.commands.evaluate_tracking import run_evaluate_tracking

        files = (limit, csv_file, html_file, resume)
        return run_evaluate_tracking(path, methods, seed, config, json_file, console, *files)
    samples = open_flow(dataset, path)
    count = len(samples) if limit is None else min(limit, len(samples))
    data = (dataset, str(path.resolve()), len(samples), seed)
    settings = (config.flow.model_dump_json(), config.ego_motion.model_dump_json())
    done = KeptResults(resume, fingerprint(*data, *settings))
    names = [ZERO, *([] if samples[0].ego_compensated else [EGO]), *dict.fromkeys(methods)]
    warm = {ZERO, EGO}
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
            if not sample.ground_free:
                raise InputError(f"{sample.name}: nothing tells its ground, which must be left out")
            for name in missing:
                if name not in warm:
                    with meanwhile(bar, task, PREPARING):
                        _warm_up(sample, name, config, seed)
                    warm.add(name)
                forget_peak()
                answer, seconds = _answer(sample, name, config, seed)
                costs = {"seconds": seconds, "peak_mb": peak_megabytes()}
                costs["iterations"] = answer.iterations
                # buckets are by speed over ground
                buckets = Buckets.of(sample, answer) if sample.ego_compensated else Buckets()
                done.add(k, name, Result(score(sample, answer) | costs, buckets))
                bar.advance(task)
    installation = examine()
    figures = {
        "dataset": dataset,
        "path": str(path),
        "pairs": count,
        "seed": seed,
        "settings": _settings(methods, config),
        "versions": {"ssl_perception": __version__, **installation["parts"]},
        "machine": installation["machine"],
        "methods": {name: summarise(done.of(name, count)) for name in names},
    }
    used = {m: p for m in methods if (p := _providers(m, config)) is not None}
    if used:
        figures["providers"] = used
        for method, providers in used.items():
            console.print(f"{method}: features by {', '.join(providers) or 'PyTorch'}")
    rows = [_row(name, figures["methods"][name]) for name in names]
    _print(["method", *HEADINGS.values()], rows, console)
    console.print(LEGEND, style="dim")
    peaks = [f"{name} {figures['methods'][name]['peak_mb']:.0f}" for name in names]
    console.print(f"Most memory of the whole process, MiB: {', '.join(peaks)}")
    classes, by_class = _by_class(figures["methods"])
    if len(classes) > 2:
        console.print("\nDynamic error by class, bucket-normalised (no motion: 1.000)")
        _print(classes, by_class, console)
    if json_file is not None:
        write_json(json_file, figures)
    if csv_file is not None:
        _write_csv(csv_file, figures["methods"])
    if html_file is not None:
        lead = (
            f"{count} pair{'s' * (count != 1)}, seed {seed}, "
            f"ssl_perception {__version__}, {figures['machine']['processor']}"
        )
        sections = [
            Section(
                f"{dataset}: {path.name}", LEGEND, header=["method", *HEADINGS.values()], rows=rows
            ),
            Section(
                "By class: dynamic error, bucket-normalised (no motion: 1.000)",
                header=classes,
                rows=by_class,
            ),
        ]
        write_html(html_file, "Scene flow", lead, [part for part in sections if part.rows])
    return figures


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
    flatter it. ``points`` is the total, ``peak_mb`` the most memory that the whole process had.
    """
    rows = list(results)
    means: dict[str, float] = {}
    for key in FIGURES:
        known = [row[key] for row in rows if not math.isnan(row[key])]
        means[key] = float(np.mean(known)) if known else math.nan
    means["epe_three_way"] = three_way({key: means[key] for key in PARTS})
    means["points"] = float(sum(row["points"] for row in rows))
    seconds = [row["seconds"] for row in rows]
    means["iterations_median"] = float(np.median([row["iterations"] for row in rows]))
    means["seconds_median"] = float(np.median(seconds))
    means["seconds_p95"] = float(np.percentile(seconds, 95))
    means["peak_mb"] = max(row["peak_mb"] for row in rows)
    return {key: None if math.isnan(value) else value for key, value in means.items()}


def _answer(sample: FlowSample, name: str, config: Config, seed: int) -> tuple[SceneFlow, float]:
    """The answer in the sample's own terms, and the seconds that it took."""
    nothing = SceneFlow.still(len(sample.source), sample.interval)
    if name == ZERO:
        return nothing, 0.0
    start = time.perf_counter()
    source, answer = sample.source, nothing
    if not sample.ego_compensated and name.partition(":")[0] not in AS_PUBLISHED:
        source = _compensated(sample, config)
    if name != EGO:
        answer = estimate_flow(source, sample.target, name, seed=seed, options=config.flow)
    shift: FloatArray = source.points - sample.source.points
    return replace(answer, flow=answer.flow + shift), time.perf_counter() - start


def _compensated(sample: FlowSample, config: Config) -> PointCloud:
    # a depth image looks one way, too, but draws no curves
    registration = EgoMotion(config.ego_motion, NEIGHBOURS)
    registration.register(sample.source.points, 0.0)
    motion = registration.register(sample.target.points, sample.interval)
    return sample.source if motion is None else sample.source.transformed(motion)


def _warm_up(sample: FlowSample, method: str, config: Config, seed: int) -> None:
    """Imports and compilers are not what is timed."""
    few = np.arange(min(2000, len(sample.source), len(sample.target)))
    source, target = sample.source.select(few), sample.target.select(few)
    estimate_flow(source, target, method, time_to_warm(method), seed=seed, options=config.flow)


def _settings(methods: list[str], config: Config) -> dict[str, Any]:
    return {name: find(name, flow=config.flow)[1].model_dump(mode="json") for name in methods}


def _providers(method: str, config: Config) -> list[str] | None:
    """What ONNX Runtime really used; empty: PyTorch computed; None: no network of ours."""
    if method.partition(":")[0] != "scoop":
        return None
    from ssl_perception.flow.solvers.scoop import providers

    return providers(find(method, flow=config.flow)[1])


def _row(name: str, figures: dict[str, float | None]) -> list[str]:
    def text(key: str) -> str:
        value = figures[key]
        if value is None:
            return "–"
        return f"{value:.0f}" if key == "iterations_median" else f"{value:.3f}"

    return [name, *(text(key) for key in HEADINGS)]


def _write_csv(path: Path, methods: dict[str, dict[str, Any]]) -> None:
    keys = [*FIGURES, *BUCKETED, "iterations_median", "seconds_median", "seconds_p95", "peak_mb"]
    classes = list(methods[ZERO]["bucketed"])
    by_class = [(name, key) for name in classes for key in ("dynamic_error", "static_epe")]
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    headings = [f"bucketed_{key}_{name.lower()}" for name, key in by_class]
    table.writerow(["method", *keys, *headings])
    for method, figures in methods.items():
        bucketed = [figures["bucketed"][name][key] for name, key in by_class]
        table.writerow([method, *(figures[key] for key in keys), *bucketed])
    write_output(path, stream.getvalue().encode())


def _by_class(methods: dict[str, dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: each method's dynamic error in the classes in which something moves."""
    of_zero = methods[ZERO]["bucketed"]
    names = [name for name, errors in of_zero.items() if errors["dynamic_error"] is not None]
    rows = [
        [method, *(f"{figures['bucketed'][name]['dynamic_error']:.3f}" for name in names)]
        for method, figures in methods.items()
    ]
    return ["method", *names], rows if names else []


def _print(headings: list[str], rows: list[list[str]], console: Console) -> None:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
