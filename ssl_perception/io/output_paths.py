"""Inputs that aren't there, and outputs that would hurt an input or each other, are refused before
a run begins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISREG

from ssl_perception.errors import InputError
from ssl_perception.io.write import is_stream

# what a file of a kind begins with, without white space and in lower case
_BEGINNINGS = {
    ".mcap": (b"\x89mcap0",),
    ".json": (b"{", b"["),
    ".html": (b"<!doctype html", b"<html"),
    ".png": (b"\x89png",),
    ".csv": (),
    ".md": (),
}
# of what a run doesn't write by name, and would be missed
_OTHERS = (b"sqlite format 3", b"pk\x03\x04", b"\xff\xd8\xff", b"#rosbag", b"\x93numpy", b"%pdf")
_OPTION_KINDS = {
    "--json": ".json",
    "--report": ".html",
    "--html": ".html",
    "--csv": ".csv",
    "--markdown": ".md",
}
_anything: ContextVar[bool] = ContextVar("replace files of any kind", default=False)


def replace_anything() -> None:
    """From now on outputs may replace files of another kind (``--force``)."""
    _anything.set(True)


def check_inputs(*paths: Path | None) -> None:
    """Refuse a run whose input isn't there, before it has loaded what would read it.

    Raises:
        InputError: naming the path.
    """
    for path in paths:
        if path is not None and not path.exists():
            raise InputError(f"{path}: no such file or folder")


def check_outputs(inputs: Iterable[Path | None], outputs: Mapping[str, Path | None]) -> None:
    """Refuse a run that would write over or into what it reads, or one file twice.

    Symbolic and hard links are followed on both sides. An .mcap or .db3 file of a rosbag2 recording
    stands for the recording's whole folder. Devices and pipes (``/dev/stdout``) are no files: any
    number of outputs may go there.

    Args:
        inputs: files and folders that the run reads; None and what isn't there: nothing.
        outputs: what it writes, by the option that names it; None: not asked for. A folder that
            the run makes counts as one output, the files that it writes there as others; other
            outputs may lie in the folder.

    Raises:
        InputError: naming the option, its path, and the one that it clashes with; or the path of a
            file of another kind, unless ``replace_anything`` was called.
    """
    sources = [source for source in inputs if source is not None]
    checked: dict[str, Path] = {}
    for option, output in outputs.items():
        if output is None or is_stream(output):
            continue
        for source in sources:
            _check(f"{option} {output}", output, source)
        for other, path in checked.items():
            if _same(output, path):
                raise InputError(f"{option} {output} and {other} {path} are the same file")
        checked[option] = output
        if not _anything.get():
            _check_kind(f"{option} {output}", option, output)


def _check(name: str, output: Path, source: Path) -> None:
    whole = _recording(source)
    if _same(output, source) or _same(output, whole):
        raise InputError(f"{name}: is the input {source} itself; choose another name")
    if _inside(output, whole):
        raise InputError(f"{name}: lies inside the input {whole}; choose another folder")
    linked = _link_below(whole, output)
    if linked is not None:
        raise InputError(f"{name}: is {linked} of the input {whole}; choose another name")


def _check_kind(name: str, option: str, output: Path) -> None:
    """A result replaces an older one, but a mistyped name not a recording or a settings file."""
    kind = _OPTION_KINDS.get(option, output.suffix.lower())
    found = _stat(output)
    if kind not in _BEGINNINGS or found is None or not (S_ISREG(found.st_mode) and found.st_size):
        return
    try:
        with output.open("rb") as file:
            head = file.read(64).lstrip().lower()
    except OSError:
        return  # the write will say why
    if head.startswith(_BEGINNINGS[kind]):
        return
    other = [b for k, heads in _BEGINNINGS.items() if k != kind for b in heads if len(b) > 1]
    if output.suffix.lower() != kind or head.startswith((*other, *_OTHERS)):
        raise InputError(
            f"{name}: exists and is no {kind} file; choose another name, or --force to replace it"
        )


def _recording(source: Path) -> Path:
    """The folder of the rosbag2 recording that a file is part of; anything else as it is."""
    folder = Path(os.path.realpath(source)).parent
    if source.suffix not in (".mcap", ".db3") or _stat(folder / "metadata.yaml") is None:
        return source
    found = _stat(source)
    return folder if found is not None and S_ISREG(found.st_mode) else source


def _stat(path: Path) -> os.stat_result | None:
    """None: it isn't there, or can't be reached."""
    try:
        return path.stat()
    except OSError:
        return None


def _same(one: Path, other: Path) -> bool:
    a, b = _stat(one), _stat(other)
    if a is None or b is None:  # not there yet
        return os.path.realpath(one) == os.path.realpath(other)
    return os.path.samestat(a, b)


def _inside(path: Path, folder: Path) -> bool:
    """By the place of the name or, when that is a link, of what it leads to."""
    name = Path(os.path.realpath(path.parent)) / path.name
    above = {*name.parents, *Path(os.path.realpath(path)).parents}
    return any(_same(parent, folder) for parent in above)


def _link_below(folder: Path, output: Path) -> Path | None:
    """A file below the folder that is the output: a link to it, or another hard link of it."""
    wanted = _stat(output)
    if wanted is None or not S_ISREG(wanted.st_mode):
        return None
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(root)
        if here in seen:  # links can make circles
            folders.clear()
            continue
        seen.add(here)
        for file in (Path(root) / name for name in files):
            found = _stat(file)
            if found is not None and os.path.samestat(found, wanted):
                return file
    return None
