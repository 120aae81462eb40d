"""Power cut at every step of a write: afterwards the old state is there, or the new one.

A disk keeps what was synced: a file's content since its ``fsync``, a name since ``fsync`` of
its folder. What wasn't may be there or not, so each cut is tried both ways: names that weren't
synced are lost; or all names are there, and files that weren't synced are empty.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.output import OutputBag
from ssl_perception.io.write import write_json


class PowerCut(BaseException):
    """Not an Exception: nothing catches it, as nothing runs any more."""


class Disk:
    """What is durable of a folder, while ``os`` works on it; cuts the power before a step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps = 0
        self.cut_before: int | None = None
        self._content: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}
        self.sync_all()

    def sync_all(self) -> None:
        for path in [self.folder, *self.folder.rglob("*")]:
            self._sync(path)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("fsync", "replace", "unlink", "rename"):
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if self.steps == self.cut_before:
                raise PowerCut
            if self.cut_before is None or self.steps < self.cut_before:
                self.steps += 1
                result = real(*arguments, **options)
                if name == "fsync":
                    self._sync(Path(f"/proc/self/fd/{arguments[0]}").readlink())
                return result
            raise PowerCut

        return step

    def _sync(self, path: Path) -> None:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            self._names[path] = {p.name: p.stat().st_ino for p in path.iterdir() if p.exists()}
        else:
            self._content[status.st_ino] = path.read_bytes()

    def after_the_cut(self, target: Path, names_survive: bool) -> None:
        """Write to another folder what is found when the power is back."""
        for folder in [self.folder, *(p for p in self.folder.rglob("*") if p.is_dir())]:
            there = target / folder.relative_to(self.folder)
            there.mkdir(parents=True, exist_ok=True)
            current = {p.name: p.stat().st_ino for p in folder.iterdir() if p.is_file()}
            names = current if names_survive else self._names.get(folder, {})
            for name, inode in names.items():
                if not (folder / name).is_dir():
                    (there / name).write_bytes(self._content.get(inode, b""))


def cuts(
    tmp_path: Path, prepare: Callable[[Path], object], write: Callable[[Path], object]
) -> Iterator[tuple[Path, bool]]:
    """The folder after a cut before each step of ``write``, and whether ``write`` had returned."""
    k = 0
    while True:
        folder = tmp_path / f"disk{k}"
        folder.mkdir()
        prepare(folder)
        disk = Disk(folder)
        disk.cut_before = k
        with pytest.MonkeyPatch.context() as monkeypatch:
            disk.patch(monkeypatch)
            try:
                write(folder)
                done = True
            except PowerCut:
                done = False
        for names_survive in (False, True):
            found = tmp_path / f"found{k}{names_survive}"
            disk.after_the_cut(found, names_survive)
            yield found, done
        if done:
            assert k == disk.steps and k > 1, "each step was cut at"
            return
        k += 1


def test_the_model_store(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        with ModelStore(folder / "store") as store:
            for k in (1, 2, 3):
                store.commit({"a": b"a%d" % k, "same": b"same"}, [store.put(b"extra %d" % k)])

    def write(folder: Path) -> None:
        with ModelStore(folder / "store") as store:
            store.commit({"a": b"a4", "same": b"same"}, [store.put(b"extra 4")])

    for folder, done in cuts(tmp_path, prepare, write):
        generation = ModelStore(folder / "store").load()
        assert generation is not None, "never neither"
        assert generation.number in ((4,) if done else (3, 4))
        assert generation.files == {"a": b"a%d" % generation.number, "same": b"same"}
        assert list(generation.extras.values()) == [b"extra %d" % generation.number]
        with ModelStore(folder / "store") as store:  # and it can be gone on with
            assert store.commit({"a": b"next"}) >= generation.number + 1


def test_a_store_that_is_emptied(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        with ModelStore(folder / "store") as store:
            store.commit({"a": b"a1"})
            store.commit({"a": b"a2"})

    def write(folder: Path) -> None:
        with ModelStore(folder / "store") as store:
            store.clear()

    for folder, done in cuts(tmp_path, prepare, write):
        generation = ModelStore(folder / "store").load()
        assert generation is None if done else generation is None or generation.number in (1, 2)
        with ModelStore(folder / "store") as store:
            assert store.commit({"a": b"new"}) == 3, "a number isn't given twice"


def test_a_json_file(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        write_json(folder / "found.json", {"n": 1})

    def write(folder: Path) -> None:
        write_json(folder / "found.json", {"n": 2})

    for folder, done in cuts(tmp_path, prepare, write):
        found = json.loads((folder / "found.json").read_text())
        assert found["n"] in ((2,) if done else (1, 2))


def test_a_bag(tmp_path: Path) -> None:
    def prepare(folder: Path) -> None:
        (folder / "out.mcap").write_bytes(b"old")

    def write(folder: Path) -> None:
        with OutputBag(folder / "out.mcap"):
            pass

    for folder, done in cuts(tmp_path, prepare, write):
        content = (folder / "out.mcap").read_bytes()
        whole = content.startswith(b"\x89MCAP0\r\n") and content.endswith(b"\x89MCAP0\r\n")
        assert whole or (not done and content == b"old")
