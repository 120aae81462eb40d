"""The experiments about new rooms and broken cameras, in small: they fly, count and report."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ssl_perception.types import CameraModel, StereoPair
from ssl_perception_sim.experiments.new_room import run_new_room
from ssl_perception_sim.experiments.prior import run_prior
from ssl_perception_sim.experiments.stereo_faults import FAULTS, Broken, run_faults


def pair(k: int) -> StereoPair:
    texture = np.random.default_rng(k).integers(60, 180, (60, 88), dtype=np.uint8)
    camera = CameraModel(80, 60, 50.0, 50.0, 39.5, 29.5)
    return StereoPair(texture[:, :80], texture[:, 8:], camera, 0.1, stamp=0.1 * k)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_begins_when_it_is_told_to_and_spoils_what_it_says(fault: str) -> None:
    broken = Broken(fault, start=0.45, focal=50.0, baseline=0.1)
    given = [pair(k) for k in range(9)]
    out = [broken.apply(p, pair(100 + k).right) for k, p in enumerate(given)]
    assert all(a is b for a, b in zip(out[:5], given[:5], strict=True))
    left = [np.array_equal(o.left, g.left) for o, g in zip(out[5:], given[5:], strict=True)]
    right = [np.array_equal(o.right, g.right) for o, g in zip(out[5:], given[5:], strict=True)]
    spoils_left = fault in (
        "left frozen",
        "both frozen",
        "swapped",
        "dirt on the left",
        "night",
        "blur",
    )
    spoils_right = fault not in ("none", "left frozen", "dirt on the left", "blur")
    assert not any(left) if spoils_left else all(left)
    assert not all(right) if spoils_right else all(right)
    if fault == "left frozen":
        assert all(np.array_equal(o.left, given[4].left) for o in out[5:])
    if fault == "right 3 frames late":
        assert np.array_equal(out[8].right, given[5].right)


def test_what_a_yaw_error_makes_of_a_metre() -> None:
    """Five pixels of disparity, one of them lost: 1.25 m."""
    assert Broken("yaw +1 px", 0.0, 50.0, 0.1).reads(3.0) == pytest.approx(1.25)
    drift = Broken("yaw drift -0.02 deg/s", 2.0, 50.0, 0.1)
    assert drift.shift(2.0) == 0.0 and drift.shift(12.0) == pytest.approx(-0.1745, rel=1e-2)
    assert math.isnan(Broken("swapped", 0.0, 50.0, 0.1).reads(1.0))


def test_a_flight_in_a_new_room_is_counted_and_reported(tmp_path: Path) -> None:
    out = Console(file=StringIO(), width=250)
    file = tmp_path / "a.json"
    run_new_room([2], 1, 0.05, 0.03, 1.0, [], 1, file, out)
    text = out.file.getvalue()  # type: ignore[attr-defined]
    assert "new, stereo dead" in text and "the same room" in text
    rows = json.loads(file.read_text())["rows"]
    assert [(row["home"], row["room"], row["stereo_seconds"]) for row in rows] == [
        (2, 2, 0.0),
        (2, 2001, 0.0),
        (2, 2001, 1.0),
    ]
    for row in rows:
        assert not row["trusted"] and row["mono"] == 0.0 and row["unknown"] == 1.0
        assert row["false_free"] == 0


def test_a_fault_in_flight_is_noticed_and_reported(tmp_path: Path) -> None:
    out = Console(file=StringIO(), width=250)
    figures = run_faults([2], 0.05, ["night"], [], tmp_path / "a.json", out)
    (score,) = figures["scores"]
    assert score.fault == "night" and score.noticed <= 0.5
    assert score.false_free == 0 and score.learnt == 0
    assert "night" in out.file.getvalue()  # type: ignore[attr-defined]
    assert json.loads((tmp_path / "a.json").read_text())["scores"][0]["label_error"] is None


def test_a_fresh_student_is_scored_with_and_without_its_prior(tmp_path: Path) -> None:
    out = Console(file=StringIO(), width=250)
    figures = {}
    for prior, minutes in (("none", [0.03]), ("shipped", [0.0, 0.03])):
        file = tmp_path / f"{prior}.json"
        settings = [f"learner.prior={prior}", "student.exclude=1.05"]  # hardly a cell can do that
        run_prior([2], 24, minutes, settings, 1, file, out)
        figures[prior] = json.loads(file.read_text())["rows"]
    assert [row["every"]["minute"] for row in figures["shipped"]] == [0.0, 0.03]
    before, after = figures["shipped"]
    assert before["every"]["auc"] > 0.85 > figures["none"][0]["every"]["auc"]
    assert after["every"]["auc"] != before["every"]["auc"], "it has learnt"
    assert before["every"]["unknown"] == 0.0 < before["certain"]["unknown"]
    assert all(math.isnan(row["trusted_after"] or math.nan) for row in figures["shipped"])
    assert "worst AUC" in out.file.getvalue()  # type: ignore[attr-defined]
