"""No output may hurt an input of the same run: refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from ssl_perception import cli
from ssl_perception.errors import InputError
from ssl_perception.io import point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.output import OutputBag
from ssl_perception.io.output_paths import check_outputs
from ssl_perception.types import PointCloud

STAMP = 1_700_000_000_000_000_000
ROOM = np.random.default_rng(0).uniform(-20, 20, (4000, 3)).astype(np.float32)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``log.mcap``, the rosbag2 folder ``bag`` and other inputs; we are in it."""
    monkeypatch.chdir(tmp_path)
    with OutputBag(tmp_path / "log.mcap") as bag:
        for k in range(3):
            cloud = point_cloud2.encode_points(PointCloud(ROOM, frame="lidar"))
            bag.cloud("points", STAMP + k * 100_000_000, cloud)
    recording = Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP)
    with Reader(tmp_path / "log.mcap") as log, recording:
        kind = "sensor_msgs/msg/PointCloud2"
        points = recording.add_connection("/points", kind, typestore=typestore())
        for _, stamp, raw in log.messages():
            recording.write(points, stamp, raw)
    Path("data").mkdir()
    Path("data/pair.npz").write_bytes(b"a dataset")
    Path("store/generations").mkdir(parents=True)
    Path("store/generations/00000001.json").write_bytes(b"a model")
    Path("world.yaml").write_text("kind: room\n")
    Path("robot.yaml").write_text("{}\n")
    Path("out.rrd").write_text("{}\n")
    return tmp_path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below the folder, byte by byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def refused(line: str, folder: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends with 2 and this one line, and all files are as they were."""
    before = tree(folder)
    with pytest.raises(SystemExit) as stopped:
        cli.main(command.split())
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"error: {line}"]
    assert tree(folder) == before


def test_the_bag_inside_the_recording_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "--out bag/bag.mcap: lies inside the input bag; choose another folder"
    refused(line, here, "replay bag/ --out bag/bag.mcap", capsys)


def test_the_log_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "--json log.mcap: is the input log.mcap itself; choose another name"
    refused(line, here, "replay log.mcap --out out.mcap --json log.mcap", capsys)


@pytest.mark.parametrize(
    ("command", "clash"),
    [
        ("replay log.mcap --out log.mcap", "--out log.mcap: is the input log.mcap"),
        ("replay log.mcap --out o.mcap --report log.mcap", "--report log.mcap: is the input"),
        ("replay bag --out bag/new.mcap", "--out bag/new.mcap: lies inside the input bag;"),
        ("replay bag --out o.mcap --json bag/new/x.json", "--json bag/new/x.json: lies inside"),
        ("replay bag/bag.mcap --out o.mcap --json bag/metadata.yaml", "--json bag/metadata.yaml:"),
        (
            "replay log.mcap --out out.mcap --viewer rerun --config out.rrd",
            "--viewer out.rrd: is the input out.rrd",
        ),
        (
            "replay log.mcap --out o.mcap --config robot.yaml --json robot.yaml",
            "--json robot.yaml: is the input robot.yaml",
        ),
        (
            "replay log.mcap --out o.mcap --set flow.scoop.weights=robot.yaml --json robot.yaml",
            "--json robot.yaml: is the input robot.yaml",
        ),
        ("evaluate flow data --dataset pair --json data/pair.npz", "--json data/pair.npz: lies"),
        ("evaluate flow data/pair.npz --dataset pair --csv data/pair.npz", "--csv data/pair.npz:"),
        ("evaluate flow data/pair.npz --dataset pair --html data/pair.npz", "--html data/pair.npz"),
        ("evaluate flow data --dataset pair --resume data/kept.jsonl", "--resume data/kept.jsonl:"),
        ("evaluate flow data --dataset kitti-raw --json data/x.json", "--json data/x.json: lies"),
        ("evaluate accumulation bag --picture bag/bag.mcap", "--picture bag/bag.mcap: lies inside"),
        ("evaluate accumulation log.mcap --json log.mcap", "--json log.mcap: is the input"),
        ("evaluate depth data --dataset sim --json data/x.json", "--json data/x.json: lies inside"),
        (
            "evaluate depth data --dataset sim --student store --json store/x.json",
            "--json store/x.json: lies inside the input store;",
        ),
        (
            "simulate world.yaml --seconds 0.2 --out w.mcap --json world.yaml",
            "--json world.yaml: is the input world.yaml",
        ),
        ("bench flow --log log.mcap --json log.mcap", "--json log.mcap: is the input log.mcap"),
        ("bench flow --log log.mcap --log bag --markdown bag/b.md", "--markdown bag/b.md: lies"),
        ("bench flow --pair data/pair.npz --markdown data/pair.npz", "--markdown data/pair.npz:"),
        ("bench depth --config robot.yaml --json robot.yaml", "--json robot.yaml: is the input"),
        ("export onnx store --out store/generations/00000001.json", "--out store/generations/0"),
        ("export onnx store --out o.onnx --int8 store/x.onnx", "--int8 store/x.onnx: lies inside"),
        ("export scoop data/pair.npz --out data/pair.npz", "--out data/pair.npz: is the input"),
        ("train scoop --dataset pair --path data --out data/run", "--out data/run: lies inside"),
        (
            "demo --out d --json d/log.mcap",
            "--json d/log.mcap and the log d/log.mcap are the same file",
        ),
        (
            "demo --out d --json d/depth.png",
            "--json d/depth.png and the picture depth d/depth.png are the same file",
        ),
        (
            "experiment persistence --out f --scheme stereo --seeds 1 --minutes 10"
            " --json f/stereo-network-0.json",
            "--json f/stereo-network-0.json and the flight stereo-network-0 f/stereo-network-0.json"
            " are the same file",
        ),
        (
            "experiment persistence --out f --json f --seeds 1",
            "--json f and --out f are the same file",
        ),
    ],
)
def test_every_command(
    command: str, clash: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(here)
    with pytest.raises(SystemExit) as stopped:
        cli.main(command.split())
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {clash}")
    assert tree(here) == before


def test_symbolic_links(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("link.json").symlink_to("log.mcap")
    Path("folder").symlink_to("bag")
    Path("inside.json").symlink_to("bag/new.json")
    Path("bag/outside.json").symlink_to(here / "elsewhere.json")
    replay = "replay log.mcap --out o.mcap --json"
    refused(
        "--json link.json: is the input log.mcap itself; choose another name",
        here, f"{replay} link.json", capsys,
    )  # fmt: skip
    replay = "replay bag --out o.mcap --json"
    for output in ("folder/new.json", "inside.json", "bag/outside.json"):
        line = f"--json {output}: lies inside the input bag; choose another folder"
        refused(line, here, f"{replay} {output}", capsys)
    line = "--json bag/x.json: lies inside the input folder; choose another folder"
    refused(line, here, "replay folder --out o.mcap --json bag/x.json", capsys)


def test_a_folder_of_links(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the links in an input folder lead to is input as well."""
    Path("disk").mkdir()
    Path("bag/bag.mcap").rename("disk/kept.mcap")
    Path("bag/bag.mcap").symlink_to(here / "disk/kept.mcap")
    Path("bag/circle").symlink_to(here / "bag")
    line = "--out disk/kept.mcap: is bag/bag.mcap of the input bag; choose another name"
    refused(line, here, "replay bag --out disk/kept.mcap", capsys)


def test_hard_links(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.link("log.mcap", "same.json")
    os.link("bag/bag.mcap", "part.json")
    refused(
        "--json same.json: is the input log.mcap itself; choose another name",
        here, "replay log.mcap --out o.mcap --json same.json", capsys,
    )  # fmt: skip
    refused(
        "--json part.json: is bag/bag.mcap of the input bag; choose another name",
        here, "replay bag --out o.mcap --json part.json", capsys,
    )  # fmt: skip


@pytest.mark.parametrize("other", ["x.json", "data/../x.json", "link.json", "hard.json"])
def test_one_file_for_two_outputs(
    other: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if other == "hard.json":
        Path("x.json").touch()
        os.link("x.json", "hard.json")
    if other == "link.json":
        Path("link.json").symlink_to("x.json")
    refused(
        f"--json {other} and --report x.json are the same file",
        here, f"replay log.mcap --out o.mcap --report x.json --json {other}", capsys,
    )  # fmt: skip


def test_a_caller_from_code_is_refused_too(here: Path) -> None:
    from rich.console import Console

    from ssl_perception.commands.replay import run_replay
    from ssl_perception.config import Config

    before = tree(here)
    log, console = Path("log.mcap"), Console(quiet=True)
    with pytest.raises(InputError, match="is the input"):
        run_replay(log, Path("o.mcap"), Config(), log, None, False, None, console)
    assert tree(here) == before


def test_what_hurts_nothing_is_allowed(here: Path) -> None:
    Path("old.json").write_text("{}")
    Path("run").mkdir()
    Path("run/robot.yaml").touch()
    inputs = [Path("bag"), Path("log.mcap"), Path("robot.yaml"), Path("absent.yaml"), None]
    outputs = {
        "--out": Path("o.mcap"),
        "beside the recording": Path("bag.mcap"),
        "one that exists": Path("old.json"),
        "into nothing": Path("/dev/null"),
        "again": Path("/dev/null"),
        "not asked for": None,
        "a folder": Path("made"),
        "in it": Path("made/log.mcap"),
        "also in it": Path("made/x.json"),
        "a folder that exists": Path("run"),
        "in that": Path("run/x.json"),
    }
    check_outputs(inputs, outputs)
