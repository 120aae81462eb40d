"""A real labelled drive: a van, a cyclist and a pedestrian ahead, a parked van, people about."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_perception import cli


@pytest.fixture(scope="module")
def figures(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    out = tmp_path_factory.mktemp("tracking") / "tracking.json"
    arguments = [
        "evaluate", "flow", "--dataset", "kitti-tracking", str(data / "lidar_tracking_kitti"),
        "--limit", "24", "--json", str(out),
    ]  # fmt: skip
    cli.app(arguments, standalone_mode=False)
    values: dict[str, float] = json.loads(out.read_text())
    return values


def test_all_movers_are_found_and_no_parked_van(figures: dict[str, float]) -> None:
    assert figures["movers"] >= 45 and figures["recall"] >= 0.98
    assert figures["pedestrians"] >= 5 and figures["recall_pedestrian"] >= 0.8
    assert figures["parked"] >= 10 and figures["parked_claimed"] == 0
    assert figures["velocity_error"] <= 0.22


def test_no_ground_moves_and_nothing_flies(figures: dict[str, float]) -> None:
    assert figures["ground_arcs"] == 0 and figures["absurd_speed"] == 0
    assert figures["claims"] > 0  # people and cars out of the camera's sight


def test_zero_flow_is_beside(figures: dict[str, dict]) -> None:
    assert figures["methods"]["zero"]["recall"] == 0.0
    assert figures["methods"]["zero"]["velocity_error"] > 3.0
