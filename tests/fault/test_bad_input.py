"""Whatever comes from outside broken is refused with one line that names the culprit.

The command line turns ``InputError`` into that line and exit code 2 (tests/unit/test_cli.py).
"""

from __future__ import annotations

import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from ssl_perception.config import FilesConfig
from ssl_perception.datasets import (
    DEPTH,
    FLOW,
    open_depth,
    open_flow,
)
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import FLOAT32, PackedCloud, PointField
from ssl_perception.types import CameraModel

STAMP = 1_700_000_000_000_000_000
CAMERA = CameraModel(8, 6, 50.0, 50.0, 4.0, 3.0)
POINTS = np.random.default_rng(0).normal(0, 9, (20, 3)).astype(np.float32)
XYZ = tuple(PointField(name, 4 * k, FLOAT32) for k, name in enumerate("xyz"))


def refused(path: Path, line: str) -> None:
    """Opening and reading it fails with one line that holds ``line``."""
    with pytest.raises(InputError, match=line) as caught:
        list(open_log(path))
    assert "\n" not in str(caught.value)
    assert str(path.name) in str(caught.value), "names the culprit"


@pytest.fixture
def mcap(data: Path, tmp_path: Path) -> Path:
    source = data / "ros2_bags_reencoded" / "vlp16_points_mcap" / "vlp16_points_mcap.mcap"
    copy = tmp_path / "cut.mcap"
    copy.write_bytes(source.read_bytes())
    return copy


@pytest.fixture
def db3(data: Path, tmp_path: Path) -> Path:
    source = data / "ros2_bags_reencoded" / "kitti_stereo_db3" / "kitti_stereo_db3.db3"
    copy = tmp_path / "cut.db3"
    copy.write_bytes(source.read_bytes())
    return copy


# files


def test_missing(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.mcap", "no such file or folder")


@pytest.mark.parametrize("name", ["log.mcap", "log.db3"])
def test_zero_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refused(tmp_path / name, "the file is empty")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("log.mcap", "not an MCAP file"),
        ("log.db3", "not an SQLite file"),
        ("log.txt", "not a recording"),
        ("log.bag", "a ROS 1 bag; convert it"),
    ],
)
def test_text_file(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / name).write_text("this is no recording\n" * 100)
    refused(tmp_path / name, line)


@pytest.mark.parametrize("keep", [8, 9, 30, 1000, 0.5, 0.999])
def test_truncated_mcap(mcap: Path, keep: float) -> None:
    whole = mcap.read_bytes()
    mcap.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    refused(mcap, "cut short.*mcap recover")


@pytest.mark.parametrize("keep", [100, 4096, 0.5, 0.9])
def test_truncated_sqlite(db3: Path, keep: float) -> None:
    whole = db3.read_bytes()
    db3.write_bytes(whole[: int(keep if keep > 1 else keep * len(whole))])
    refused(db3, "not a readable rosbag2 recording")


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_never_give_anything_but_input_errors(
    mcap: Path, db3: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for file in (mcap, db3):
        content = np.frombuffer(file.read_bytes(), np.uint8).copy()
        if seed % 2:  # the last part holds an MCAP's index
            places = rng.integers(max(0, len(content) - 3000), len(content) - 8, 40)
        else:
            places = rng.integers(16, len(content) - 8, 4000)
        content[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
        file.write_bytes(content.tobytes())
        try:
            log = open_log(file)
            errors: list[InputError] = []
            list(log.read(errors.append))
        except InputError as error:
            assert "\n" not in str(error)


def test_folder_without_metadata(mcap: Path) -> None:
    assert len(list(open_log(mcap.parent))) == 4, "one file: no doubt which"
    shutil.copy(mcap, mcap.with_name("another.mcap"))
    refused(mcap.parent, "expected a rosbag2 recording")


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ("", "not a readable rosbag2 recording"),
        ("[", "metadata.yaml: not valid YAML"),
        ("rosbag2_bagfile_information: {version: 9}", "metadata key is missing"),
        ("\x00\x01", "metadata.yaml: not valid YAML"),
    ],
)
def test_broken_metadata(mcap: Path, metadata: str, line: str) -> None:
    (mcap.parent / "metadata.yaml").write_text(metadata)
    refused(mcap.parent, line)


