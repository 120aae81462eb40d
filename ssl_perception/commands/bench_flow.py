"""``ssl-perception bench flow``: how long scene flow takes here, and what a deadline costs.

Raw sweeps through the online runtime, stage by stage; the solver alone from ten to three hundred
thousand points; the error of the flow under a deadline; and all methods at their best, seed by
seed. ``--markdown`` writes the whole page, with the command that made it.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.commands.bench_methods import measure_methods, methods_table
from ssl_perception.config import Config
from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.errors import InputError
from ssl_perception.evaluation.flow_metrics import score
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.io.open_log import open_log
from ssl_perception.io.write import write_json, write_output
from ssl_perception.runtime.console import PREPARING, progress_bar
from ssl_perception.runtime.installation import examine
from ssl_perception.runtime.resident_memory import resident_megabytes
from ssl_perception.types import PointCloud
from ssl_perception.version import __version__
from ssl_perception.warm_up import warm_up

SIZES = (10_000, 30_000, 100_000, 300_000)
DEADLINES = (0.005, 0.01, 0.02, 0.05, 0.1)  # s
REPEATS = 15
SEEDS = (0, 1, 2)
STREET_SECONDS = 12.0
NOTES = (
    "Recordings are played back and forth until there are enough sweeps, so ego motion jumps at "
    "each reversal. A first sweep has nothing to be compared with and doesn't count.",
    "Times are of this machine as it was during the run; on a shared machine they vary with its "
    "load. Ratios are of one process and vary less. `flow.deadline` bounds the time per sweep.",
)
LEGENDS = {
    "online": "Wall time of `OnlineFlow.process`; / registration: in units of the median "
    "registration of two sweeps (small_gicp) in the same run; MB: resident memory of the process.",
    "stages": "ms, p50 / p95 over the same sweeps; beams run beside ground on a second thread.",
    "solver": "`estimate_flow` on random subsets of one pair, ego-compensated and without ground.",
    "deadline": "`estimate_flow(seconds=...)`; 3-way m: mean of the end-point errors of foreground "
    "dynamic, foreground static and background static points.",
    "methods": "End-point errors: 3-way and foreground dynamic (mean over seeds, each seed in "
    "brackets), foreground static (FS) and background static (BS). Steps of each seed, in the same "
    "order. Processor seconds of one answer, median over seeds, one thread (rigid_cluster: two).",
}


def run_bench_flow(
    config: Config,
    logs: list[Path],
    pair: Path | None,
    sweeps: int,
    priors: bool,
    json_file: Path | None,
    markdown: Path | None,
    console: Console,
    notes: Sequence[str] = (),
    resume: Path | None = None,
    seeds: Sequence[int] = SEEDS,
) -> dict[str, Any]:
    """Measure, print, and write what was asked for.

    Args:
        logs: recordings of raw sweeps; each is run back and forth until ``sweeps`` are done, and
            then simulated streets.
        pair: labelled pair for the deadlines and the methods; None: a simulated one.
        priors: run the priors and SCOOP, too: hours.
        markdown: page to write, e.g. BENCHMARK.md.
        notes: sentences for the page and the JSON, e.g. on the state of the machine.
        resume: JSON-lines file that takes each method's figures as they come.
        seeds: of the methods that draw numbers.

    Raises:
        InputError: a recording can't be read or has no sweeps, or a file can't be written.
    """
    load = os.getloadavg()[0]
    with console.status(PREPARING):
        warm_up(config)
    installation = examine()
    figures: dict[str, Any] = {
        "command": _command(
            config, logs, pair, sweeps, priors, json_file, markdown, notes, resume, seeds
        ),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": load,
        "notes": list(notes),
        "versions": {"ssl_perception": __version__, **installation["parts"]},
        "machine": installation["machine"],
        "online": {},
    }
    streams = {log.name: _back_and_forth(log, config) for log in logs}
    streams["simulated street"] = _street()
    for name, stream in streams.items():
        figures["online"][name] = _online(name, stream, sweeps, config, console)
    sample = open_flow("pair", pair)[0] if pair else _dense_pair()
    figures["pair"] = sample.name
    dense = _dense_pair() if pair else sample
    figures["dense_pair"] = dense.name
    figures["solver"] = _scaling(dense, console)
    figures["deadline"] = _deadlines(sample, console)
    figures["methods"] = measure_methods(sample, config.flow, seeds, priors, resume, console)
    tables = _tables(figures)
    for title, rows, legend in tables:
        console.print(f"\n{title}")
        table = Table(*rows[0], box=None, pad_edge=False)
        for row in rows[1:]:
            table.add_row(*row)
        console.print(table)
        console.print(legend)
    if json_file is not None:
        write_json(json_file, figures)
    if markdown is not None:
        write_output(markdown, _markdown(figures, tables).encode())
    return figures


def _back_and_forth(path: Path, config: Config) -> Iterator[PointCloud]:
    """A recording's sweeps, endlessly, backwards every second time; stamps always go forward."""
    clouds = [
        r.value
        for r in open_log(path, config.topics, limits=config.files)
        if isinstance(r.value, PointCloud)
    ]
    if len(clouds) < 2:
        raise InputError(f"{path}: two sweeps at least are needed")
    period = float(np.median(np.diff([cloud.stamp for cloud in clouds])))
    order = cycle([*range(len(clouds)), *range(len(clouds) - 2, 0, -1)])
    for number, k in enumerate(order):
        cloud = clouds[k]
        yield PointCloud(cloud.points, None, number * period, cloud.frame, cloud.origin)


