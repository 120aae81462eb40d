"""The experiments about new rooms and broken cameras, in small: they fly, count and report."""

from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from ssl_perception.obstacles.avoid import Command
from ssl_perception_sim.experiments.new_room import run_new_room
from ssl_perception_sim.experiments.prior import run_prior
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.stereo_faults import (
    FAULTS,
    faults_named,
    metre_reads,
    run_faults,
)
from ssl_perception_sim.sensors.camera import StereoRig


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_begins_when_it_is_told_to_and_spoils_what_it_says(name: str) -> None:
    """The same flight with and without it: a drone that turns on the spot."""
    turn = Command(yaw_rate=0.8)
    flights = [RoomFlight(2), RoomFlight(2)]
    for flight in flights:
        flight.command = turn
        list(flight.fly(0.01))
    flights[0].suffer(*faults_named(name, flights[0].world.time, 160.0))
    broken, clean = ([frame.pair for frame in flight.fly(0.01)] for flight in flights)
    left = [np.array_equal(b.left, c.left) for b, c in zip(broken, clean, strict=True)]
    right = [np.array_equal(b.right, c.right) for b, c in zip(broken, clean, strict=True)]
    spoils_left = name in (
        "left frozen", "both frozen", "swapped", "dirt on the left", "night", "blur",
    )  # fmt: skip
    spoils_right = name not in ("none", "left frozen", "dirt on the left", "blur")
    assert not any(left) if spoils_left else all(left)
    assert not any(right[1:]) if spoils_right else all(right)  # a drift begins with nothing
    if "frozen" in name:
        assert all(np.array_equal(b.left, broken[0].left) for b in broken)


def test_what_a_yaw_error_makes_of_a_metre() -> None:
    """Five pixels of disparity, one of them lost: 1.25 m."""
    step, drift = (faults_named(n, 2.0, 50.0) for n in ("yaw +1 px", "yaw drift -0.02 deg/s"))
    assert metre_reads(step, 3.0, 50.0, 0.1) == pytest.approx(1.25)
    assert metre_reads(drift, 2.0, 50.0, 0.1) == pytest.approx(1.0)
    assert metre_reads(drift, 12.0, 50.0, 0.1) == pytest.approx(5.0 / (5.0 + 0.1745), rel=1e-3)
    assert math.isnan(metre_reads(faults_named("swapped", 0.0, 50.0), 1.0, 50.0, 0.1))


def test_a_right_camera_turned_to_the_left_sees_things_farther_to_the_right() -> None:
    turned, clean = RoomFlight(2), RoomFlight(2)
    focal = StereoRig().focal
    turned.suffer(*faults_named("yaw +3 px", 0.0, focal))
    right = [next(flight.fly(0.01)).pair.right for flight in (clean, turned)]
    before, after = (cv2.GaussianBlur(image[..., 1], (0, 0), 2.0) for image in right)
    strip = before[40:200, 60:260]  # the chip's noise, the same in both, is blurred away
    match = cv2.matchTemplate(after[40:200], strip, cv2.TM_CCOEFF_NORMED)
    shift = cv2.minMaxLoc(match)[3][0] - 60
    assert shift == 3


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
