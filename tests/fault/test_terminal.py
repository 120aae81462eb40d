"""Whatever a name or an option is: one line that helps, never a traceback, never an escape code."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_perception import cli
from ssl_perception.commands import doctor
from ssl_perception.runtime.console import Terminal, print_table, progress_bar

NAMES = ["[/red]", "[bold]x[/]", "\x1b[31mred\x07", "a\nb", "\x9b2J", "\u202egpj", "\udcff", "\\"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        cli.main(list(arguments))
        code = 0
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, _, error = run(capsys, *arguments)
    assert code == 2
    lines = error.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), error
    return lines[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_printed_as_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for arguments in (
        ("replay", f"{tmp_path}/{name}.mcap", "--out", f"{tmp_path}/o.mcap"),
        ("doctor", "--json", f"{tmp_path}/file/{name}"),
        ("warm-up", "--config", f"{tmp_path}/{name}"),
    ):
        (tmp_path / "file").touch()
        line = refused(capsys, *arguments)
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line)
        line.encode()
        if name.isprintable() and "\udcff" not in name:
            assert name in line


@pytest.mark.parametrize("name", NAMES)
def test_tables_bars_and_lines_show_names_as_text(name: str) -> None:
    stream = io.StringIO()
    console = Terminal(file=stream, force_terminal=False, width=100)
    console.print(f"wrote {name}")
    print_table(("file", "n"), [(name, "1")], console)
    with progress_bar(console) as bar:
        bar.advance(bar.add_task(name, total=1))
    text = stream.getvalue()
    text.encode()
    bad = [c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160 or c == "\u202e"]
    assert not bad
    if name == "[/red]":
        assert text.count(name) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "scoop", "--out"),
        ("train", "student", "--out"),
        ("demo", "--out"),
        ("export", "onnx", "STORE", "--out", "OUT.onnx"),
        ("export", "store", "STORE", "--out"),
        ("replay", "LOG", "--out", "OUT.mcap", "--store"),
        ("store", "check"),
        ("store", "repair"),
        ("experiment", "persistence", "--out"),
    ],
    ids=" ".join,
)
def test_a_file_where_a_folder_is_meant(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    places = {
        "STORE": str(file),
        "LOG": str(data / "stereo_seq_kitti_a"),
        "OUT.mcap": str(tmp_path / "out.mcap"),
        "OUT.onnx": str(tmp_path / "out.onnx"),
    }
    words = [places.get(word, word) for word in arguments]
    line = refused(capsys, *words, *([] if words[-1] == places["OUT.onnx"] else [str(file)]))
    assert str(file) in line
    assert file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_student_that_is_a_file(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    line = refused(
        capsys,
        "evaluate",
        "depth",
        "--dataset",
        "kitti-stereo",
        str(data / "stereo_gt_kitti2012"),
        "--student",
        str(file),
    )
    assert "no undamaged model" in line or "no model store" in line


@pytest.mark.parametrize("length", [256, 5000])
def test_names_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str], length: int) -> None:
    name = str(tmp_path / ("x" * length))
    for arguments in (
        ("doctor", "--json", name),
        ("replay", name, "--out", str(tmp_path / "o.mcap")),
        ("replay", str(tmp_path), "--out", f"{name}.mcap"),
        ("warm-up", "--config", name),
        ("store", "check", name),
        ("train", "scoop", "--out", name),
    ):
        line = refused(capsys, *arguments)
        assert len(line) < 1200


def test_a_name_of_255_bytes_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("x" * 250 + ".json", "ä" * 125 + ".json"):
        assert run(capsys, "doctor", "--json", str(tmp_path / name))[0] == 0
        assert (tmp_path / name).stat().st_size


def test_a_bug_is_one_line_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise TypeError("no [/bold] such\x1b thing")

    monkeypatch.setattr(doctor, "run_doctor", broken)
    code, _, error = run(capsys, "doctor")
    assert code == 70
    (line,) = error.splitlines()
    assert line.startswith("error: unexpected TypeError: no [/bold] such")
    assert "please report it" in line and "--debug" in line and "\x1b" not in line
    for arguments in (("doctor", "--debug"), ("--debug", "doctor")):
        with pytest.raises(TypeError):
            cli.main(list(arguments))


WORDS = st.sampled_from(
    ["replay", "evaluate", "flow", "export", "onnx", "store", "check", "repair", "doctor", "--out",
     "--json", "--set", "--config", "--seed", "-1", "1e99", "x=[", "scan.sectors=&a [*a]",
     "--learn", "--store", "", "-", "--", "/dev/null/x", "[/red]", "\x1b]0;x\x07", "--debug=1",
     "\udcff", "warm-up", "--version", "--help", "street"]
)  # fmt: skip


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=6))
def test_random_arguments(words: list[str]) -> None:
    if "warm-up" in words[:1] or "street" in words or "doctor" in words:  # these would do something
        words = ["replay", *words]
    try:
        cli.main(words)
    except SystemExit as stopped:
        assert stopped.code in (0, 1, 2)
