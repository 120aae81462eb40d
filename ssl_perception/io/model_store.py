"""Where what was learnt survives: kill -9, power cuts, full disks and flipped bits.

    store/
      generations/00000042.json   what belongs together, by checksum; itself checksummed
      blobs/<sha256>              the contents, named by their checksum

A generation is complete when its small file appears, which is one rename of a file that is on the
disk already, as are the blobs that it names. The last two generations are kept; a blob that both
name is stored once. Reading checks everything: a generation with any damage to what it *needs* is
passed over for the one before; what it could do without (a part of the replay memory) is dropped
and reported.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ssl_perception.errors import InputError
from ssl_perception.io.write import write_durably

SCHEMA = 1
KEPT = 2
MAX_MANIFEST_BYTES = 1 << 20
MAX_BLOB_BYTES = 1 << 29
_DIGEST = re.compile(r"[0-9a-f]{64}")
_GENERATION = re.compile(r"(\d{8})\.json")


@dataclass(frozen=True)
class Generation:
    """One consistent state, verified.

    Attributes:
        number: counts up from 1.
        notes: what the writer added, plain JSON.
        files: name -> content, all that was declared needed.
        extras: digest -> content, of those extras that are undamaged.
        lost: digests of damaged or missing extras.
        damaged: why newer generations were passed over, one line each.
    """

    number: int
    notes: dict[str, Any]
    files: dict[str, bytes]
    extras: dict[str, bytes] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class ModelStore:
    """A folder of generations. Any number of readers, one writer (see ``writer``)."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._generations = self.path / "generations"
        self._blobs = self.path / "blobs"
        self._lock: int | None = None
        self._damaged: set[int] = set()  # generations that `load` found wanting

    def __enter__(self) -> ModelStore:
        """Open for writing.

        Raises:
            InputError: another process writes here, or the folder can't be made.
        """
        try:
            self._generations.mkdir(parents=True, exist_ok=True)
            self._blobs.mkdir(exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise InputError(f"{self.path}: another learner writes here already") from None
        self._lock = lock
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)  # and the lock goes with it
            self._lock = None

    def put(self, content: bytes) -> str:
        """Store a blob durably; returns its digest. Storing the same content again costs nothing.

        Raises:
            OSError: disk full or gone. Nothing half-written stays under its final name.
        """
        digest = hashlib.sha256(content).hexdigest()
        target = self._blobs / digest
        if not target.exists() or target.stat().st_size != len(content):
            write_durably(target, content)
        return digest

    def commit(
        self,
        files: Mapping[str, bytes],
        extras: Iterable[str] = (),
        notes: Mapping[str, Any] | None = None,
    ) -> int:
        """Make a new generation; returns its number. Older ones than the last two go.

        Args:
            files: what a reader can't do without.
            extras: digests from ``put`` that it could do without, if need be.
            notes: plain JSON.

        Raises:
            OSError: disk full or gone; the last generations are as they were.
        """
        if self._lock is None:
            raise RuntimeError("commit needs the store to be open for writing: use `with`")
        number = max(*self._numbers(), self._spent(), 0) + 1
        body = {
            "schema": SCHEMA,
            "generation": number,
            "files": {name: self.put(content) for name, content in files.items()},
            "extras": sorted(extras),
            "notes": dict(notes or {}),
        }
        _sync_folder(self._blobs)
        write_durably(self._generations / f"{number:08d}.json", _seal(body))
        _sync_folder(self._generations)
        self._forget()
        return number

    def newest(self) -> int | None:
        """Number of the newest generation, unverified; None: there is none. Cheap: for polling."""
        return max(self._numbers(), default=None)

    def load(self, names: Iterable[str] | None = None, extras: bool = True) -> Generation | None:
        """The newest undamaged generation; None when there is none.

        Args:
            names: of the files to read (and check); None: all.
            extras: read them too.
        """
        damaged: list[str] = []
        for number in sorted(self._numbers(), reverse=True):
            try:
                body = self._manifest(number)
                asked = body["files"] if names is None else names
                wanted = {name: body["files"].get(name, "") for name in asked}
                files = {name: self._read(digest) for name, digest in wanted.items()}
            except (ValueError, OSError) as error:
                self._damaged.add(number)
                damaged.append(f"generation {number}: {error}")
                continue
            found: dict[str, bytes] = {}
            lost: list[str] = []
            for digest in body["extras"] if extras else ():
                try:
                    found[digest] = self._read(digest)
                except (InputError, OSError):
                    lost.append(digest)
            return Generation(number, body["notes"], files, found, tuple(lost), tuple(damaged))
        return None

    def clear(self) -> None:
        """Forget everything (needs the store to be open for writing).

        Numbers go on from where they were: who holds generation 7 must not take the next one of
        that number for the same.
        """
        if self._lock is None:
            raise RuntimeError("clear needs the store to be open for writing: use `with`")
        spent = max(*self._numbers(), self._spent(), 0)
        write_durably(self.path / "spent", str(spent).encode())
        for folder in (self._generations, self._blobs):
            for file in folder.iterdir():
                file.unlink()
            _sync_folder(folder)

    def _spent(self) -> int:
        """The last number given before everything was forgotten; 0: never, or not to be read."""
        try:
            text = (self.path / "spent").read_bytes()[:9]
            # what isn't a generation's number would name files that can't be found again
            return int(text) if text.isdigit() and len(text) <= 8 else 0
        except OSError:
            return 0

    def _numbers(self) -> list[int]:
        try:
            names = [file.name for file in self._generations.iterdir()]
        except FileNotFoundError:
            return []
        return [int(match[1]) for name in names if (match := _GENERATION.fullmatch(name))]

    def _manifest(self, number: int) -> dict[str, Any]:
        """Parsed and checked.

        Raises:
            InputError: damaged, or written by a newer version.
        """
        path = self._generations / f"{number:08d}.json"
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise InputError(f"{path.name}: larger than {MAX_MANIFEST_BYTES} bytes")
        body = _unseal(path.read_bytes(), path.name)
        schema = body.get("schema")
        if schema != SCHEMA:
            raise InputError(f"{path.name}: schema {schema}, this version reads {SCHEMA}")
        files, extras, notes = body.get("files"), body.get("extras"), body.get("notes")
        if not (isinstance(files, dict) and isinstance(extras, list) and isinstance(notes, dict)):
            raise InputError(f"{path.name}: needs files, extras and notes")
        if not all(
            isinstance(digest, str) and _DIGEST.fullmatch(digest)
            for digest in (*files.values(), *extras)
        ):
            raise InputError(f"{path.name}: names something that is no digest")
        return body

    def _read(self, digest: str) -> bytes:
        if not digest:
            raise InputError("a file that is needed is not in it")
        path = self._blobs / digest
        if path.stat().st_size > MAX_BLOB_BYTES:
            raise InputError(f"{digest[:12]}: larger than {MAX_BLOB_BYTES} bytes")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(f"{digest[:12]}: checksum differs")
        return content

    def _forget(self) -> None:
        """Drop damaged generations, those beyond the last two, and what none of these names."""
        kept: list[int] = []
        named: set[str] = set()
        for number in sorted(set(self._numbers()) - self._damaged, reverse=True):
            if len(kept) == KEPT:
                break
            try:
                body = self._manifest(number)
            except (ValueError, OSError):
                continue
            kept.append(number)
            named.update(body["files"].values(), body["extras"])
        names = {f"{number:08d}.json" for number in kept}
        for folder, keep in ((self._generations, names), (self._blobs, named)):
            for file in folder.iterdir():
                if file.name not in keep:
                    file.unlink(missing_ok=True)


def _seal(body: dict[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{digest}\n{text}\n".encode()


def _unseal(content: bytes, name: str) -> dict[str, Any]:
    digest, _, text = content.partition(b"\n")
    text = text.removesuffix(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        raise InputError(f"{name}: checksum differs")
    body = json.loads(text)
    if not isinstance(body, dict):
        raise InputError(f"{name}: not a JSON object")
    return body


def _sync_folder(folder: Path) -> None:
    """Make renames in it durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
