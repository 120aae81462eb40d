import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
import typer.main
from typer.testing import CliRunner

import ssl_perception
from ssl_perception import cli
from ssl_perception.runtime import installation
from ssl_perception.runtime.console import Terminal


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssl_perception.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def commands(group: Any, *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of the app, by the words that call it."""
    for name, command in group.commands.items():
        yield (*above, name), command
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, *above, name)


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def test_the_documented_commands_are_there() -> None:
    documented = {
        "demo", "replay", "simulate", "doctor", "warm-up", "evaluate flow", "evaluate depth",
        "evaluate accumulation", "evaluate streets", "evaluate realism", "train scoop",
        "export onnx", "export scoop", "bench flow", "bench depth", "bench simulator",
        "experiment flight", "experiment forgetting", "experiment stereo-loss",
        "experiment persistence", "view", "batch", "merge",
    }  # fmt: skip
    assert documented <= {" ".join(words) for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    """A sentence on the command, one on each of its options, and ``--help`` that prints them."""
    command = COMMANDS[words]
    summary = command.help or ""
    assert len(summary.split()) >= 3, "what does it do?"
    result = CliRunner().invoke(cli.app, [*words, "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert summary.split(".")[0].split("\n")[0] in " ".join(result.output.split())
    for option in command.params:
        assert option.name == "help" or option.help, option


def test_help_answers_at_once() -> None:
    result = run("--help")
    assert result.returncode == 0
    for words in COMMANDS:
        assert words[0] in result.stdout


def test_version() -> None:
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.strip() == f"ssl-perception {ssl_perception.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "absent", "--out", "o.mcap"],
        ["evaluate", "flow", "absent", "--dataset", "pair"],
        ["evaluate", "flow", "absent", "--dataset", "kitti-raw"],
        ["evaluate", "depth", "absent", "--dataset", "kitti-stereo"],
        ["evaluate", "accumulation", "absent"],
        ["export", "onnx", "absent", "--out", "o.onnx"],
    ],
)
def test_a_path_that_is_not_there_is_refused_before_anything_heavy_loads(
    arguments: list[str], tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "from ssl_perception import cli\n"
        "try:\n"
        f"    cli.main({arguments!r})\n"
        "finally:\n"
        "    print({'cv2', 'matplotlib', 'numba', 'torch'} & set(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert result.stderr.strip() == "error: absent: no such file or folder"
    assert result.stdout.strip() == "set()"


def test_doctor_writes_what_it_prints(tmp_path: Path) -> None:
    file = tmp_path / "doctor.json"
    result = run("doctor", "--json", str(file))
    assert result.returncode == 0
    found = json.loads(file.read_text())
    assert found["parts"]["fast flow solvers (numba)"] in result.stdout


def test_doctor_names_extras_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installation, "_installed", lambda names: None)
    monkeypatch.setattr(cli, "out", Terminal(width=200))
    cli.app(["doctor"], standalone_mode=False)
    assert "pip install 'ssl-perception[viewer]'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["replay", "absent.mcap", "--out", "o.mcap"], "absent.mcap: no such file or folder"),
        (["replay", ".", "--out", "o.mcap", "--config", "absent.yaml"], "absent.yaml: No such"),
        (["replay", ".", "--out", "o.mcap", "--set", "flow.methd=1"], "unknown key 'flow.methd'"),
        (["replay", ".", "--out", "o.mcap", "--set", "scan.sectors=0"], "scan.sectors"),
        (["replay", ".", "--out", "o.mcap", "--viewer", "rviz"], "--viewer rviz"),
        (["view", "absent.pcd"], "absent.pcd: no such file or folder"),
        (["batch", "absent/*", "--out", "x"], "absent/*: no such log"),
        (["batch", ".", "--out", "x", "--task", "moon"], "--task moon"),
        (["batch", ".", "--out", "x", "--task", "evaluate"], "--dataset"),
        (["batch", "1", "--out", "x", "--task", "experiment", "--shard", "2/1"], "--shard 2/1"),
        (["merge", "."], ".: holds no results of batch"),
        (["simulate", "moon", "--out", "o.mcap"], "moon"),
        (["evaluate", "flow", ".", "--dataset", "moon"], "moon"),
        (["evaluate", "depth", ".", "--dataset", "moon"], "moon"),
        (["experiment", "persistence", "--out", "x", "--memory", "none"], "learner.memory.policy"),
        (["experiment", "persistence", "--out", "x", "--set", "learner.x=1"], "unknown key"),
        (["experiment", "persistence", "--out", "x", "--seeds", "0-4"], "--seeds 0-4"),
        (["experiment", "flight", "--seeds", "x"], "--seeds x"),
        (["experiment", "forgetting", "--seeds", "2,4"], "--unseen 4: is one of the rooms"),
        (["evaluate", "streets", "--seeds", "4..0"], "--seeds 4..0"),
        (["evaluate", "streets", "--kind", "moon"], "--kind moon"),
        (["evaluate", "realism", "absent"], "absent: no such folder"),
        (["evaluate", "realism", "."], "ego_estimated.json: No such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert line in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_warm_up_compiles_for_the_method_that_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    warmed: list[str] = []
    monkeypatch.setattr(
        "ssl_perception.commands.warm_up.warm_up", lambda config: warmed.append(config.flow.method)
    )
    report = tmp_path / "w.json"
    arguments = ["warm-up", "--set", "flow.method=neural_prior", "--json", str(report)]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert warmed == ["neural_prior"] and "neural_prior: ready after" in result.output
    assert json.loads(report.read_text())["method"] == "neural_prior"
