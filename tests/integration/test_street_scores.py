"""Errors by kind of street and by class."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception_sim.experiments import street_scores
from ssl_perception_sim.experiments.street_scores import run_evaluate_streets
from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.world.categories import Category


def test_truth_scores_zero_and_zero_flow_scores_the_truth() -> None:
    sample = next(street_pairs([0], plan=street_scores.KINDS["coaches"]))
    assert sample.flow is not None
    assert sample.dynamic is not None
    right = street_scores.class_sums(sample, sample.flow, sample.dynamic)
    still = street_scores.class_sums(
        sample, np.zeros_like(sample.flow), np.zeros_like(sample.dynamic)
    )
    points, error, length, moving = right[Category.BUS.name]
    assert points > 100
    assert error == 0
    assert moving == points
    assert still[Category.BUS.name][1] == pytest.approx(length)


def test_xyz_leaves_out_the_times_alone() -> None:
    sample = next(street_pairs([0]))
    bare = street_scores.without_times(sample)
    assert bare.source.time is None
    assert bare.target.time is None
    assert sample.source.time is not None
    assert bare.source.points is sample.source.points
    assert bare.flow is sample.flow


def test_every_method_stands_beside_zero_flow_and_a_killed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*seeds: int) -> dict[str, dict[str, object]]:
        file = tmp_path / "figures.json"
        run_evaluate_streets(
            seeds, ["any"], ["rigid_cluster"], False, Config(), file,
            tmp_path / "state.jsonl", Console(file=StringIO()),
        )  # fmt: skip
        return {row["method"]: row for row in json.loads(file.read_text())["results"]}

    first = run(0)
    zero, ours = first["zero"], first["rigid_cluster"]
    assert 0 < ours["epe_three_way"] <= ours["worst_three_way"] + 1e-12  # type: ignore[operator]
    assert ours["epe_three_way"] < zero["epe_three_way"]  # type: ignore[operator]
    car, still = ours["classes"]["CAR"], zero["classes"]["CAR"]  # type: ignore[index]
    assert still["epe"] == pytest.approx(still["zero_flow"]) and still["moving"] == 0.0
    assert car["epe"] < car["zero_flow"] == still["zero_flow"]
    monkeypatch.setattr(street_scores, "street_pairs", lambda *_, **__: pytest.fail("made anew"))
    assert run(0) == first


@pytest.mark.parametrize(
    ("kind", "method", "line"),
    [("lunar", "rigid_cluster", "--kind lunar"), ("any", "moon", "unknown method 'moon'")],
)
def test_an_unknown_kind_or_method_is_one_line(kind: str, method: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        run_evaluate_streets([0], [kind], [method], False, Config(), None, None, Console())
