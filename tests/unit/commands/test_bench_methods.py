"""All methods on one pair: what is scored, told and kept. The solvers here are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ssl_perception.commands import bench_methods
from ssl_perception.commands.bench_methods import Entry, measure_methods, methods_table
from ssl_perception.config import FlowConfig, NsfpConfig
from ssl_perception.datasets import FlowSample
from ssl_perception.errors import InputError
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

EGO = np.eye(4)
EGO[:3, 3] = -0.8, 0.1, 0.0
ENTRIES = (
    Entry("rigid_cluster", "still", seeded=False, prior=False),
    Entry("nsfp:argoverse-8192", "by seed"),
    Entry("nsfp:argoverse-8192", "ego motion in", ego_motion=True),
)


def sample() -> FlowSample:
    rng = np.random.default_rng(0)
    points = rng.uniform(-20, 20, (500, 3)).astype(np.float32)
    flow = np.zeros_like(points)
    flow[:100, 0] = 1.0
    moving = flow[:, 0] > 0
    return FlowSample(
        "made up",
        PointCloud(points, stamp=0.0),
        PointCloud(points + flow, stamp=0.1),
        flow,
        np.ones(500, np.bool_),
        moving,
        np.arange(500) < 200,
        target_from_source=EGO,
    )


class Solver:
    """Answers the true motion as the clouds show it, wrong by 1 cm times the seed."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def __call__(
        self,
        source: PointCloud,
        target: PointCloud,
        method: str,
        seconds: float | None = None,
        seed: int = 0,
        options: FlowConfig | None = None,
    ) -> SceneFlow:
        flow: FloatArray = np.zeros_like(source.points)
        if len(source) == len(target) and method != "rigid_cluster":
            flow = target.points[: len(source)] - source.points
            flow[:, 2] += 0.01 * seed
        if seconds is None:
            self.calls.append((method, seed))
        count = len(source)
        sure = np.ones(count, np.float32)
        return SceneFlow(flow, sure > 0, sure, 0.1, iterations=40 + seed)


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch) -> Solver:
    made_up = Solver()
    monkeypatch.setattr(bench_methods, "estimate_flow", made_up)
    monkeypatch.setattr(bench_methods, "ENTRIES", ENTRIES)
    monkeypatch.setattr(bench_methods, "OURS_REPEATS", 1)
    return made_up


def measure(kept: Path | None, priors: bool = True, flow: FlowConfig | None = None) -> list[dict]:
    flow = flow or FlowConfig()
    return measure_methods(sample(), flow, (0, 1, 2), priors, kept, Console(quiet=True))


def test_every_seed_is_told_and_the_ego_motion_taken_out(solver: Solver) -> None:
    zero, still, seeded, ego = measure(None)
    assert zero["epe_three_way"] == still["epe_three_way"] == [pytest.approx(1 / 3)]
    assert seeded["seed"] == [0, 1, 2] and seeded["iterations"] == [40, 41, 42]
    for row in (seeded, ego):
        assert row["epe_dynamic_foreground"] == pytest.approx([0.0, 0.01, 0.02], abs=1e-5)
        assert row["epe_static_background"] == pytest.approx([0.0, 0.01, 0.02], abs=1e-5)
    heading, *lines = methods_table([zero, still, seeded, ego])
    assert {len(line) for line in lines} == {len(heading)}
    assert lines[2][:4] == [
        "nsfp:argoverse-8192", "by seed", "40 / 41 / 42", "0.010 (0.000 / 0.010 / 0.020)"
    ]  # fmt: skip


def test_a_fit_of_an_hour_has_fewer_seeds(solver: Solver, monkeypatch: pytest.MonkeyPatch) -> None:
    long = Entry("nsfp:argoverse", "all points", most_seeds=1)
    monkeypatch.setattr(bench_methods, "ENTRIES", (long,))
    _, row = measure(None)
    assert row["seed"] == [0] and row["iterations"] == [40]


def test_without_priors_only_the_fast_ones_run(solver: Solver) -> None:
    assert [row["method"] for row in measure(None, priors=False)] == ["zero", "rigid_cluster"]


def test_a_killed_run_goes_on(solver: Solver, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    rows = measure(kept)
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:30])
    solver.calls.clear()
    again = measure(kept)
    assert [call for call in solver.calls if call[0] != "rigid_cluster"] == [
        ("nsfp:argoverse-8192", 2)
    ]
    assert [row["epe_three_way"] for row in again] == [row["epe_three_way"] for row in rows]
    solver.calls.clear()
    measure(kept, flow=FlowConfig(nsfp=NsfpConfig(iterations=7)))
    assert len(solver.calls) == 6, "other settings: none of theirs is taken from the file"
    kept.write_text("nothing\n")
    with pytest.raises(InputError, match="not results of bench flow"):
        measure(kept)
