"""The benchmark measures what it says, on real sweeps, and writes its page."""

from __future__ import annotations

import json
import shlex
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ssl_perception import cli
from ssl_perception.commands import bench_flow
from ssl_perception.config import Config, override
from ssl_perception.errors import InputError


def test_the_page_and_the_figures(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_flow, "REPEATS", 2)
    monkeypatch.setattr(bench_flow, "SIZES", (10_000, 20_000))
    page, figures = tmp_path / "BENCHMARK.md", tmp_path / "bench.json"
    bench_flow.run_bench_flow(
        Config(),
        [data / "ros2_bags_reencoded" / "vlp16_points_mcap"],
        data / "lidar_flow_av2_7fab2350",
        10,
        False,
        figures,
        page,
        Console(file=StringIO()),
        ["Nothing else ran."],
    )
    found = json.loads(figures.read_text())
    online = found["online"]["vlp16_points_mcap"]
    assert online["sweeps"] == 9, "back and forth; the first has nothing to compare with"
    assert 0 < online["p50_ms"] <= online["p95_ms"] <= online["max_ms"]
    assert sum(stage["p50"] for stage in online["stages_ms"].values()) < 2 * online["p50_ms"]
    assert [row["points"] for row in found["solver"]] == [10_000, 20_000]
    assert [row["deadline_ms"] for row in found["deadline"]] == [5, 10, 20, 50, 100, None]
    assert found["deadline"][-1]["epe_three_way"] < 0.025
    assert found["deadline"][-1]["converged"] == 1.0
    text = page.read_text()
    assert [row["settings"] for row in found["methods"]] == ["", "with point times", "xyz only"]
    assert "| rigid_cluster | with point times |" in text
    assert f"    {found['command']}\n" in text and "\n- Nothing else ran.\n" in text
    assert found["machine"]["processor"] in text


def test_the_page_has_the_whole_command_that_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run again by it, options and settings are the same."""
    monkeypatch.chdir(tmp_path)
    for name in ("a log", "b", "pair"):
        Path(name).mkdir()
    config = override(Config(), ["flow.max_gap=0.4", "flow.method=neural_prior"])
    given = ([Path("a log"), Path("b")], Path("pair"), 50, True, Path("f.json"), Path("B.md"))
    notes = ["Nothing else ran.", "50 % of the fans on."]
    kept, seeds = Path("kept.jsonl"), [3, 5, 8]
    words = shlex.split(bench_flow._command(config, *given, notes, kept, seeds))
    assert words[:3] == ["ssl-perception", "bench", "flow"]
    seen: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_flow, "run_bench_flow", lambda *arguments: seen.extend(arguments))
        cli.app(words[1:], standalone_mode=False)
    logs, pair, sweeps, priors, figures, page = given
    assert seen[:7] == [config, logs, pair, sweeps, priors, figures, page]
    assert seen[8:] == [notes, kept, seeds]


def test_a_log_without_sweeps_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match="two sweeps"):
        bench_flow.run_bench_flow(
            Config(),
            [data / "ros2_bags_reencoded" / "kitti_stereo_db3"],
            None,
            10,
            False,
            None,
            None,
            Console(file=StringIO()),
        )
