"""The protocol on the labelled Argoverse 2 pair, and what our solver scores there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ssl_perception import cli
from ssl_perception.errors import InputError

KEYS = {
    "epe",
    "epe_three_way",
    "epe_dynamic_foreground",
    "epe_static_foreground",
    "epe_static_background",
    "acc_strict",
    "acc_relax",
    "outliers",
    "angle_error",
    "dynamic_iou",
    "points",
    "iterations_median",
    "seconds_median",
    "seconds_p95",
    "peak_mb",
    "bucketed",
    "bucketed_dynamic_error",
    "bucketed_static_epe",
}


def evaluate(*arguments: str) -> None:
    cli.app(["evaluate", "flow", *arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def pair(data: Path) -> tuple[str, ...]:
    """The arguments that evaluate on the labelled pair."""
    folder = str(data / "lidar_flow_av2_7fab2350")
    return (folder, "--dataset", "pair", "--method", "rigid_cluster")


@pytest.fixture(scope="module")
def evaluated(pair: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every output of one evaluation, and its state that a later one may resume."""
    folder = tmp_path_factory.mktemp("evaluated")
    outputs = {"--json": "f.json", "--csv": "f.csv", "--html": "f.html", "--resume": "s.jsonl"}
    evaluate(*pair, *(text for o, name in outputs.items() for text in (o, str(folder / name))))
    return folder


def test_argoverse_pair(evaluated: Path) -> None:
    figures, table, page = (evaluated / name for name in ("f.json", "f.csv", "f.html"))
    found = json.loads(figures.read_text())
    assert set(found["methods"]) == {"zero", "rigid_cluster"}
    assert all(set(row) == KEYS for row in found["methods"].values())
    assert {"seed", "versions", "machine"} <= set(found)
    zero, ours = found["methods"]["zero"], found["methods"]["rigid_cluster"]
    assert zero["epe_three_way"] == pytest.approx(0.227, abs=0.002), "same protocol"
    assert zero["epe_dynamic_foreground"] == pytest.approx(0.674, abs=0.002)
    assert ours["epe_three_way"] <= 0.016
    assert ours["epe_dynamic_foreground"] <= 0.042
    assert ours["epe_static_background"] <= 0.0015
    assert found["methods"]["zero"]["bucketed_dynamic_error"] == pytest.approx(1.0)
    assert set(ours["bucketed"]) >= {"CAR", "PEDESTRIAN", "BACKGROUND"}
    assert ours["bucketed"]["CAR"]["dynamic_error"] < 0.35
    assert table.read_text().count("\n") == 3
    assert "rigid_cluster" in page.read_text()


def test_a_killed_run_goes_on_where_it_stopped(
    pair: tuple[str, ...], evaluated: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state.jsonl"
    lines = (evaluated / "s.jsonl").read_text().splitlines()
    assert len(lines) == 3
    mark = lines[1].replace('"epe": 0.0168', '"epe": 7.0168', 1)
    assert mark != lines[1]
    state.write_text("\n".join([lines[0], mark, lines[2][:40]]))  # killed while writing
    figures = tmp_path / "f.json"
    evaluate(*pair, "--resume", str(state), "--json", str(figures))
    found = json.loads(figures.read_text())["methods"]
    assert found["zero"]["epe"] > 7.0, "taken from the file, not computed again"
    assert found["rigid_cluster"]["epe_three_way"] < 0.1, "the one that was cut is done again"


def test_results_of_another_seed_are_not_mixed_in(pair: tuple[str, ...], evaluated: Path) -> None:
    with pytest.raises(InputError, match="other settings, seed or data"):
        evaluate(*pair, "--resume", str(evaluated / "s.jsonl"), "--seed", "1")


@pytest.mark.parametrize(
    ("name", "points"), [("lidar_seq_kitti_city", 50_000), ("lidar_seq_kitti_road", 300)]
)
def test_movers_on_raw_sweeps_stand_the_third_sweep(
    name: str, points: int, data: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "f.json"
    evaluate(str(data / name), "--dataset", "kitti-raw", "--json", str(figures))
    found = json.loads(figures.read_text())
    assert found["unconfirmed_per_sweep"] <= 0.5
    assert found["confirmed_points"] >= points


def test_raw_sweeps_take_every_option(data: Path, tmp_path: Path) -> None:
    """Several methods, a preset among them; each figure of one is of that one."""
    log, kept = str(data / "lidar_seq_kitti_road"), tmp_path / "state.jsonl"
    figures, table, page = (tmp_path / name for name in ("f.json", "f.csv", "f.html"))
    outputs = ("--json", str(figures), "--csv", str(table), "--html", str(page))
    common = (log, "--dataset", "kitti-raw", "--limit", "2", "--resume", str(kept))
    methods = ("--method", "rigid_cluster", "--method", "fast_nsf:patient-2048")
    few = ("--set", "flow.fast_nsf.iterations=3")
    evaluate(*common, *methods, *few, *outputs)
    found = json.loads(figures.read_text())
    assert list(found["methods"]) == ["rigid_cluster", "fast_nsf:patient-2048"]
    ours, prior = found["methods"].values()
    assert ours != prior
    assert ours["sweeps_judged"] == prior["sweeps_judged"] == 2
    assert ours.items() <= found.items(), "the first method's figures are at the top, too"
    assert found["settings"]["fast_nsf:patient-2048"]["points"] == 2048
    assert table.read_text().count("\n") == 3
    assert "fast_nsf:patient-2048" in page.read_text()

    marked = kept.read_text().replace('"judged": 2', '"judged": 7')
    kept.write_text(marked)
    evaluate(*common, *methods, *few, "--json", str(figures))
    again = json.loads(figures.read_text())
    assert again["sweeps_judged"] == 7, "taken from the file, not computed again"
    with pytest.raises(InputError, match="other settings, seed or data"):
        evaluate(*common, *methods, *few, "--set", "flow.max_gap=0.4")


def test_raw_sweeps_refuse_what_they_cannot_use(data: Path) -> None:
    log = str(data / "lidar_seq_kitti_road")
    with pytest.raises(InputError, match="--seed 1: on raw sweeps"):
        evaluate(log, "--dataset", "kitti-raw", "--seed", "1")
    with pytest.raises(InputError, match="nsfp:moon"):
        evaluate(log, "--dataset", "kitti-raw", "--method", "nsfp:moon")
