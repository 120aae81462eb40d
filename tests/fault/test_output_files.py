"""What a run writes by name is there whole, or what was there before still is."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ssl_perception import cli
from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.io.output import OutputBag
from ssl_perception.io.output_paths import check_outputs
from ssl_perception.io.write import write_json


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


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_runs_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    gone = ended_process()
    left = [tmp_path / f".out.mcap.{gone}.01234567.bag", tmp_path / f".r.json.{gone}.01234567.part"]
    left[0].mkdir()
    (left[0] / "bag").mkdir()
    (left[0] / "bag" / "bag.mcap").write_bytes(b"half")
    left[1].write_bytes(b"half")
    mine = [
        tmp_path / f".out.mcap.{os.getpid()}.01234567.bag",  # a run that goes on
        tmp_path / f".other.mcap.{gone}.01234567.bag",  # of another output: its next run's matter
        tmp_path / ".out.mcap.notes",
        tmp_path / f".out.mcap.{gone}.0123456.bag",
    ]
    for folder in mine:
        folder.mkdir()
    link = tmp_path / f".out.mcap.{gone}.89abcdef.bag"
    link.symlink_to(tmp_path / "elsewhere")
    with OutputBag(tmp_path / "out.mcap"):
        pass
    write_json(tmp_path / "r.json", {"n": 1})
    assert not any(path.exists() for path in left)
    assert all(path.is_dir() for path in mine) and link.is_symlink()


@pytest.mark.processes
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_the_old_bag(tmp_path: Path, end: signal.Signals) -> None:
    bag = tmp_path / "out.mcap"
    bag.write_bytes(b"yesterday's")
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from ssl_perception import cli\n"
        "from ssl_perception.commands import doctor\n"
        "from ssl_perception.io.output import OutputBag\n"
        "def run(*_):\n"
        "    with OutputBag(Path(sys.argv[1])):\n"
        "        print('writes', flush=True)\n"
        "        time.sleep(60)\n"
        "doctor.run_doctor = run\n"
        "cli.main(['doctor'])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(bag)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(end)
    assert process.wait(30) in (-end, 128 + end)
    assert bag.read_bytes() == b"yesterday's"
    if end is signal.SIGKILL:
        with OutputBag(bag):  # the next run clears up
            pass
    assert list(tmp_path.iterdir()) == [bag]


@pytest.mark.parametrize(
    ("option", "name", "content"),
    [
        ("--json", "robot.yaml", b"scan: {sectors: 36}"),
        ("--json", "flight.mcap", b"\x89MCAP0\r\n..."),
        ("--json", "found.json", b"SQLite format 3\0"),
        ("--json", "thesis.tex", b"\\documentclass"),
        ("--report", "notes.txt", b"notes"),
        ("--out", "found.mcap", b"\x89PNG\r\n"),
        ("--csv", "found.csv", b"PK\x03\x04"),
    ],
)
def test_a_file_of_another_kind_needs_force(
    tmp_path: Path, option: str, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{option} .*{name}: exists and is no .* --force"):
        check_outputs([], {option: path})


@pytest.mark.parametrize(
    ("option", "name", "content"),
    [
        ("--json", "found.json", b'{"n": 1}'),
        ("--json", "found.txt", b" [1]"),
        ("--json", "found.json", b"torn by an editor"),
        ("--json", "new.txt", b""),
        ("--report", "report.html", b"<!DOCTYPE html>"),
        ("--out", "found.mcap", b"\x89MCAP0\r\n"),
        ("--out", "model.onnx", b"\x08\x0a"),
    ],
)
def test_a_file_of_the_same_kind_is_replaced(
    tmp_path: Path, option: str, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    check_outputs([], {option: tmp_path / name})


@pytest.mark.processes
def test_force(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("notes")
    command = [sys.executable, "-m", "ssl_perception.cli", "doctor", "--json", str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert path.read_text() == "notes"
    subprocess.run([*command, "--force"], capture_output=True, check=True)
    assert "machine" in json.loads(path.read_text())
