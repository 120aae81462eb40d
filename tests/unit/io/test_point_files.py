"""PCD and PLY files: read, refused, written, and as a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pypcd4 import Encoding
from pypcd4 import PointCloud as Pcd

from ssl_perception.commands.view import run_view, sweeps_of
from ssl_perception.errors import InputError
from ssl_perception.io.open_log import open_log
from ssl_perception.io.point_files import read_point_file, read_velocity, write_pcd
from ssl_perception.types import PointCloud

POINTS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 0.0, 0.0], [np.nan, 1, 1]], np.float32)
TIMES = np.array([0.0, 0.05, 0.06, 0.07], np.float32)
PLY = "ply\nformat {} 1.0\nelement vertex 3\n" + "".join(
    f"property float {name}\n" for name in ("x", "y", "z", "vx", "vy", "vz")
)


def pcd(path: Path, encoding: Encoding = Encoding.BINARY) -> Path:
    rows = np.column_stack([POINTS, TIMES])
    types = (np.float32,) * 4
    Pcd.from_points(rows, ("x", "y", "z", "t"), types).save(path, encoding)
    return path


def ply(path: Path, kind: str) -> Path:
    rows = np.array([[1, 2, 3, 0.5, 0, 0], [4, 5, 6, 0, 0, 0], [7, 8, 9, 0, 0, 0]], "<f4")
    body = rows.tobytes()
    if kind == "ascii":
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist()).encode()
    path.write_bytes((PLY.format(kind) + "end_header\n").encode() + body)
    return path


@pytest.mark.parametrize("encoding", list(Encoding))
def test_a_pcd_is_read_with_its_times_and_without_what_is_no_return(
    encoding: Encoding, tmp_path: Path
) -> None:
    cloud, dropped = read_point_file(pcd(tmp_path / "a.pcd", encoding), stamp=12.5)
    np.testing.assert_array_equal(cloud.points, POINTS[:2])
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time, TIMES[:2])
    assert dropped == 2 and cloud.stamp == 12.5


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_a_ply_is_read_with_its_velocities(kind: str, tmp_path: Path) -> None:
    points, velocity = read_velocity(ply(tmp_path / "a.ply", kind))
    np.testing.assert_array_equal(points, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    assert velocity is not None
    np.testing.assert_array_equal(velocity[:, 0], [0.5, 0, 0])
    assert len(read_point_file(tmp_path / "a.ply")[0]) == 3


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.pcd", b"", "not a readable PCD file"),
        ("a.pcd", b"VERSION 0.7\nFIELDS x y z\n", "not a readable PCD file"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "not a readable PLY file"),
        ("a.ply", bytes(range(256)) * 9, "not a readable PLY file"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    name: str, content: bytes, line: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=line):
        read_point_file(tmp_path / name)


def test_a_header_that_lies_is_refused(tmp_path: Path) -> None:
    whole = pcd(tmp_path / "a.pcd").read_bytes()
    for count in (b"5", b"999999999999"):
        lying = whole.replace(b"POINTS 4", b"POINTS " + count).replace(
            b"WIDTH 4", b"WIDTH " + count
        )
        assert lying != whole
        (tmp_path / "b.pcd").write_bytes(lying)
        with pytest.raises(InputError, match=r"b\.pcd"):
            read_point_file(tmp_path / "b.pcd")


def test_a_cloud_without_coordinates_is_refused(tmp_path: Path) -> None:
    types = (np.float32,) * 2
    Pcd.from_points(POINTS[:, :2], ("x", "y"), types).save(tmp_path / "a.pcd")
    with pytest.raises(InputError, match="lacks z; it holds x, y"):
        read_point_file(tmp_path / "a.pcd")


@pytest.mark.parametrize(
    ("names", "stamps"),
    [
        (["1", "2"], [0, 100_000_000]),
        (["1700000000000000000", "1700000000100000000"], [1700000000000000000] * 2),
        (["1700000000.25", "1700000000.50"], [1700000000250000000] * 2),
        (["1700000000000", "1700000000100"], [1700000000000000000] * 2),
    ],
)
def test_a_folder_of_files_is_a_log_with_the_times_of_its_names(
    names: list[str], stamps: list[int], tmp_path: Path
) -> None:
    for name in names:
        pcd(tmp_path / f"{name}.pcd")
    log = open_log(tmp_path)
    read = list(log)
    assert len(log) == 2 and all(isinstance(r.value, PointCloud) for r in read)
    assert abs(read[0].stamp_ns - stamps[0]) < 1000
    assert read[1].stamp_ns > read[0].stamp_ns


def test_one_file_is_a_log_of_one_sweep(tmp_path: Path) -> None:
    (recorded,) = open_log(ply(tmp_path / "a.ply", "ascii"))
    assert recorded.stamp_ns == 0


def test_view_saves_what_it_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    velocity = np.array([[0.5, 0, 0], [np.nan] * 3], np.float32)
    write_pcd(tmp_path / "a.pcd", POINTS[:2], velocity)
    run_view(tmp_path / "a.pcd", 1, tmp_path / "b.pcd", Console())
    ((points, found),) = sweeps_of(tmp_path / "b.pcd")
    np.testing.assert_array_equal(points, POINTS[:2])
    assert found is not None
    np.testing.assert_array_equal(found, velocity)
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(InputError, match=r"view needs open3d.*\[viewer\]|no screen here"):
        run_view(tmp_path / "a.pcd", 0, None, Console())
