"""``ssl-perception evaluate flow --dataset kitti-raw``: raw sweeps, which have no true flow.

Every detected mover is checked against a third sweep (``evaluation.third_sweep``), methods side by
side. All run in the online pipeline, so the figures are of what the robot would report.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

import ssl_perception
from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.evaluation.kept_results import KeptRows, fingerprint
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.evaluation.third_sweep import ThirdSweepTest, Verdict, third_sweep_figures
from ssl_perception.flow import find
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.io.log import Log
from ssl_perception.io.open_log import open_log
from ssl_perception.io.write import write_json, write_output
from ssl_perception.runtime.console import print_table, progress_bar
from ssl_perception.runtime.installation import examine
from ssl_perception.types import PointCloud

HEADINGS = {
    "confirmed_clusters": "confirmed",
    "confirmed_points": "points",
    "confirmed_per_sweep": "per sweep",
    "unconfirmed_clusters": "unconfirmed",
    "unconfirmed_points": "points",
    "unconfirmed_per_sweep": "per sweep",
}


def run_third_sweep(
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
    """Judge every detection of a log of raw sweeps, print the counts, and the unconfirmed ones.

    Args:
        methods: solvers or ``solver:preset``, each run over the whole log.
        seed: 0; the online pipeline has no other.
        limit: judge at most so many sweeps, the first ones; None: all.
        resume: JSON-lines file that takes each method's result as it comes.

    Returns:
        The figures, as in the JSON: those of each method under ``methods``; those of the first one
        (``method``) at the top as well.

    Raises:
        InputError: an unknown method, a seed, a log that can't be read or has fewer than four
            sweeps, or files that can't be used.
    """
    if seed != 0:
        raise InputError(f"--seed {seed}: on raw sweeps (kitti-raw) every solver runs with seed 0")
    methods = list(dict.fromkeys(methods))
    configs = {method: with_method(config, method) for method in methods}
    log = open_log(path, config.topics, limits=config.files)
    kept = KeptRows(
        resume,
        fingerprint("third sweep", str(path.resolve()), limit, config.model_dump_json()),
        "evaluate flow --dataset kitti-raw",
        _parse,
    )
    with progress_bar(console) as bar:
        for method in methods:
            if method in kept:
                continue
            verdicts, judged = _judge_log(log, configs[method], limit, bar, method)
            if not judged:
                raise InputError(f"{path}: fewer than four sweeps; the third-sweep test needs four")
            row = {"method": method, "judged": judged, "verdicts": [asdict(v) for v in verdicts]}
            kept.add(method, (verdicts, judged), row)
    by_method = {method: third_sweep_figures(*kept[method]) for method in methods}
    installation = examine()
    figures: dict[str, Any] = {
        "dataset": "kitti-raw",
        "log": str(path),
        "seed": seed,
        "method": methods[0],
        **by_method[methods[0]],
        "methods": by_method,
        "settings": {m: find(m, flow=config.flow)[1].model_dump(mode="json") for m in methods},
        "versions": {"ssl_perception": ssl_perception.__version__, **installation["parts"]},
        "machine": installation["machine"],
    }
    rows = [_row(method, by_method[method]) for method in methods]
    unconfirmed = [
        [method, str(v.sweep), str(v.points), ", ".join(f"{x:.1f}" for x in v.centre)]
        for method in methods
        for v in kept[method][0]
        if not v.confirmed
    ]
    _show(rows, unconfirmed, console)
    if json_file is not None:
        write_json(json_file, figures)
    if csv_file is not None:
        _write_csv(csv_file, by_method)
    if html_file is not None:
        sections = [
            Section(f"Third-sweep test: {path.name}", header=["method", *_heads()], rows=rows),
            Section(
                "Unconfirmed detections",
                header=["method", "sweep", "points", "centre, m"],
                rows=unconfirmed,
            ),
        ]
        lead = (
            f"{by_method[methods[0]]['sweeps_judged']} sweeps judged, "
            f"ssl_perception {ssl_perception.__version__}, {figures['machine']['processor']}"
        )
        write_html(html_file, "Scene flow on raw sweeps", lead, [s for s in sections if s.rows])
    return figures


def with_method(config: Config, method: str) -> Config:
    """The settings with a solver, or a solver with one of its presets, in the online pipeline."""
    _, options = find(method, flow=config.flow)
    name = method.partition(":")[0]
    flow = config.flow.model_copy(update={"method": name, name: options})
    return config.model_copy(update={"flow": flow})


def _judge_log(
    log: Log, config: Config, limit: int | None, bar: Progress, method: str
) -> tuple[list[Verdict], int]:
    """The verdicts on a log's detections, and how many sweeps they are of."""
    online, test = OnlineFlow(config), ThirdSweepTest()
    task = bar.add_task(f"{method}, {log.name}", total=len(log))
    for recorded in log:
        bar.advance(task)
        if not isinstance(recorded.value, PointCloud):
            continue
        test.add(online.process(recorded.value))
        if test.judged == limit:
            break
    bar.update(task, completed=len(log))
    return test.verdicts, test.judged


def _parse(row: Any) -> tuple[str, tuple[list[Verdict], int]]:
    verdicts = [Verdict(**verdict) for verdict in row["verdicts"]]
    return str(row["method"]), (verdicts, int(row["judged"]))


def _heads() -> list[str]:
    return list(HEADINGS.values())


def _row(method: str, figures: dict[str, float]) -> list[str]:
    cells = (
        f"{figures[key]:.2f}" if key.endswith("per_sweep") else f"{figures[key]:.0f}"
        for key in HEADINGS
    )
    return [method, *cells]


def _show(rows: list[list[str]], unconfirmed: list[list[str]], console: Console) -> None:
    print_table(["method", *_heads()], rows, console)
    console.print("Detected moving clusters, and how many of them a third sweep confirms.")
    for method, sweep, points, centre in unconfirmed:
        console.print(f"unconfirmed: {method}, sweep {sweep}, {points} points at ({centre}) m")


def _write_csv(path: Path, by_method: dict[str, dict[str, float]]) -> None:
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    keys = ["sweeps_judged", *HEADINGS]
    table.writerow(["method", *keys])
    for method, figures in by_method.items():
        table.writerow([method, *(figures[key] for key in keys)])
    write_output(path, stream.getvalue().encode())
