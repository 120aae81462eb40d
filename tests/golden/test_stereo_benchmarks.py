"""Stereo on real pairs with ground truth: as good as the READMEs beside the data say SGBM is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ssl_perception.commands.evaluate_depth import run_evaluate_depth
from ssl_perception.config import Config

# bad-3 (KITTI 2012) and bad-2 (Middlebury), per cent of the answered pixels that both cameras see
README = {
    "000027": 4.4,
    "000174": 1.5,
    "Adirondack": 4.4,
    "Motorcycle": 3.9,
    "Piano": 13.6,
    "Teddy": 4.5,
}
SETS = {"kitti-stereo": "stereo_gt_kitti2012", "middlebury": "stereo_gt_middlebury"}


@pytest.fixture(scope="module")
def scores(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    found = {}
    for dataset, folder in SETS.items():
        file = tmp_path_factory.mktemp("depth") / "scores.json"
        run_evaluate_depth(dataset, data / folder, Config(), file, Console(quiet=True))
        for row in json.loads(file.read_text())["scores"]:
            found[row["sample"], row["method"]] = row
    return found


@pytest.mark.parametrize("scene", README)
def test_as_good_as_the_readme(scores: dict[tuple[str, str], Any], scene: str) -> None:
    row = scores[scene, "sgbm"]
    assert 100 * row["bad"] <= README[scene]
    assert row["answered"] > 0.8


@pytest.mark.parametrize("scene", README)
def test_gate_is_open_and_what_passes_it_is_better(
    scores: dict[tuple[str, str], Any], scene: str
) -> None:
    every, gated, agreed = (scores[scene, m] for m in ("sgbm", "gated", "agreed"))
    assert gated["valid"], gated["reason"]
    assert agreed["bad"] < gated["bad"] < every["bad"]
    assert gated["answered"] > 0.6


@pytest.mark.parametrize("scene", README)
def test_constant_is_printed_and_far_worse(scores: dict[tuple[str, str], Any], scene: str) -> None:
    assert scores[scene, "constant median"]["bad"] > 0.8
    assert scores[scene, "gated"]["abs_rel"] < 0.2 * scores[scene, "constant median"]["abs_rel"]
