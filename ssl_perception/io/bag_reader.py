"""rosbags' ``Reader``, with bounds: what a bag unpacks to, its metadata, and where its files lie.

A chunk of 130 kB can hold gigabytes, and its header may say otherwise; ``metadata.yaml`` may name
files anywhere. Both are refused before memory is taken or a file is opened.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, storage_mcap

from ssl_perception.config import FilesConfig, read_yaml
from ssl_perception.errors import InputError
from ssl_perception.io.files import LIMITS

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdFile
else:
    from backports.zstd import ZstdDecompressor, ZstdFile

MAX_METADATA_BYTES = 4 << 20
_BLOCK = 1 << 20
_limit: ContextVar[int] = ContextVar("bytes that a chunk may unpack to", default=512 << 20)


class BagReader(Reader):
    """A rosbag2 recording, bounded. See rosbags' ``Reader``.

    Args:
        path: folder with metadata.yaml, .mcap or .db3.

    Raises:
        InputError: ``metadata.yaml`` can't be used (too large, not YAML, files that lie elsewhere).
            What else is wrong raises whatever rosbags' parsers meet.
    """

    def __init__(self, path: Path, limits: FilesConfig = LIMITS) -> None:
        self._limits = limits
        self._given = path
        self._folder: TemporaryDirectory[str] | None = None
        mode = _check_metadata(path) if path.is_dir() else ""
        self._compressed = mode if mode in ("file", "message") else ""
        super().__init__(path)

    def open(self) -> None:
        if self._compressed == "file":
            self._folder = TemporaryDirectory(prefix="ssl_perception_bag_")
            try:
                unpacked = Path(self._folder.name)
                _unpack_files(self._given, unpacked, self._limits)
                self.storage = type(self.storage)(unpacked)
            except BaseException:
                self._folder.cleanup()
                raise
        with _bounded(self._limits):
            super().open()
        if self._compressed == "message":  # unpacked here, bounded
            self.storage.metadata = self.storage.metadata._replace(compression_mode=None)

    def close(self) -> None:
        super().close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        messages = super().messages(connections, start, stop)
        while True:
            with _bounded(self._limits):
                item = next(messages, None)
                if item is not None and self._compressed == "message":
                    item = (item[0], item[1], unpack_zstd(item[2], _limit.get()))
            if item is None:
                return
            yield item


def unpack_zstd(content: bytes, limit: int) -> bytes:
    """All frames of a zstd stream.

    Raises:
        InputError: more than ``limit`` bytes unpacked.
    """
    return _unpack(content, limit, ZstdDecompressor)


def unpack_lz4(content: bytes, limit: int) -> bytes:
    """All LZ4 frames of a stream.

    Raises:
        InputError: more than ``limit`` bytes unpacked.
    """
    return _unpack(content, limit, LZ4FrameDecompressor)


def _unpack(content: bytes, limit: int, kind: Any) -> bytes:
    parts: list[bytes] = []
    left = limit
    while content:
        frame = kind()
        while not frame.eof:
            part = frame.decompress(content, max_length=left + 1)
            content = b""
            left -= len(part)
            parts.append(part)
            if left < 0:
                raise InputError(f"more than {limit} bytes unpacked (files.max_chunk)")
            if not part and frame.needs_input:
                raise InputError("compressed data is cut short")
        content = frame.unused_data or b""
    return b"".join(parts)


def _chunk(kind: Any, content: bytes, size: int) -> bytes:
    limit = _limit.get()
    if size > limit:
        raise InputError(f"a chunk of {size} bytes unpacked is more than {limit} (files.max_chunk)")
    return _unpack(content, size, kind)


# rosbags unpacks a chunk whole before it compares its size with what the header says. Its table of
# decompressors is the only place where it can be told a bound.
storage_mcap.DECOMPRESSORS["zstd"] = lambda content, size: _chunk(ZstdDecompressor, content, size)
storage_mcap.DECOMPRESSORS["lz4"] = lambda content, size: _chunk(
    LZ4FrameDecompressor, content, size
)


@contextmanager
def _bounded(limits: FilesConfig) -> Iterator[None]:
    token = _limit.set(limits.max_chunk << 20)
    try:
        yield
    finally:
        _limit.reset(token)


def _check_metadata(folder: Path) -> str:
    """How a bag's ``metadata.yaml`` says that it is compressed, if it does.

    Raises:
        InputError: too large, not YAML, or it names files outside of the bag's folder.
    """
    path = folder / "metadata.yaml"
    information = read_yaml(path, MAX_METADATA_BYTES).get("rosbag2_bagfile_information")
    if not isinstance(information, dict):
        return ""  # rosbags says what is missing
    names = information.get("relative_file_paths")
    for name in names if isinstance(names, list) else ():
        place = PurePosixPath(str(name))
        if place.is_absolute() or ".." in place.parts or not place.name:
            raise InputError(f"{path}: {str(name)!r} lies outside of the recording's folder")
    return str(information.get("compression_mode") or "").lower()


def _unpack_files(folder: Path, target: Path, limits: FilesConfig) -> None:
    """The storage files of a bag that was compressed file by file, and its metadata for them.

    Raises:
        InputError: another compression than zstd, or more than ``limits.max_unpacked``.
    """
    metadata = read_yaml(folder / "metadata.yaml", MAX_METADATA_BYTES)
    information = metadata["rosbag2_bagfile_information"]
    if information.get("compression_format") != "zstd":
        raise InputError(f"compression {information.get('compression_format')!r} isn't supported")
    limit = limits.max_unpacked << 30
    names: list[str] = []
    left = limit
    for name in information["relative_file_paths"]:
        source = folder / PurePosixPath(name).name
        names.append(source.stem)
        left = _copy_unpacked(source, target / source.stem, left)
        if left < 0:
            raise InputError(f"more than {limit} bytes unpacked (files.max_unpacked)")
    information |= {"relative_file_paths": names, "compression_mode": "", "compression_format": ""}
    (target / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")


def _copy_unpacked(source: Path, target: Path, left: int) -> int:
    """What is left of the bytes that may be written; negative: there were more."""
    with ZstdFile(source) as packed, target.open("wb") as unpacked:
        while left >= 0 and (part := packed.read(_BLOCK)):
            left -= len(part)
            if left >= 0:
                unpacked.write(part)
    return left