@pytest.mark.parametrize("name", ["../cut.mcap", "/etc/passwd", "a/../../cut.mcap", ".."])
def test_metadata_that_leaves_the_folder(mcap: Path, name: str) -> None:
    (mcap.parent / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information: {{version: 9, relative_file_paths: ['{name}']}}"
    )
    refused(mcap.parent, "lies outside of the recording's folder")


@pytest.mark.parametrize(
    ("metadata", "line"),
    [
        ("a: [" + "0, " * 5_000_000 + "0]", "metadata.yaml: larger than"),
        ("a: &a [0, 0]\nb: &b [*a, *a]\n" + "c: [" + "*b, " * 50_000 + "0]", "more than"),
    ],
    ids=["long", "aliases"],
)
def test_metadata_of_any_size(mcap: Path, metadata: str, line: str) -> None:
    (mcap.parent / "metadata.yaml").write_text(metadata)
    refused(mcap.parent, line)


def test_bag_whose_file_is_gone(data: Path, tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    shutil.copy(data / "ros2_bags_reencoded" / "vlp16_points_mcap" / "metadata.yaml", bag)
    refused(bag, "files are missing")


def test_sqlite_file_that_is_no_bag(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db3") as database:
        database.execute("CREATE TABLE shopping (item TEXT)")
    database.close()
    refused(tmp_path / "other.db3", "not a readable rosbag2 recording")


def test_bag_without_usable_topics(data: Path) -> None:
    refused(data / "lidar_vlp16_rosbag" / "packets_bag", "no usable topic.*/velodyne_packets")


# messages


def bag_of(tmp_path: Path, write: Callable[[OutputBag], None]) -> Path:
    with OutputBag(tmp_path / "log.mcap") as bag:
        write(bag)
    return tmp_path / "log.mcap"


def packed(points: np.ndarray = POINTS, **change: Any) -> PackedCloud:
    values: dict[str, Any] = {
        "frame": "lidar",
        "fields": XYZ,
        "point_step": 12,
        "data": points.view(np.uint8).reshape(-1),
        "width": len(points),
        "is_dense": True,
    }
    return PackedCloud(**(values | change))


def with_value(value: float) -> np.ndarray:
    points = POINTS.copy()
    points[7, 1] = value
    return points


@pytest.mark.parametrize(
    ("cloud", "line"),
    [
        (packed(fields=XYZ[:2]), "has no field z"),
        (packed(fields=()), "has no field x, y, z"),
        (packed(point_step=8), "field 'z' at offset 8 ends beyond point_step 8"),
        (packed(point_step=16), "data holds 240 bytes"),
        (packed(width=21), "data holds 240 bytes"),
        (packed(width=0), "empty cloud"),
        (packed(width=340_000_000), "more than"),
        (packed(np.zeros((20, 3), np.float32)), "empty cloud: none of 20"),
        (packed(np.full((20, 3), np.nan, np.float32), is_dense=False), "empty cloud: none of 20"),
    ],
)
def test_bad_point_clouds(tmp_path: Path, cloud: PackedCloud, line: str) -> None:
    if cloud.point_step == 8:  # keep the row and the data consistent: only the step lies
        cloud = packed(point_step=8, width=30)
    path = bag_of(tmp_path, lambda bag: bag.cloud("points", STAMP, cloud))
    refused(path, f"/points: .*{line}")


def stereo(
    bag: OutputBag,
    left: np.ndarray,
    right: np.ndarray,
    baseline: float = 0.2,
    infos: tuple[str, ...] = ("left", "right"),
    encoding: str = "mono8",
) -> None:
    for side, pixels in (("left", left), ("right", right)):
        bag.image(f"{side}/image_rect", STAMP, images.encode(pixels, encoding))
        if side in infos:
            bag.camera_info(
                f"{side}/camera_info", STAMP, CAMERA, baseline if side == "right" else 0
            )


GREY = np.zeros((6, 8), np.uint8)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"right": np.zeros((5, 8), np.uint8)}, "left image is 8x6 but right image is 8x5"),
        ({"left": GREY[:5], "right": GREY[:5]}, "images are 8x5 but camera_info says 8x6"),
        ({"baseline": 0.0}, "baseline must be positive"),
        ({"infos": ("left",)}, "no camera_info for /right/image_rect"),
        ({"infos": ()}, "no camera_info for /left/image_rect"),
        (
            {
                "left": GREY.astype(np.float32),
                "right": GREY.astype(np.float32),
                "encoding": "32FC1",
            },
            "camera image is 32FC1",
        ),
    ],
)
def test_bad_stereo(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    values = {"left": GREY, "right": GREY} | change
    refused(bag_of(tmp_path, lambda bag: stereo(bag, **values)), line)


def test_garbage_instead_of_a_message(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection(
            "/points", "sensor_msgs/msg/PointCloud2", typestore=typestore()
        )
        writer.write(connection, STAMP, b"\x00\x01\x00\x00" + b"\xff" * 40)
    refused(tmp_path / "bag", "/points: corrupt sensor_msgs/msg/PointCloud2 message")


def test_stamp_that_is_none(tmp_path: Path) -> None:
    def write(bag: OutputBag) -> None:
        header = bag.message(
            "std_msgs/msg/Header",
            stamp=bag.message("builtin_interfaces/msg/Time", sec=-5, nanosec=0),
            frame_id="",
        )
        pose = bag.message(
            "sensor_msgs/msg/PointCloud2",
            header=header,
            height=1,
            width=20,
            fields=[],
            is_bigendian=False,
            point_step=12,
            row_step=240,
            data=packed().data,
            is_dense=True,
        )
        bag.write("points", STAMP, pose)

    refused(bag_of(tmp_path, write), "stamp of -5 s and 0 ns is no time")


# sequence folders and datasets


def arrays(path: Path, **columns: Any) -> Path:
    np.savez(path, **columns)
    return path


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"x": POINTS[:, 0], "y": POINTS[:, 1]}, "lacks z; it holds x, y"),
        ({"x": POINTS[:3, 0], "y": POINTS[:, 1], "z": POINTS[:, 2]}, "of one length"),
        (dict(zip("xyz", with_value(np.nan).T, strict=True)), "y has 1 NaN or infinite"),
        (dict(zip("xyz", np.zeros((3, 9), np.int16), strict=True)), "empty cloud: none of 9"),
        (dict.fromkeys("xyz", np.array([], np.int16)), "empty cloud: none of 0"),
        (dict.fromkeys("xyz", np.array(["a"])), "must hold numbers"),
    ],
)
def test_bad_sweep_files(tmp_path: Path, columns: dict[str, np.ndarray], line: str) -> None:
    arrays(tmp_path / "000000.npz", **columns)
    with pytest.raises(InputError, match=rf"000000\.npz: .*{line}"):
        list(open_log(tmp_path))


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    harmful = np.array([Bomb()], object)
    np.savez(tmp_path / "000000.npz", x=harmful, y=harmful, z=harmful)
    np.savez(tmp_path / "pair.npz", p0=harmful, p1=harmful)
    for read in (
        lambda: list(open_log(tmp_path)),
        lambda: open_flow("pair", tmp_path / "pair.npz")[0],
    ):
        with pytest.raises(InputError, match="not a readable"):
            read()
    assert not (tmp_path / "exploded").exists()


