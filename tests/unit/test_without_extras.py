"""The core works without PyTorch, Patchwork++, pyarrow and the viewers, and says what is missing.

A process of its own in which importing them fails, as where they aren't installed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ssl_perception.depth.learning.learner_process import LearnerProcess
from ssl_perception.errors import InputError

ABSENT = ("torch", "pypatchworkpp", "pyarrow", "rerun", "open3d", "ray", "tensorboard", "embreex")
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""
NODES = (
    "avoid, bag_player, bag_recorder, depth_learner, depth_teacher, mono_depth, obstacle_distance, "
    "scene_flow, stereo_depth"
)


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        cwd=tmp_path,
    )


def cli(*arguments: str) -> str:
    return f"from ssl_perception import cli\ncli.main({list(arguments)!r})\n"


@pytest.mark.processes
def test_replay_of_lidar_needs_no_extra(data: Path, tmp_path: Path) -> None:
    log = str(data / "ros2_bags_reencoded" / "vlp16_points_mcap")
    result = run(cli("replay", log, "--out", "o.mcap", "--report", "r.html"), tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "o.mcap").stat().st_size > 1000
    assert (tmp_path / "r.html").stat().st_size > 1000


@pytest.mark.processes
def test_a_stored_student_runs_without_pytorch(data: Path, tmp_path: Path) -> None:
    code = f"""
import numpy as np
from ssl_perception import Config, Perception
from ssl_perception.io.open_log import open_log
from ssl_perception.runtime.shipped import shipped
from ssl_perception.types import StereoPair
pairs = open_log({str(data / "stereo_seq_kitti_a")!r})
with Perception(Config(), store=shipped("drone_room")) as perception:
    result = perception.stereo(next(iter(pairs)).value)
assert np.isfinite(result.mono.depth).any() or result.mono.reason
assert not {{"torch"}} & set(sys.modules)
"""
    result = run(code, tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.processes
def test_flow_is_evaluated_against_truth(data: Path, tmp_path: Path) -> None:
    pair = str(data / "lidar_flow_av2_7fab2350")
    result = run(cli("evaluate", "flow", pair, "--dataset", "pair"), tmp_path)
    assert result.returncode == 0, result.stderr
    assert "rigid_cluster" in result.stdout


@pytest.mark.processes
def test_nodes_import(tmp_path: Path) -> None:
    result = run(f"from ssl_perception_ros import {NODES}", tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.processes
@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (
            [
                "evaluate",
                "flow",
                "DATA/lidar_flow_av2_7fab2350",
                "--dataset",
                "pair",
                "--method",
                "fast_nsf",
            ],
            "flow method fast_nsf needs torch",
            "learning",
        ),
        (
            ["replay", "DATA/stereo_seq_kitti_a", "--out", "o.mcap", "--learn"],
            "learning needs torch",
            "learning",
        ),
        (["train", "student", "--out", "s"], "needs", ""),
        (["simulate", "room", "--out", "o.mcap"], "this command needs embreex", "sim"),
        (
            ["replay", "DATA/stereo_seq_kitti_a", "--out", "o.mcap", "--viewer", "rerun"],
            "--viewer rerun needs rerun",
            "viewer",
        ),
    ],
)
def test_what_needs_an_extra_names_it_in_one_line(
    arguments: list[str], module: str, extra: str, data: Path, tmp_path: Path
) -> None:
    filled = [argument.replace("DATA", str(data)) for argument in arguments]
    result = run(cli(*filled), tmp_path)
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert module in line and f"pip install 'ssl-perception[{extra}" in line
    assert not (tmp_path / "o.mcap").exists()


def test_the_process_of_the_learner_is_not_started_without_pytorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl_perception.runtime.extras.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"learning needs torch.*\[learning\]"):
        LearnerProcess(tmp_path)
