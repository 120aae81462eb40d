"""Where what was learnt survives: kill -9, power cuts, full disks and flipped bits.

    store/
      generations/00000042.json   what belongs together, by checksum; itself checksummed
      blobs/<sha256>              the contents, named by their checksum

A generation is complete when its small file appears, which is one rename of a file that is on the
disk already, as are the blobs that it names. The last two generations are kept; a blob that both
name is stored once. Reading checks everything: a generation with any damage to what it *needs* is
passed over for the one before; what it could do without (a part of the replay memory) is dropped
and reported.

Only names that a store makes are ever removed, and of those only regular files: what else lies in
the folder stays, and a folder that isn't a store is not written to.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ssl_perception.errors import InputError
from ssl_perception.io.lock import lock_file
from ssl_perception.io.sealed import seal, unseal
from ssl_perception.io.store_folder import prepare_folder, read_regular
from ssl_perception.io.write import sweep, sync_folder, write_durably

SCHEMA = 1
KEPT = 2
MAX_MANIFEST_BYTES = 1 << 20
MAX_BLOB_BYTES = 1 << 29
MAX_NUMBER = 99_999_999  # eight digits
# A file's name alone may claim that a generation has been; it may not use up the numbers.
MAX_JUMP = 1_000_000
PRIVATE = 0o600
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


@dataclass(frozen=True)
class Health:
    """What ``check`` found.

    Attributes:
        usable: numbers of the undamaged generations, the newest first.
        damaged: the others, one line each.
        lost: extras that are damaged or missing; generations do without them.
        unnamed: blobs that no undamaged generation names.
        foreign: names in the store's folders that it doesn't make; they stay.
    """

    usable: tuple[int, ...]
    damaged: tuple[str, ...]
    lost: int
    unnamed: int
    foreign: tuple[str, ...]


class ModelStore:
    """A folder of generations. Any number of readers, one writer (see ``writer``)."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._generations = self.path / "generations"
        self._blobs = self.path / "blobs"
        self._lock: IO[bytes] | None = None
        self._damaged: set[int] = set()  # generations that `load` found wanting

    def __enter__(self) -> ModelStore:
        """Open for writing.

        Raises:
            InputError: another process writes here, the folder can't be made, or it holds
                something else than a store.
        """
        try:
            prepare_folder(self.path, (self._generations, self._blobs))
            held = f"{self.path}: another learner writes here already"
            self._lock = lock_file(self.path / "lock", held)
            for folder in (self.path, self._generations, self._blobs):
                sweep(folder, others=True)  # this process holds the lock: their writers are gone
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror or error}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()  # and the lock goes with it
            self._lock = None

    def put(self, content: bytes) -> str:
        """Store a blob durably; returns its digest. What is there already is read, not trusted.

        Raises:
            OSError: disk full or gone. Nothing half-written stays under its final name.
        """
        digest = hashlib.sha256(content).hexdigest()
        target = self._blobs / digest
        if not _holds(target, content):
            write_durably(target, content, PRIVATE, sync=False)
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
            InputError: the numbers are used up.
        """
        if self._lock is None:
            raise RuntimeError("commit needs the store to be open for writing: use `with`")
        number = self._last_number() + 1
        if number > MAX_NUMBER:
            raise InputError(
                f"{self.path}: generation {MAX_NUMBER} was the last; start a new store"
            )
        body = {
            "schema": SCHEMA,
            "generation": number,
            "files": {name: self.put(content) for name, content in files.items()},
            "extras": sorted(extras),
            "notes": dict(notes or {}),
        }
        sync_folder(self._blobs)
        write_durably(self._generations / _name(number), seal(body), PRIVATE)
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
        spent = self._last_number()
        write_durably(self.path / "spent", str(spent).encode(), PRIVATE)
        self._remove_all_but(set(), set())
        sync_folder(self._generations)
        sync_folder(self._blobs)

    def check(self) -> Health:
        """What is wrong with it; reads all of it, changes nothing.

        Raises:
            InputError: no such folder, or not a store.
        """
        if not self._generations.is_dir():
            raise InputError(f"{self.path}: no model store")
        usable: list[int] = []
        damaged: list[str] = []
        lost: set[str] = set()
        named: set[str] = set()
        for number in sorted(self._numbers(), reverse=True):
            try:
                body = self._manifest(number)
                for digest in body["files"].values():
                    self._read(digest)
            except (ValueError, OSError) as error:
                self._damaged.add(number)
                damaged.append(f"generation {number}: {error}")
                continue
            usable.append(number)
            named.update(body["files"].values(), body["extras"])
            for digest in set(body["extras"]) - lost:
                if not self._is_whole(digest):
                    lost.add(digest)
        foreign = [*_foreign(self._generations, _GENERATION), *_foreign(self._blobs, _DIGEST)]
        unnamed = set(_own(self._blobs, _DIGEST)) - named
        return Health(tuple(usable), tuple(damaged), len(lost), len(unnamed), tuple(foreign))

    def repair(self) -> Health:
        """Remove damaged generations, blobs that nothing names, and what killed runs left over;
        returns what was wrong. Whatever a store doesn't make stays.

        Raises:
            InputError: nothing undamaged would be left. Nothing is removed then.
        """
        if self._lock is None:
            raise RuntimeError("repair needs the store to be open for writing: use `with`")
        found = self.check()
        if not found.usable:
            raise InputError(f"{self.path}: no undamaged generation; nothing was changed")
        self._forget()
        return found

    def _is_whole(self, digest: str) -> bool:
        try:
            self._read(digest)
        except (InputError, OSError):
            return False
        return True

    def _last_number(self) -> int:
        """The highest that a generation has had.

        A damaged one may well have been there, so its number isn't given again; but a name that
        claims a number far off is not believed.
        """
        numbers = self._numbers()
        known = self._spent()
        for number in sorted(numbers, reverse=True):
            try:
                self._manifest(number)
            except (ValueError, OSError):
                continue
            known = max(known, number)
            break
        return max([known, *(n for n in numbers if n <= known + MAX_JUMP)])

    def _spent(self) -> int:
        """The last number given before everything was forgotten; 0: never, or not to be read."""
        try:
            text = read_regular(self.path / "spent", 9)
            # what isn't a generation's number would name files that can't be found again
            return int(text) if text.isdigit() and len(text) <= 8 else 0
        except (InputError, OSError):
            return 0

    def _numbers(self) -> list[int]:
        return [int(name[:8]) for name in _own(self._generations, _GENERATION)]

    def _manifest(self, number: int) -> dict[str, Any]:
        """Parsed and checked.

        Raises:
            InputError: damaged, or written by a newer version.
        """
        path = self._generations / _name(number)
        body = unseal(read_regular(path, MAX_MANIFEST_BYTES), path.name)
        schema = body.get("schema")
        if schema != SCHEMA:
            raise InputError(f"{path.name}: schema {schema}, this version reads {SCHEMA}")
        if body.get("generation", number) != number:
            raise InputError(f"{path.name}: holds generation {str(body['generation'])[:20]}")
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
        content = read_regular(self._blobs / digest, MAX_BLOB_BYTES)
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
        self._remove_all_but({_name(number) for number in kept}, named)

    def _remove_all_but(self, generations: set[str], blobs: set[str]) -> None:
        """Of the names that a store makes; the generations first, so that none lacks its blobs."""
        for folder, pattern, keep in (
            (self._generations, _GENERATION, generations),
            (self._blobs, _DIGEST, blobs),
        ):
            for name in set(_own(folder, pattern)) - keep:
                (folder / name).unlink(missing_ok=True)


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _own(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Names of the regular files that a store may have made there. Links, pipes, devices and
    folders of such a name are none."""
    try:
        with os.scandir(folder) as entries:
            return [e.name for e in entries if pattern.fullmatch(e.name) and _is_regular(e)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _foreign(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """Names there that a store doesn't make."""
    own = set(_own(folder, pattern))
    return sorted(f"{folder.name}/{p.name}" for p in folder.iterdir() if p.name not in own)


def _is_regular(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return read_regular(path, len(content)) == content
    except (InputError, OSError):
        return False