def test_names_inside_a_file_can_not_break_the_line(tmp_path: Path) -> None:
    arrays(tmp_path / "pair.npz", **{"p0\n\x1b[2J": POINTS})
    with pytest.raises(InputError, match=r"it holds p0 \[2J$"):
        open_flow("pair", tmp_path / "pair.npz")[0]


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_in_arrays(tmp_path: Path, seed: int) -> None:
    np.savez_compressed(tmp_path / "000000.npz", x=POINTS[:, 0], y=POINTS[:, 1], z=POINTS[:, 2])
    content = np.frombuffer((tmp_path / "000000.npz").read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    content[rng.integers(0, len(content), 3)] ^= rng.integers(1, 256, 3, dtype=np.uint8)
    (tmp_path / "000000.npz").write_bytes(content.tobytes())
    try:
        list(open_log(tmp_path))
    except InputError as error:
        assert "000000.npz" in str(error)


def test_unpacked_size_is_bounded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "000000.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", bytes(2 << 20))
    with pytest.raises(InputError, match="bytes unpacked are more than"):
        list(open_log(tmp_path, limits=FilesConfig(max_array=1)))


def test_truncated_npz_and_bin(tmp_path: Path) -> None:
    whole = arrays(tmp_path / "000000.npz", x=POINTS[:, 0], y=POINTS[:, 1], z=POINTS[:, 2])
    whole.write_bytes(whole.read_bytes()[:200])
    with pytest.raises(InputError, match=r"000000\.npz: not a readable \.npz"):
        list(open_log(tmp_path))
    (tmp_path / "velodyne").mkdir()
    (tmp_path / "velodyne" / "000000.bin").write_bytes(bytes(33))
    with pytest.raises(InputError, match="33 bytes are not rows of four float32"):
        list(open_log(tmp_path))