def _street() -> Iterator[PointCloud]:
    """A simulated street, 64 beams of 2000 columns: some 120 000 points a sweep."""
    from ssl_perception_sim.recording.pairs import street_sweeps
    from ssl_perception_sim.sensors.lidar import Lidar

    start = 0.0
    for seed in cycle(range(10)):
        last = start
        for sweep in street_sweeps(seed, STREET_SECONDS, Lidar(columns=2000)):
            last = start + sweep.cloud.stamp
            cloud = sweep.cloud
            yield PointCloud(cloud.points, cloud.time, last, cloud.frame, cloud.origin)
        start = last + 10.0  # another street: the runtime is reset


def _dense_pair() -> FlowSample:
    """A simulated pair with as many points as the largest size asks for."""
    from ssl_perception_sim.recording.pairs import street_pairs
    from ssl_perception_sim.sensors.lidar import Lidar

    lidar = Lidar(pattern="beams128", columns=7200, reach=75.0)
    return next(street_pairs([3], lidar))


def _online(
    name: str, stream: Iterator[PointCloud], sweeps: int, config: Config, console: Console
) -> dict[str, Any]:
    online = OnlineFlow(config)
    stages: dict[str, list[float]] = {}
    total: list[float] = []
    points: list[int] = []
    memory: list[float] = []
    with progress_bar(console) as bar:
        task = bar.add_task(name, total=sweeps)
        for cloud, _ in zip(stream, range(sweeps), strict=False):
            start = time.perf_counter()
            result = online.process(cloud)
            spent = time.perf_counter() - start
            bar.advance(task)
            memory.append(resident_megabytes())
            if result.reset:
                continue
            total.append(spent)
            points.append(len(cloud))
            for stage, seconds in result.stages.items():
                stages.setdefault(stage, []).append(seconds)
    tenth = max(1, len(memory) // 10)
    registration = _ms(stages["ego motion"], 50)  # the unit that a machine's speed cancels in
    return {
        "sweeps": len(total),
        "points_median": float(np.median(points)),
        "p50_ms": _ms(total, 50),
        "p95_ms": _ms(total, 95),
        "max_ms": _ms(total, 100),
        "p50_registrations": _ms(total, 50) / registration,
        "p95_registrations": _ms(total, 95) / registration,
        "stages_ms": {k: {"p50": _ms(v, 50), "p95": _ms(v, 95)} for k, v in stages.items()},
        "memory_mb_after_a_tenth": memory[tenth - 1],
        "memory_mb_at_the_end": memory[-1],
    }


def _scaling(sample: FlowSample, console: Console) -> list[dict[str, float]]:
    rows = []
    rng = np.random.default_rng(0)
    most = min(len(sample.source), len(sample.target))
    for size in sorted({min(size, most) for size in SIZES}):
        source = sample.source.select(np.sort(rng.permutation(len(sample.source))[:size]))
        target = sample.target.select(np.sort(rng.permutation(len(sample.target))[:size]))
        with console.status(f"{size} points"):
            seconds = _repeat(lambda s=source, t=target: estimate_flow(s, t))  # type: ignore[misc]
        rows.append({"points": size, "p50_ms": _ms(seconds, 50), "p95_ms": _ms(seconds, 95)})
    return rows


def _deadlines(sample: FlowSample, console: Console) -> list[dict[str, Any]]:
    rows = []
    for seconds in (*DEADLINES, None):
        spent, answers = [], []
        with console.status(f"deadline {seconds}"):
            for _ in range(REPEATS):
                start = time.perf_counter()
                answers.append(estimate_flow(sample.source, sample.target, seconds=seconds))
                spent.append(time.perf_counter() - start)
        scores = [score(sample, answer) for answer in answers]
        rows.append(
            {
                "deadline_ms": None if seconds is None else 1e3 * seconds,
                "p50_ms": _ms(spent, 50),
                "max_ms": _ms(spent, 100),
                "epe_three_way": float(np.median([s["epe_three_way"] for s in scores])),
                "epe_static_background": float(
                    np.median([s["epe_static_background"] for s in scores])
                ),
                "converged": float(np.mean([answer.converged for answer in answers])),
            }
        )
    return rows


def _repeat(work: Callable[[], object]) -> list[float]:
    seconds = []
    work()
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def _ms(seconds: list[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile)) * 1e3 if seconds else float("nan")


def _tables(figures: dict[str, Any]) -> list[tuple[str, list[list[str]], str]]:
    """Title, rows (the heading first) and legend of each table."""
    online = [
        [
            "sweeps",
            "points",
            "p50 ms",
            "p95 ms",
            "max ms",
            "p50 / registration",
            "p95 / registration",
            "MB after a tenth",
            "MB at the end",
        ]
    ]
    stages = [["stage, p50 / p95 ms", *figures["online"]]]
    for name, row in figures["online"].items():
        online.append(
            [
                f"{row['sweeps']} {name}",
                f"{row['points_median']:.0f}",
                *(f"{row[k]:.1f}" for k in ("p50_ms", "p95_ms", "max_ms")),
                *(f"{row[k]:.2f}" for k in ("p50_registrations", "p95_registrations")),
                *(f"{row[k]:.0f}" for k in ("memory_mb_after_a_tenth", "memory_mb_at_the_end")),
            ]
        )
    for stage in next(iter(figures["online"].values()))["stages_ms"]:
        cells = (row["stages_ms"].get(stage) for row in figures["online"].values())
        stages.append([stage, *(f"{c['p50']:.1f} / {c['p95']:.1f}" if c else "–" for c in cells)])
    scaling = [["points", "p50 ms", "p95 ms"]]
    scaling += [
        [str(row["points"]), f"{row['p50_ms']:.1f}", f"{row['p95_ms']:.1f}"]
        for row in figures["solver"]
    ]
    deadline = [["deadline ms", "p50 ms", "max ms", "3-way m", "static background m", "converged"]]
    deadline += [
        [
            "none" if row["deadline_ms"] is None else f"{row['deadline_ms']:.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['max_ms']:.1f}",
            f"{row['epe_three_way']:.4f}",
            f"{row['epe_static_background']:.4f}",
            f"{row['converged']:.0%}",
        ]
        for row in figures["deadline"]
    ]
    return [
        ("Online pipeline on raw sweeps", online, LEGENDS["online"]),
        ("Stages of the online pipeline", stages, LEGENDS["stages"]),
        (f"Solver alone, {figures['dense_pair']}", scaling, LEGENDS["solver"]),
        (f"Solver under a deadline, {figures['pair']}", deadline, LEGENDS["deadline"]),
        (
            f"Methods at their best, {figures['pair']}",
            methods_table(figures["methods"]),
            LEGENDS["methods"],
        ),
    ]


def _command(
    config: Config,
    logs: list[Path],
    pair: Path | None,
    sweeps: int,
    priors: bool,
    json_file: Path | None,
    markdown: Path | None,
    notes: Sequence[str],
    resume: Path | None,
    seeds: Sequence[int],
) -> str:
    """The command line that runs this again; settings that differ from the defaults in full."""
    words = ["ssl-perception", "bench", "flow"]
    for log in logs:
        words += ["--log", str(log)]
    if pair is not None:
        words += ["--pair", str(pair)]
    words += ["--sweeps", str(sweeps), *(["--priors"] if priors else [])]
    if list(seeds) != list(SEEDS):
        words += ["--seeds", ",".join(map(str, seeds))]
    if resume is not None:
        words += ["--resume", str(resume)]
    for note in notes:
        words += ["--note", note]
    defaults = _flat(Config().model_dump(mode="json"))
    for key, value in _flat(config.model_dump(mode="json")).items():
        if value != defaults[key]:
            words += ["--set", f"{key}={json.dumps(value)}"]
    if json_file is not None:
        words += ["--json", str(json_file)]
    if markdown is not None:
        words += ["--markdown", str(markdown)]
    return shlex.join(words)


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            leaves |= _flat(value, f"{above}{name}.")
        else:
            leaves[above + name] = value
    return leaves


def _markdown(figures: dict[str, Any], tables: list[tuple[str, list[list[str]], str]]) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in figures["machine"].items())
    lines = [
        "# Benchmark",
        "",
        f"Measured on {figures['date']} with",
        "",
        f"    {figures['command']}",
        "",
        f"Machine: {machine}; load average before the run {figures['load_before']:.1f}.",
        "",
        *(f"- {note}" for note in (*NOTES, *figures["notes"])),
        "",
    ]
    for title, rows, legend in tables:
        lines += [f"## {title}", "", f"| {' | '.join(rows[0])} |", "|---" * len(rows[0]) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in rows[1:]]
        lines += ["", legend, ""]
    return "\n".join(lines).rstrip() + "\n"
