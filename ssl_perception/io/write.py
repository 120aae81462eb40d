"""Files that are written whole or not at all: a kill or a full disk leaves what was there."""

from __future__ import annotations

import json
import math
import os
import re
import secrets
import shutil
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from ssl_perception.errors import InputError

SHORT = (
    50  # characters of a file's name that the unfinished one has: all of 255 must not exceed that
)
_UNFINISHED = re.compile(
    r"\.(?P<name>.+)\.(?P<process>\d{1,9})\.[0-9a-f]{8}\.(?P<kind>part|bag)", re.DOTALL
)
# Files that the process has open already, by other names: what else is written there, e.g. by
# ``> file``, would be lost if one were replaced.
_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/")


def write_durably(target: Path, content: bytes, mode: int = 0o666, sync: bool = True) -> None:
    """All of it, on the disk, or nothing under that name. A file there keeps its permissions.

    Args:
        mode: permissions of a new file, less the umask.
        sync: make the new name durable, too; False: the caller does so for several at once.

    Raises:
        OSError: disk full or gone; what was there before still is.
    """
    temporary = unfinished(target, "part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(target.parent)


def unfinished(target: Path, kind: str) -> Path:
    """What a file is called while it is being written, beside its place.

    A name per process: two that write the same file must not share the unfinished one. And one that
    nobody can guess, to plant a link or a folder there.

    Args:
        kind: part for a file, bag for a folder.
    """
    name = f".{target.name[:SHORT]}.{os.getpid()}.{secrets.token_hex(4)}.{kind}"
    return target.with_name(name)


def sync_folder(folder: Path) -> None:
    """Make renames in it durable.

    Raises:
        OSError: it can't be opened, or the disk is gone.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path, name: str = "", others: bool = False) -> list[Path]:
    """Remove what killed runs left unfinished: ``write_durably``'s files, and ``OutputBag``'s
    folders; returns what went.

    Only names that these make are touched, only regular files and real folders, and only where the
    process that made them has ended.

    Args:
        name: only what was to become this file; empty: any.
        others: of processes that still run, too, but this one.
    """
    removed: list[Path] = []
    with os.scandir(folder) as entries:
        found = [entry for entry in entries if _is_left_over(entry, name, others)]
    for entry in found:
        try:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
        except OSError:  # another run sweeps as well, or it isn't ours to remove
            continue
        removed.append(Path(entry.path))
    return removed


def _is_left_over(entry: os.DirEntry[str], name: str, others: bool) -> bool:
    match = _UNFINISHED.fullmatch(entry.name)
    if match is None or (name and match["name"] != name[:SHORT]):
        return False
    is_folder = entry.is_dir(follow_symlinks=False)
    if not (is_folder or entry.is_file(follow_symlinks=False)):
        return False
    if is_folder != (match["kind"] == "bag"):
        return False
    process = int(match["process"])
    return process != os.getpid() if others else not _runs(process)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def make_folder(path: Path) -> None:
    """A folder for results, and those above it.

    Raises:
        InputError: a file is in the way, or it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path}: is a file, or lies below one; a folder is needed") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def write_output(path: Path, content: bytes) -> None:
    """A result that was asked for by name, whole or not at all; folders above it are made.

    A symbolic link stays one: the file that it leads to is replaced. Devices and pipes are written
    to as they are.

    Raises:
        InputError: the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_stream(path):
            path.write_bytes(content)
            return
        target = Path(os.path.realpath(path))
        sweep(target.parent, target.name)
        if target.is_file() and not os.access(target, os.W_OK):
            raise InputError(f"{path}: is write-protected")
        write_durably(target, content)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Figures as a JSON file; undefined ones are null, never NaN.

    Raises:
        InputError: the file can't be written.
    """
    text = json.dumps(_defined(figures), indent=2, allow_nan=False)
    write_output(path, (text + "\n").encode())


def _defined(value: Any) -> Any:
    """NaN and infinity, which JSON doesn't have, as None."""
    if isinstance(value, dict):
        return {name: _defined(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_stream(path: Path) -> bool:
    """A device, a pipe or an open descriptor (``/dev/stdout``): written to, never replaced."""
    if str(path.absolute()).startswith(_DESCRIPTORS):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:  # not there yet, or not to be reached
        return False
    return not (S_ISREG(mode) or S_ISDIR(mode))