def test_too_few_times(tmp_path: Path) -> None:
    (tmp_path / "velodyne").mkdir()
    for k in range(3):
        np.ones((5, 4), "<f4").tofile(tmp_path / "velodyne" / f"{k:06d}.bin")
    (tmp_path / "times.txt").write_text("0.0\n0.1\n")
    with pytest.raises(InputError, match=r"times\.txt: 2 times for 3 sweeps"):
        open_log(tmp_path)
    (tmp_path / "times.txt").write_text("0.0\nnan\n0.2\n")
    with pytest.raises(InputError, match=r"times must be within"):
        open_log(tmp_path)


@pytest.mark.parametrize("name", sorted(FLOW))
def test_flow_datasets_say_how_they_should_look(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"(?i)expected"):
        open_flow(name, tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        open_flow(name, tmp_path / "nothing")


@pytest.mark.parametrize("name", sorted(DEPTH))
def test_depth_datasets_say_how_they_should_look(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"(?i)expected"):
        open_depth(name, tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        open_depth(name, tmp_path / "nothing")


def test_unknown_datasets() -> None:
    with pytest.raises(InputError, match="unknown dataset 'waymo'; choose one of pair"):
        open_flow("waymo", Path())
    with pytest.raises(InputError, match="unknown dataset 'nyu'; choose one of kitti-stereo"):
        open_depth("nyu", Path())


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"p0": POINTS}, "lacks p1"),
        ({"p0": POINTS, "p1": POINTS[:, :2]}, r"p1 must be \(N, 3\)"),
        ({"p0": POINTS[:0], "p1": POINTS}, "p0 must be .* N > 0"),
        ({"p0": with_value(np.nan), "p1": POINTS}, "p0 has 1 NaN or infinite numbers of 60"),
        ({"p0": POINTS, "p1": POINTS, "flow": with_value(np.inf)}, "flow has 1 NaN or infinite"),
        ({"p0": POINTS, "p1": POINTS, "flow": POINTS[:5]}, r"flow must be \(20, 3\)"),
        ({"p0": POINTS, "p1": POINTS, "ground0": np.zeros(3)}, r"ground0 must be \(20,\)"),
        ({"p0": POINTS, "p1": POINTS, "ground1": np.ones(20)}, "empty cloud"),
        ({"p0": POINTS, "p1": POINTS, "ego_1_from_0": np.ones((4, 4))}, "not a rigid transform"),
        ({"p0": POINTS, "p1": POINTS, "timestamp_ns": np.array([5, 5])}, "s apart"),
    ],
)
def test_bad_pairs(tmp_path: Path, columns: dict[str, np.ndarray], line: str) -> None:
    path = arrays(tmp_path / "bad.npz", **columns)
    with pytest.raises(InputError, match=line) as caught:
        open_flow("pair", path)[0]
    assert "bad" in str(caught.value)
