"""Bad input on the command line: one line on stderr, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ssl_perception import cli
from ssl_perception.io import images, point_cloud2
from ssl_perception.io.output import OutputBag
from ssl_perception.io.results import read_flow
from ssl_perception.types import CameraModel, PointCloud

STAMP = 1_700_000_000_000_000_000
TENTH = 100_000_000
RNG = np.random.default_rng(0)
ROOM = RNG.uniform(-20, 20, (4000, 3)).astype(np.float32)
CAMERA = CameraModel(320, 240, 200.0, 200.0, 160.0, 120.0)
GREY = RNG.integers(0, 255, (240, 320), dtype=np.uint8)


@pytest.fixture
def good_then(tmp_path: Path) -> Callable[..., Path]:
    """A log with two good sweeps, then one given as a packed cloud, then a good one."""

    def make(bad: point_cloud2.PackedCloud) -> Path:
        good = point_cloud2.encode_points(PointCloud(ROOM, frame="lidar"))
        with OutputBag(tmp_path / "log.mcap") as bag:
            for k, cloud in enumerate((good, good, bad, good)):
                bag.cloud("points", STAMP + k * TENTH, cloud)
        return tmp_path / "log.mcap"

    return make


def packed(points: np.ndarray = ROOM, **change: object) -> point_cloud2.PackedCloud:
    whole = point_cloud2.encode_points(PointCloud(points, frame="lidar"))
    values = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    return point_cloud2.PackedCloud(**(values | change))


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, line: str, *arguments: str) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert line in captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert sorted(tmp_path.iterdir()) == before, "nothing is left behind"


BAD_CLOUDS = {
    "no z": (packed(fields=packed().fields[:2]), "has no field z"),
    "lying point_step": (packed(point_step=16), "data holds"),
    "all NaN": (packed(np.full_like(ROOM, np.nan)), "empty cloud"),
    "empty": (packed(np.empty((0, 3), np.float32)), "empty cloud"),
}


@pytest.mark.parametrize("kind", BAD_CLOUDS)
def test_a_bad_sweep_in_the_middle(
    kind: str,
    good_then: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloud, line = BAD_CLOUDS[kind]
    log = good_then(cloud)
    output = str(tmp_path / "out.mcap")
    refused(capsys, tmp_path, line, "replay", str(log), "--out", output)


@pytest.mark.parametrize("kind", BAD_CLOUDS)
def test_skip_bad_loses_only_the_bad_sweep(
    kind: str, good_then: Callable[..., Path], tmp_path: Path
) -> None:
    log = good_then(BAD_CLOUDS[kind][0])
    output, figures = tmp_path / "out.mcap", tmp_path / "out.json"
    cli.app(
        ["replay", str(log), "--out", str(output), "--skip-bad", "--json", str(figures)],
        standalone_mode=False,
    )
    assert [stamp for stamp, _ in read_flow(output)] == [STAMP + k * TENTH for k in (0, 1, 3)]
    skipped = json.loads(figures.read_text())["skipped"]
    assert len(skipped) == 1 and "/points" in skipped[0]


def test_missing_and_truncated_bags(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "out.mcap")
    absent = str(tmp_path / "absent.mcap")
    refused(capsys, tmp_path, "no such file or folder", "replay", absent, "--out", output)
    cut = tmp_path / "cut.mcap"
    source = data / "ros2_bags_reencoded" / "vlp16_points_mcap" / "vlp16_points_mcap.mcap"
    shutil.copy(source, cut)
    cut.write_bytes(cut.read_bytes()[:200_000])
    refused(capsys, tmp_path, "cut short", "replay", str(cut), "--out", output)


def test_a_bag_without_usable_topics(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packets = str(data / "lidar_vlp16_rosbag" / "packets_bag")
    output = str(tmp_path / "out.mcap")
    refused(capsys, tmp_path, "/velodyne_packets", "replay", packets, "--out", output)


@pytest.mark.parametrize(
    ("right", "infos", "line"),
    [
        (GREY[:, :300], True, "left image is 320x240 but right image is 300x240"),
        (GREY, False, "camera_info"),
    ],
)
def test_bad_stereo(
    right: np.ndarray,
    infos: bool,
    line: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "log.mcap"
    with OutputBag(log) as bag:
        for side, pixels in (("left", GREY), ("right", right)):
            bag.image(f"{side}/image_rect", STAMP, images.encode(pixels, "mono8"))
            if infos:
                baseline = 0.1 if side == "right" else 0.0
                bag.camera_info(f"{side}/camera_info", STAMP, CAMERA, baseline)
    refused(capsys, tmp_path, line, "replay", str(log), "--out", str(tmp_path / "out.mcap"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scan: {sectorz: 72}", "scan.sectorz: unknown key"),
        ("scan: {sectors: -1}", "scan.sectors"),
    ],
)
def test_bad_settings(
    text: str, line: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "robot.yaml"
    settings.write_text(text)
    log, output = str(data / "lidar_vlp16_rosbag"), str(tmp_path / "out.mcap")
    refused(capsys, tmp_path, line, "replay", log, "--out", output, "--config", str(settings))


def test_an_output_that_is_the_log_itself_or_no_bag_name(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.mcap"
    source = data / "ros2_bags_reencoded" / "vlp16_points_mcap" / "vlp16_points_mcap.mcap"
    shutil.copy(source, log)
    refused(capsys, tmp_path, "is the input", "replay", str(log), "--out", str(log))
    other = str(tmp_path / "out.bag")
    refused(capsys, tmp_path, "must end in .mcap", "replay", str(log), "--out", other)


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_a_side_file_that_cannot_be_written(
    option: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stopped:
        log, output = str(data / "lidar_vlp16_rosbag"), str(tmp_path / "out.mcap")
        cli.main(["replay", log, "--out", output, option, str(tmp_path / "file" / "below")])
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
