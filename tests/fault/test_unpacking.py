"""A small file that unpacks to much is refused before the memory is taken, in one line."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from ssl_perception.config import FilesConfig
from ssl_perception.errors import InputError
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.bag_reader import unpack_lz4, unpack_zstd
from ssl_perception.io.files import load_array, load_arrays, load_picture
from ssl_perception.io.open_log import open_log

BOMB = 64 << 20  # bytes of zeros
STAMP = 1_700_000_000_000_000_000


@contextmanager
def little_memory(limit: int = 16 << 20) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit, f"{peak} bytes at the peak"


def write_bag(folder: Path, plugin: StoragePlugin, mode: CompressionMode, size: int) -> Path:
    """A bag of one PointCloud2 of zeros."""
    types = typestore().types
    time = types["builtin_interfaces/msg/Time"](sec=1_700_000_000, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=time, frame_id="lidar")
    field = types["sensor_msgs/msg/PointField"]
    fields = [field(name=n, offset=4 * k, datatype=7, count=1) for k, n in enumerate("xyz")]
    width = size // 12
    cloud = types["sensor_msgs/msg/PointCloud2"](
        header, 1, width, fields, False, 12, 12 * width, np.zeros(12 * width, np.uint8), True
    )
    writer = Writer(folder, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topic = writer.add_connection("/points", cloud.__msgtype__, typestore=typestore())
        writer.write(topic, STAMP, typestore().serialize_cdr(cloud, cloud.__msgtype__))
    return folder


@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.MCAP, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ],
)
def test_a_bag_that_unpacks_to_much(
    tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode
) -> None:
    bag = write_bag(tmp_path / "bag", plugin, mode, BOMB)
    assert sum(file.stat().st_size for file in bag.iterdir()) < 1 << 20
    limits = FilesConfig(max_chunk=1)
    if mode is CompressionMode.FILE:  # unpacked to the disk block by block; the cloud is read whole
        limits = limits.model_copy(update={"max_unpacked": 0})
    with (
        little_memory(),
        pytest.raises(InputError, match=r"unpacked.*files\.max_(chunk|unpacked)") as caught,
    ):
        list(open_log(bag, limits=limits))
    assert "\n" not in str(caught.value)
    assert str(bag) in str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "mode"),
    [
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
    ],
)
def test_a_compressed_bag_within_bounds_is_read(
    tmp_path: Path, plugin: StoragePlugin, mode: CompressionMode
) -> None:
    bag = write_bag(tmp_path / "bag", plugin, mode, 1200)
    log = open_log(bag)
    assert len(log) == 1
    with pytest.raises(InputError, match="none of"):  # zeros are no returns: it was unpacked
        list(log)


def test_a_chunk_that_lies_about_its_size(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", StoragePlugin.MCAP, CompressionMode.STORAGE, BOMB)
    (file,) = bag.glob("*.mcap")
    content = file.read_bytes()
    chunk = content.index(b"\x04\x00\x00\x00zstd")
    (true,) = struct.unpack("<Q", content[chunk - 12 : chunk - 4])
    assert true > BOMB
    file.write_bytes(content.replace(struct.pack("<Q", true), struct.pack("<Q", 1000)))
    with little_memory(), pytest.raises(InputError, match="more than 1000 bytes unpacked"):
        list(open_log(file))


@pytest.mark.parametrize("unpack", [unpack_zstd, unpack_lz4])
def test_frames_are_counted_together(unpack: Callable[[bytes, int], bytes]) -> None:
    frame = compressed(unpack, bytes(1000))
    assert unpack(frame * 3, 3000) == bytes(3000)
    with pytest.raises(InputError, match="more than 2999 bytes"):
        unpack(frame * 3, 2999)
    with pytest.raises(InputError, match="cut short"):
        unpack(frame[:-5], 3000)


def compressed(unpack: Callable[[bytes, int], bytes], content: bytes) -> bytes:
    if unpack is unpack_lz4:
        import lz4.frame

        return bytes(lz4.frame.compress(content))
    from rosbags.rosbag2.reader import zstd

    return bytes(zstd.compress(content))


def png_header(width: int, height: int) -> bytes:
    """A PNG of so many pixels, its content of one byte."""

    def part(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def test_a_picture_of_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(12_000, 10_000))
    with pytest.raises(InputError, match=r"12000x10000 pixels are more than 100 megapixels"):
        load_picture(path)
    path.write_bytes(png_header(1 << 30, 1 << 30))
    with pytest.raises(InputError, match=r"bomb\.png: not a readable picture"):
        load_picture(path)


def test_an_array_that_says_it_is_larger_than_it_is(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 30,)}
    )
    content = header.getvalue() + bytes(8)
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"an array of 8589934592 bytes where there are 136"):
        load_array(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(InputError, match=r"an array of 8589934592 bytes where there are 136"):
        load_arrays(tmp_path / "x.npz")
