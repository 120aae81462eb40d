import json
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_perception import cli
from ssl_perception.runtime import installation


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ssl_perception.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_help_names_the_commands() -> None:
    result = run("--help")
    assert result.returncode == 0
    for command in ("demo", "replay", "evaluate", "simulate", "doctor"):
        assert command in result.stdout


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
    monkeypatch.setenv("COLUMNS", "200")
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
        (["simulate", "moon", "--out", "o.mcap"], "moon"),
        (["evaluate", "flow", ".", "--dataset", "moon"], "moon"),
        (["evaluate", "depth", ".", "--dataset", "moon"], "moon"),
        (["experiment", "persistence", "--out", "x", "--memory", "none"], "learner.memory.policy"),
        (["experiment", "persistence", "--out", "x", "--set", "learner.x=1"], "unknown key"),
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
