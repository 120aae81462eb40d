"""The tables of the persistence experiment: what is written is read, and the docs agree with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from ssl_perception.errors import InputError
from ssl_perception_sim.experiments.held_out import HeldOutScore
from ssl_perception_sim.experiments.persistence import Cell, Result, StereoFailure
from ssl_perception_sim.experiments.persistence_files import (
    FlightKey,
    StoredFlight,
    read_flight,
    read_folder,
    read_tables,
    table_files,
    write_tables,
)
from ssl_perception_sim.experiments.persistence_report import bootstrap

DOCS = Path(__file__).parents[3] / "docs"
TABLE = DOCS / "results/persistence.csv"
NOW, ALIKE, FAILURES = "near_weight_3", "near_weight_0", "near_weight_3_failures"


def flight(seed: int, fpr: float = 0.1) -> StoredFlight:
    cell = Cell(
        "gated", "network", seed, "mono", 10.0, 0.1, 0.2, 10.0, 14.5, 3, 0.9, fpr, 0.8, 0.1, 1.2,
        True, 0.0,
    )  # fmt: skip
    point = HeldOutScore(5.0, 0.98, math.nan, 0.95, 0.05, False)
    failure = StereoFailure(6.5, "mono", False, 0.3, 2.2)
    return StoredFlight({"held_out": 300}, Result((cell,), (point,), (failure,)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    flights = [flight(0), flight(1, math.nan)]
    write_tables(tmp_path / "all.csv", flights)
    found = read_tables(tmp_path / "all.csv")
    assert str(found) == str({f.key: f.result for f in flights})  # NaN is not equal to itself
    (plan,) = json.loads((tmp_path / "all_plans.json").read_text()).items()
    assert plan == (flights[0].key.plan, {"held_out": 300})
    assert {file.name for file in tmp_path.iterdir()} == {
        file.name for file in table_files(tmp_path / "all.csv").values()
    }


@pytest.mark.parametrize("name", ["all.csv", "all_curves.csv", "all_failures.csv"])
@pytest.mark.parametrize("content", [None, "a,b\n1,2\n", "plan,scheme,student,seed\np,s,t,x\n"])
def test_what_is_no_table_is_one_line(tmp_path: Path, name: str, content: str | None) -> None:
    write_tables(tmp_path / "all.csv", [flight(0)])
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=re.escape(name)):
        read_tables(tmp_path / "all.csv")


def test_flights_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """The names of then, and a setting that is no more."""
    cell = dict(vars(flight(0).result.cells[0]))
    stored = {
        "plan": {"deaths": 8, "deaths_after": 6.0, "death_seconds": 10.0, "of_old": 1},
        "cells": [cell],
        "curve": [],
        "deaths": [
            {"minute": 6.5, "driver": "mono", "crashed": False, "clearance": 0.3, "metres": 2.2}
        ],
    }
    (tmp_path / "gated-network-0.json").write_text(json.dumps(stored))
    (tmp_path / "figures.json").write_text("{}")
    (found,) = read_folder(tmp_path)
    assert found.result.failures == flight(0).result.failures
    assert found.plan["failures"] == 8 and found.plan["failure_seconds"] == 10.0
    with pytest.raises(InputError, match="flown with another plan: of_old differ"):
        plan = {"failures": 8, "failures_after": 6.0, "failure_seconds": 10.0}
        read_flight(tmp_path / "gated-network-0.json", plan)


# ---- docs/persistence.md


@pytest.fixture(scope="module")
def flown() -> dict[FlightKey, Result]:
    return read_tables(TABLE)


def rows(header: str) -> list[list[str]]:
    """Cells of the rows of the table in docs/persistence.md whose header line starts so."""
    lines = (DOCS / "persistence.md").read_text(encoding="utf-8").splitlines()
    (start,) = (k for k, line in enumerate(lines) if line.startswith(header))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def agrees(text: str, values: Iterable[float]) -> bool:
    """``0.97 [0.96, 0.97]`` is mean and interval, ``0.97`` the mean, ``0`` nothing but zeros."""
    known = list(values)
    printed = re.findall(r"[\d.]+", text)
    if printed == ["0"]:
        return not any(known)
    digits = len(printed[0].partition(".")[2])
    figures = bootstrap(known)[: len(printed)]
    return len(printed) in (1, 3) and [f"{x:.{digits}f}" for x in figures] == printed


def cells(
    flown: dict[FlightKey, Result], plan: str, scheme: str, student: str, test: str
) -> list[Cell]:
    found = [
        cell
        for key, result in flown.items()
        if key[:3] == (plan, scheme, student)
        for cell in result.cells
        if cell.test == test
    ]
    assert sorted(cell.seed for cell in found) == [0, 1, 2, 3, 4]
    return found


def test_every_flight_has_a_plan(flown: dict[FlightKey, Result]) -> None:
    plans = json.loads(table_files(TABLE)["plans"].read_text())
    assert {key.plan for key in flown} == set(plans)
    assert len(flown) == 60
    assert sum(len(result.cells) for result in flown.values()) == 110


def test_our_scheme_is_as_the_docs_say(flown: dict[FlightKey, Result]) -> None:
    tests = {"gated": "gated", "calibrated, no gate": "calibrated", "neither": "mono"}
    student, checked = "", 0
    for name, _, test, *figures in rows("| student | rooms | test |"):
        student = name or student
        of = cells(flown, NOW, "gated", student, tests[test])
        columns = ("crashes", "near", "turns", "metres", "tpr", "fpr", "blind")
        for column, text in zip(columns, figures, strict=True):
            assert agrees(text, [getattr(c, column) for c in of]), (student, test, column, text)
        checked += 1
    assert checked == 6
    assert all(c.trusted for c in cells(flown, NOW, "gated", "network", "gated"))
    assert not any(c.trusted for c in cells(flown, NOW, "gated", "textons", "gated"))


def test_the_papers_schemes_are_as_the_docs_say(flown: dict[FlightKey, Result]) -> None:
    schemes = {
        "cold turkey": "cold_turkey",
        "DAgger": "dagger",
        "training wheels": "training_wheels",
    }
    checked = 0
    for scheme, student, number, *figures in rows("| learnt under | student | rooms |"):
        if scheme not in schemes:
            continue  # stereo, flown earlier
        student, _, alike = student.partition(", ")
        plan = ALIKE if alike == "cells alike" else NOW
        of = cells(flown, plan, schemes[scheme], student, "mono")
        assert number == str(len(of))
        learning = figures.pop(5).split(", ")
        assert agrees(learning[0], [c.learn_tpr for c in of])
        assert agrees(learning[1], [c.learn_fpr for c in of])
        columns = ("crashes", "near", "turns", "metres", "overrides", "tpr", "fpr")
        for column, text in zip(columns, figures, strict=True):
            assert agrees(text, [getattr(c, column) for c in of]), (scheme, student, column, text)
        checked += 1
    assert checked == 7


def test_the_held_out_scores_are_as_the_docs_say(flown: dict[FlightKey, Result]) -> None:
    schemes = {
        "cold turkey": "cold_turkey",
        "DAgger": "dagger",
        "training wheels": "training_wheels",
        "ours": "gated",
    }
    checked = 0
    for name, minute, *figures in rows("| student | minute | AUC |"):
        student, *alike, scheme = name.split(", ")
        key = (ALIKE if alike else NOW, schemes[scheme], student)
        points = [
            point
            for k, result in flown.items()
            if k[:3] == key
            for point in result.curve
            if point.minute == float(minute)
        ]
        assert len(points) == 5
        for column, text in zip(("auc", "fpr_at_95", "tpr", "fpr"), figures, strict=True):
            assert agrees(text, [getattr(p, column) for p in points]), (name, minute, column, text)
        checked += 1
    assert checked == 20


def test_the_stereo_failures_are_as_the_docs_say(flown: dict[FlightKey, Result]) -> None:
    failures = [
        failure
        for key, result in flown.items()
        if key.plan in (NOW, FAILURES) and key.student == "network"
        for failure in result.failures
    ]
    active = [failure for failure in failures if failure.active_cue == "mono"]
    assert {failure.active_cue for failure in failures} == {"mono", "none"}
    assert not any(failure.crashed for failure in failures)
    metres = sum(failure.metres for failure in active) / len(active)
    text = " ".join((DOCS / "persistence.md").read_text(encoding="utf-8").split())
    assert f"{len(failures)} stereo failures in 20 rooms none ended in a crash" in text
    assert f"least clearance {min(failure.clearance for failure in failures):.2f} m" in text
    assert f"was the active cue in {len(active)} ({metres:.1f} m" in text
    assert f"in {len(failures) - len(active)} the student wasn't trusted" in text
