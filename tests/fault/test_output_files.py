"""What a run writes by name is there whole, or what was there before still is."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssl_perception import cli
from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import Section, write_html


@contextmanager
def disk_that_fills_up(bytes_left: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: a write stops in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_json_on_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "found.json"
    file.write_text("yesterday's")
    with disk_that_fills_up(100), pytest.raises(SystemExit) as stopped:
        cli.main(["doctor", "--json", str(file)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {file}: File too large"]
    assert file.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [file]


def test_html_on_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("yesterday's")
    with disk_that_fills_up(100), pytest.raises(InputError, match="File too large"):
        write_html(file, "Title", "lead", [Section("Heading", "text")])
    assert file.read_text() == "yesterday's"
    assert list(tmp_path.iterdir()) == [file]


def test_a_killed_run_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    file.write_text("yesterday's")
    program = (
        "import os, resource, signal\n"
        "from ssl_perception import cli\n"
        "from ssl_perception.commands import doctor, replay\n"
        "doctor.examine()\n"  # what this imports may write files of its own
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n"  # the write beyond the limit kills
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        f"cli.main(['doctor', '--json', {str(file)!r}])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode < 0, "killed"
    assert file.read_text() == "yesterday's"


def test_a_link_stays_a_link_and_a_file_keeps_its_permissions(tmp_path: Path) -> None:
    file, link = tmp_path / "file.json", tmp_path / "link.json"
    file.write_text("yesterday's")
    file.chmod(0o600)
    link.symlink_to(file)
    cli.app(["doctor", "--json", str(link)], standalone_mode=False)
    assert link.is_symlink() and not file.is_symlink()
    assert "machine" in json.loads(file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("where", ["pipe", "file"])
def test_figures_may_go_to_stdout(where: str, tmp_path: Path) -> None:
    """``> file`` too: the file behind it is not replaced while the console writes there."""
    command = [sys.executable, "-m", "ssl_perception.cli", "doctor", "--json", "/dev/stdout"]
    if where == "pipe":
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "CUDA device" in text
    else:
        with (tmp_path / "all.txt").open("a") as stream:
            subprocess.run(command, stdout=stream, check=True)
        text = (tmp_path / "all.txt").read_text()
    assert "machine" in json.loads(text[text.index("{") :])


def test_a_write_protected_file_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "kept.json"
    file.write_text("kept")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(InputError, match=r"kept\.json: is write-protected"):
        write_html(file, "Title", "lead", [])
    assert file.read_text() == "kept"
