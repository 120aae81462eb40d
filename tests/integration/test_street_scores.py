"""The table of errors by kind of street."""

from __future__ import annotations

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from ssl_perception.errors import InputError
from ssl_perception_sim.experiments import score
from ssl_perception_sim.recording.pairs import street_pairs
from ssl_perception_sim.world.categories import Category


def test_truth_scores_zero_and_zero_flow_scores_the_truth() -> None:
    sample = next(street_pairs([0], plan=score.KINDS["coaches"]))
    assert sample.flow is not None
    assert sample.dynamic is not None
    right = score.class_sums(sample, sample.flow, sample.dynamic)
    still = score.class_sums(sample, np.zeros_like(sample.flow), np.zeros_like(sample.dynamic))
    points, error, length, moving = right[Category.BUS.name]
    assert points > 100
    assert error == 0
    assert moving == points
    assert still[Category.BUS.name][1] == pytest.approx(length)


def test_xyz_leaves_out_the_times_alone() -> None:
    sample = next(street_pairs([0]))
    bare = score.without_times(sample)
    assert bare.source.time is None
    assert bare.target.time is None
    assert sample.source.time is not None
    assert bare.source.points is sample.source.points
    assert bare.flow is sample.flow


def test_a_row_has_every_part() -> None:
    row = score.run("any", [0], "rigid_cluster", False, Console(quiet=True))
    assert 0 < row["epe_three_way"] <= row["worst_three_way"] + 1e-12
    assert row["classes"]["CAR"]["zero_flow"] > row["classes"]["CAR"]["epe"]


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "1-b"])
def test_a_bad_range_is_named(text: str) -> None:
    if text == "3-":
        assert list(score.seed_range(text)) == [3]
    else:
        with pytest.raises(InputError, match="--seeds"):
            score.seed_range(text)


def test_an_unknown_kind_is_one_line() -> None:
    app = typer.Typer()
    app.command()(score.main)
    result = CliRunner().invoke(app, ["--kind", "lunar"])
    assert result.exit_code == 2
    assert "lunar" in result.stderr
