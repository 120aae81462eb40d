"""``ssl-perception evaluate flow --dataset kitti-tracking``: raw sweeps with labelled boxes.

The online pipeline runs over each drive, so the figures are of what the robot would report: which
labelled movers are found, how wrong their velocities are, which parked vehicles are said to move,
and which claims no label explains.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import Progress

import ssl_perception
from ssl_perception.commands.evaluate_third_sweep import with_method
from ssl_perception.config import Config
from ssl_perception.datasets.kitti_tracking import TrackingSequence, open_tracking
from ssl_perception.errors import InputError
from ssl_perception.evaluation.kept_results import KeptRows, fingerprint
from ssl_perception.evaluation.labelled_objects import (
    Claim,
    ObjectResult,
    ObjectScores,
    by_class_and_range,
    figures_of,
)
from ssl_perception.evaluation.pictures import claims_from_above
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.flow import find
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.io.write import write_json, write_output
from ssl_perception.runtime.console import print_table, progress_bar
from ssl_perception.runtime.installation import examine

HEADINGS = {
    "recall": "recall",
    "recall_pedestrian": "walking",
    "velocity_error": "m/s",
    "parked_claimed": "parked",
    "claims": "unlabelled",
    "ground_arcs": "ground",
    "absurd_speed": "absurd",
}
LEGEND = (
    "recall: share of moving vehicles and cyclists (above 1 m/s) found, walking: of people walking "
    "(above 0.5 m/s), more than half of their points said to move. m/s: mean error of the mean "
    "velocity of those found. parked: vehicles at rest said to move. unlabelled: claims outside "
    "all labels, not proven false, for only what the left camera sees is labelled; of them "
    "ground: patches of ground, absurd: faster than 15 m/s. zero: the baseline without motion."
)
PART_HEADINGS = {
    "objects": "objects",
    "recall": "recall",
    "velocity_error": "m/s",
    "epe": "EPE m/s",
    "zero_velocity_error": "zero m/s",
}
SHOWN = 200  # claims listed on the page; all are in the JSON

Outcome = tuple[list[ObjectResult], list[Claim]]


def run_evaluate_tracking(
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
    """Score methods on labelled drives, print the tables, write what was asked for.

    Args:
        path: of the benchmark, see ``datasets.kitti_tracking``.
        methods: solvers or ``solver:preset``, each run over all drives.
        seed: 0; the online pipeline has no other.
        limit: at most so many sweeps of each drive, the first ones; None: all.
        resume: JSON-lines file that takes each method's result on a drive as it comes.

    Returns:
        The figures, as in the JSON: those of each method under ``methods``, those of the first one
        at the top as well.

    Raises:
        InputError: an unknown method, a seed, a folder that doesn't fit the layout, or files that
            can't be used.
    """
    if seed != 0:
        raise InputError(f"--seed {seed}: on raw sweeps every solver runs with seed 0")
    methods = list(dict.fromkeys(methods))
    configs = {method: with_method(config, method) for method in methods}
    sequences = open_tracking(path)
    kept = KeptRows(
        resume,
        fingerprint("kitti-tracking", str(path.resolve()), limit, config.model_dump_json()),
        "evaluate flow --dataset kitti-tracking",
        _parse,
    )
    with progress_bar(console) as bar:
        for method in methods:
            for sequence in sequences:
                key = (method, sequence.name)
                if key in kept:
                    continue
                results, claims = _score_drive(sequence, configs[method], limit, bar, method)
                row = {
                    "method": method,
                    "sequence": sequence.name,
                    "objects": [asdict(result) for result in results],
                    "claims": [asdict(claim) for claim in claims],
                }
                kept.add(key, (results, claims), row)
    outcomes = {m: _joined([kept[m, sequence.name] for sequence in sequences]) for m in methods}
    by_method: dict[str, dict[str, Any]] = {
        method: {
            **figures_of(results, claims),
            "by_class_and_range": by_class_and_range(results),
            "unlabelled": [asdict(claim) for claim in claims],
        }
        for method, (results, claims) in outcomes.items()
    }
    first = by_method[methods[0]]
    installation = examine()
    figures: dict[str, Any] = {
        "dataset": "kitti-tracking",
        "path": str(path),
        "sequences": [sequence.name for sequence in sequences],
        "seed": seed,
        "method": methods[0],
        **figures_of(*outcomes[methods[0]]),
        "methods": {**by_method, "zero": _zero(first)},
        "settings": {m: find(m, flow=config.flow)[1].model_dump(mode="json") for m in methods},
        "versions": {"ssl_perception": ssl_perception.__version__, **installation["parts"]},
        "machine": installation["machine"],
    }
    rows = [_row(name, figures["methods"][name]) for name in ("zero", *methods)]
    print_table(["method", *HEADINGS.values()], rows, console)
    console.print(LEGEND, style="dim")
    console.print(
        f"{first['movers']} moving vehicles and cyclists, {first['pedestrians']} walking people, "
        f"{first['parked']} parked vehicles, counted in each sweep"
    )
    parts = {method: _part_rows(by_method[method]["by_class_and_range"]) for method in methods}
    for method in methods:
        console.print(f"\n{method}, of what moves:")
        print_table(["", *PART_HEADINGS.values()], parts[method], console)
    if json_file is not None:
        write_json(json_file, figures)
    if csv_file is not None:
        _write_csv(csv_file, figures["methods"])
    if html_file is not None:
        _write_page(html_file, path, figures, rows, parts, outcomes)
    return figures


def _score_drive(
    sequence: TrackingSequence, config: Config, limit: int | None, bar: Progress, method: str
) -> Outcome:
    online, scores = OnlineFlow(config), ObjectScores()
    frames = list(sequence.files)[:limit]
    for frame in bar.track(frames, description=f"{method}, drive {sequence.name}"):
        result = online.process(sequence.sweep(frame))
        scores.add(frame, result, sequence.boxes.get(frame, []))
    return scores.results(), scores.claims


def _joined(parts: list[Outcome]) -> Outcome:
    return [r for results, _ in parts for r in results], [c for _, claims in parts for c in claims]


def _zero(figures: dict[str, Any]) -> dict[str, Any]:
    """What saying that nothing moves would score: it finds nothing and claims nothing."""
    counts = {key: figures[key] for key in ("movers", "pedestrians", "parked")}
    return {
        **counts,
        "recall": 0.0 if figures["movers"] else None,
        "recall_pedestrian": 0.0 if figures["pedestrians"] else None,
        "velocity_error": figures["zero_velocity_error"],
        "zero_velocity_error": figures["zero_velocity_error"],
        "parked_claimed": 0,
        "claims": 0,
        "ground_arcs": 0,
        "absurd_speed": 0,
    }


def _parse(row: Any) -> tuple[tuple[str, str], Outcome]:
    results = [ObjectResult(**values) for values in row["objects"]]
    claims = [Claim(**{**values, "centre": tuple(values["centre"])}) for values in row["claims"]]
    return (str(row["method"]), str(row["sequence"])), (results, claims)


def _cell(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    return [name, *(_cell(figures[key]) for key in HEADINGS)]


def _part_rows(parts: dict[str, dict[str, float | None]]) -> list[list[str]]:
    return [[name, *(_cell(part[key]) for key in PART_HEADINGS)] for name, part in parts.items()]


def _write_csv(path: Path, methods: dict[str, dict[str, Any]]) -> None:
    keys = ["movers", "pedestrians", "parked", *HEADINGS, "zero_velocity_error"]
    stream = io.StringIO(newline="")
    table = csv.writer(stream)
    table.writerow(["method", *keys])
    for method, figures in methods.items():
        table.writerow([method, *(figures[key] for key in keys)])
    write_output(path, stream.getvalue().encode())


def _write_page(
    path: Path,
    dataset: Path,
    figures: dict[str, Any],
    rows: list[list[str]],
    parts: dict[str, list[list[str]]],
    outcomes: dict[str, Outcome],
) -> None:
    lead = (
        f"{len(figures['sequences'])} drives, ssl_perception {ssl_perception.__version__}, "
        f"{figures['machine']['processor']}"
    )
    title = f"Labelled drives: {dataset.name}"
    sections = [Section(title, LEGEND, ["method", *HEADINGS.values()], rows)]
    for method, (_, claims) in outcomes.items():
        sections.append(
            Section(f"{method}: what moves", "", ["", *PART_HEADINGS.values()], parts[method])
        )
        listed = sorted(claims, key=lambda c: (not (c.ground_arc or c.absurd), c.frame))[:SHOWN]
        pictures: list[tuple[Figure, str]] = []
        if claims:
            caption = "Where the claims lie, seen from the sensor, over all sweeps."
            pictures = [(claims_from_above(claims), caption)]
        sections.append(
            Section(
                f"{method}: claims that no label explains",
                f"{len(claims)} in all; ground and absurd speeds first, at most {SHOWN}.",
                ["sweep", "points", "centre, m", "m/s", ""],
                [
                    [
                        str(claim.frame),
                        str(claim.points),
                        ", ".join(f"{x:.1f}" for x in claim.centre),
                        f"{claim.speed:.1f}",
                        ", ".join(
                            word
                            for word, is_so in (
                                ("ground", claim.ground_arc),
                                ("absurd speed", claim.absurd),
                            )
                            if is_so
                        ),
                    ]
                    for claim in listed
                ],
                pictures,
            )
        )
    write_html(path, "Scene flow on labelled drives", lead, [s for s in sections if s.rows])
