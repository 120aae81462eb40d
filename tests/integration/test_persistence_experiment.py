"""The persistence experiment in small: it flies, branches, resumes and reports."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ssl_perception.config import TrustConfig
from ssl_perception.errors import InputError
from ssl_perception_sim.experiments import persistence, persistence_report
from ssl_perception_sim.experiments.persistence import (
    Cell,
    Plan,
    Result,
    fly,
)
from ssl_perception_sim.experiments.persistence_files import plain, read_flight, read_tables
from ssl_perception_sim.experiments.persistence_report import (
    Job,
    bootstrap,
    run_persistence,
)

SHORT = Plan(
    stereo_minutes=0.03,
    learn_minutes=(0.06,),
    test_minutes=0.03,
    curve=(0.05, 0.06),
    held_out=10,
    failures=1,
    failures_after=0.05,
    failure_seconds=1.0,
)


@pytest.fixture(scope="module")
def gated() -> Result:
    return fly("gated", "network", 0, SHORT)


def test_a_gated_flight_is_tested_with_and_without_its_parts(gated: Result) -> None:
    assert [cell.test for cell in gated.cells] == ["gated", "calibrated", "mono"]
    whole, *parts = gated.cells
    assert not whole.trusted and whole.blind == 1.0 and whole.crashes == 0.0
    assert all(part.blind == 0.0 for part in parts)
    assert [point.minute for point in gated.curve] == [0.05, 0.06]
    assert all(0.0 <= point.auc <= 1.0 for point in gated.curve)


def test_without_trust_the_drone_stands_still_when_stereo_fails(gated: Result) -> None:
    (failure,) = gated.failures
    assert failure.active_cue == "none" and not failure.crashed
    assert 0.05 <= failure.minute <= 0.065 and failure.metres < 0.5


def test_a_flight_that_ends_before_stereo_may_fail_is_flown() -> None:
    change = {"failures_after": 6.0, "curve": (), "learn_minutes": (0.05,)}
    short = SHORT.model_copy(update=change)
    for scheme in ("dagger", "gated"):
        result = fly(scheme, "textons", 0, short)
        assert result.cells and not result.failures


def test_the_same_seed_flies_the_same(gated: Result) -> None:
    assert str(fly("gated", "network", 0, SHORT)) == str(gated)


def test_flown_flights_are_not_flown_again(
    tmp_path: Path, gated: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(seeds: int) -> str:
        out = Console(file=StringIO(), width=200)
        run_persistence(
            ["stereo"], ["network"], range(seeds), SHORT, tmp_path / "flights", 1,
            tmp_path / "all.json", tmp_path / "all.csv", tmp_path / "report.html", out,
        )  # fmt: skip
        return str(out.file.getvalue())  # type: ignore[attr-defined]

    assert "1 flights, 0 flown already" in run(1)
    monkeypatch.setattr(persistence_report, "worker_pool", None)
    text = run(1)
    assert "1 flights, 1 flown already" in text and "stereo" in text
    (flight,) = json.loads((tmp_path / "all.json").read_text())["flights"]
    flown = fly("stereo", "network", 0, SHORT)
    assert flight["cells"] == plain(flown)["cells"]
    (cell,) = flight["cells"]
    assert cell["test"] == "stereo" and cell["blind"] == 0.0 and cell["metres"] > 0.0
    assert "<table>" in (tmp_path / "report.html").read_text()
    ((key, result),) = read_tables(tmp_path / "all.csv").items()
    assert (key.scheme, key.student, key.seed) == ("stereo", "", 0)
    assert result.cells[0].turns == flight["cells"][0]["turns"]


def test_rates_count_predictions_against_the_true_obstacles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two of three near obstacles found, one false alarm of four; unknown ones don't count."""
    options = Plan().trust
    near, clear, unknown = 0.5 * options.trigger, 2.0 * options.trigger, math.nan
    truth = [near, near, near, clear, clear, clear, clear, unknown, near]
    predicted = [near, near, clear, clear, clear, near, clear, near, unknown]
    seen = iter(zip(truth, predicted, strict=True))
    now = [0.0, 0.0]

    def true_nearest(*_: object) -> float:
        now[:] = next(seen)
        return now[0]

    monkeypatch.setattr(persistence, "true_nearest", true_nearest)
    monkeypatch.setattr(persistence, "nearest_ahead", lambda *_: now[1])
    marks = persistence._ObstacleCounts(options)
    for _ in truth:
        marks.add(None, None, options.trigger)  # type: ignore[arg-type]
    found = marks.rates()
    assert found.tpr == pytest.approx(2 / 3) and found.fpr == pytest.approx(1 / 4)


def test_flights_of_another_plan_are_not_taken_for_this_ones(
    tmp_path: Path,
) -> None:
    job = Job("gated", "network", 0, Plan(), tmp_path)
    content = {"plan": SHORT.model_dump(mode="json"), "cells": [], "curve": [], "failures": []}
    job.file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"gated-network-0\.json: flown with another plan: "):
        run_persistence(
            ["gated"], ["network"], [0], Plan(), tmp_path, 1, None, None, None,
            Console(file=StringIO()),
        )  # fmt: skip


@pytest.mark.parametrize("content", ["", "[]", '{"cells": [{"x": 1}]}', "{"])
def test_a_file_that_is_no_result_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match="not a result of this experiment"):
        read_flight(tmp_path / "x.json")


def test_another_plan_has_another_file(tmp_path: Path) -> None:
    files = {Job("gated", "network", 0, plan, tmp_path).file for plan in (Plan(), SHORT)}
    assert len(files) == 2


def test_the_table_has_means_over_rooms(gated: Result) -> None:
    def crashed(times: float) -> Cell:
        return Cell(**{**vars(gated.cells[0]), "crashes": times})

    table = persistence_report.tests([Result((crashed(n),), (), ()) for n in (1.0, 3.0)])
    (row,) = persistence_report._cells(table)
    assert row[4] == "2" and row[6].startswith("2.00 [1.00, 3.00]")


def test_the_experiment_flies_with_the_trust_settings_of_the_robot() -> None:
    assert Plan().trust == TrustConfig()


def test_intervals_hold_the_mean_and_leave_out_what_is_unknown() -> None:
    mean, low, high = bootstrap([1.0, 2.0, 3.0, math.nan])
    assert low < mean == 2.0 < high
    assert math.isnan(bootstrap([math.nan])[0])
