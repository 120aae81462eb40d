"""All methods at their best on one labelled pair, each seed by itself: part of ``bench flow``.

Errors and steps depend on the settings, the seed and, a little, on how a machine rounds; not on its
load. The cost is processor time, which load lengthens less than wall time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ssl_perception.config import FlowConfig
from ssl_perception.datasets import FlowSample
from ssl_perception.evaluation.flow_metrics import PARTS, score
from ssl_perception.evaluation.kept_results import KeptRows, fingerprint
from ssl_perception.flow import estimate_flow, find
from ssl_perception.types import SceneFlow
from ssl_perception.warm_up import time_to_warm

FIGURES = ("epe_three_way", *PARTS)
OURS_REPEATS = 5  # of a method that takes milliseconds; the median counts


@dataclass(frozen=True)
class Entry:
    """A method and what it is given.

    Attributes:
        method: ``solver`` or ``solver:preset``.
        settings: whose they are, and what else a reader must know.
        seeded: the answer depends on the seed.
        xyz: the points' times are left out. No prior uses them.
        ego_motion: the clouds are as the sensor saw them, the ego motion left in. The answer is
            freed of it before it is scored.
        prior: takes minutes.
        most_seeds: no more than so many of the seeds, where one fit takes an hour; None: all.
    """

    method: str
    settings: str
    seeded: bool = True
    xyz: bool = False
    ego_motion: bool = False
    prior: bool = True
    most_seeds: int | None = None


ENTRIES = (
    Entry("rigid_cluster", "with point times", seeded=False, prior=False),
    Entry("rigid_cluster", "xyz only", seeded=False, xyz=True, prior=False),
    Entry("neural_prior", "with point times"),
    Entry("nsfp:argoverse", "the authors', all points", most_seeds=1),
    Entry("nsfp:argoverse-8192", "the authors' for all points, on 8192 (ours)"),
    Entry("fast_nsf:readme-8192", "the authors' for 8192 points"),
    Entry("fast_nsf:patient-8192", "OpenSceneFlow's stop, 8192 points"),
    Entry(
        "fast_nsf:patient-8192", "OpenSceneFlow's stop, 8192 points, ego motion in", ego_motion=True
    ),
    Entry("fast_nsf:patient", "OpenSceneFlow's stop, all points"),
    Entry("scoop:all-8192", "the authors' for all points, on 8192 (ours); our network"),
    Entry(
        "scoop:all-8192",
        "the authors' for all points, on 8192 (ours); our network; ego motion in",
        ego_motion=True,
    ),
    Entry("scoop:8192", "ours, 8192 points"),
    Entry("scoop", "ours, all points", seeded=False),
)


def measure_methods(
    sample: FlowSample,
    flow: FlowConfig,
    seeds: Sequence[int],
    priors: bool,
    resume: Path | None,
    console: Console,
) -> list[dict[str, Any]]:
    """One row an entry: zero flow first, then ``ENTRIES``.

    Args:
        sample: labelled and ego-compensated.
        flow: settings on which presets go.
        priors: the slow ones, too.
        resume: JSON-lines file that takes each answer's figures as they come.

    Returns:
        Rows with ``method``, ``settings`` and, a number for each seed (one, where the answer
        doesn't depend on it), ``seed``, ``iterations``, ``processor_seconds`` and ``FIGURES``.
    """
    data = (sample.name, len(sample.source), len(sample.target))
    kept = KeptRows(resume, fingerprint("methods", *data), "bench flow", _parse)
    zero = score(sample, SceneFlow.still(len(sample.source), sample.interval))
    rows: list[dict[str, Any]] = [{"method": "zero", "settings": ""}]
    rows[0] |= {"seed": [], "iterations": [], "processor_seconds": []}
    rows[0] |= {key: [zero[key]] for key in FIGURES}
    for entry in ENTRIES:
        if (entry.prior and not priors) or (entry.ego_motion and sample.target_from_source is None):
            continue
        settings = find(entry.method, flow)[1].model_dump_json()
        what = fingerprint(entry.method, settings, entry.xyz, entry.ego_motion)
        results = []
        for seed in seeds[: entry.most_seeds if entry.seeded else 1]:
            if (what, seed) not in kept:
                with console.status(f"{entry.method}, seed {seed}"):
                    found = _measure(sample, entry, flow, seed)
                name = {"method": entry.method, "settings": entry.settings, "what": what}
                kept.add((what, seed), found, {**name, "seed": seed, "figures": found})
            results.append({"seed": seed, **kept[what, seed]})
        by_key = {key: [result[key] for result in results] for key in results[0]}
        rows.append({"method": entry.method, "settings": entry.settings, **by_key})
    return rows


def methods_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The heading and a line for each row of ``measure_methods``."""
    table = [["method", "settings", "steps", "3-way m", "dynamic m", "FS m", "BS m", "processor s"]]
    for row in rows:
        spent = row["processor_seconds"]
        table.append(
            [
                row["method"],
                row["settings"],
                " / ".join(str(steps) for steps in row["iterations"]),
                *(_each(row[key]) for key in ("epe_three_way", "epe_dynamic_foreground")),
                *(f"{np.mean(row[key]):.3f}" for key in PARTS[1:]),
                f"{np.median(spent):.2f}" if spent else "",
            ]
        )
    return table


def _each(values: list[float]) -> str:
    """The mean, and every seed's value."""
    each = " / ".join(f"{value:.3f}" for value in values)
    return each if len(values) == 1 else f"{np.mean(values):.3f} ({each})"


def _measure(sample: FlowSample, entry: Entry, flow: FlowConfig, seed: int) -> dict[str, float]:
    source, target = sample.source, sample.target
    if entry.ego_motion:
        assert sample.target_from_source is not None
        source = source.transformed(np.linalg.inv(sample.target_from_source).astype(np.float64))
    if entry.xyz:
        source, target = (replace(cloud, time=None) for cloud in (source, target))
    few = np.arange(min(2000, len(source), len(target)))
    one, other = source.select(few), target.select(few)
    # imports and compilers aren't what is measured
    estimate_flow(one, other, entry.method, time_to_warm(entry.method), seed, flow)
    answer, spent = None, []
    for _ in range(1 if entry.prior else OURS_REPEATS):
        start = time.process_time()
        answer = estimate_flow(source, target, entry.method, seed=seed, options=flow)
        spent.append(time.process_time() - start)
    assert answer is not None
    over_ground = answer.flow - (sample.source.points - source.points)
    scores = score(sample, replace(answer, flow=over_ground))
    return {
        "iterations": answer.iterations,
        "processor_seconds": float(np.median(spent)),
        **{key: scores[key] for key in FIGURES},
    }


def _parse(row: Any) -> tuple[tuple[str, int], dict[str, float]]:
    figures = row["figures"]
    if figures.keys() != {"iterations", "processor_seconds", *FIGURES}:
        raise ValueError("other figures")
    return (str(row["what"]), int(row["seed"])), figures
