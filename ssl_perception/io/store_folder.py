"""The folder of a model store: its own, and read without surprises."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ssl_perception.errors import InputError
from ssl_perception.io.write import write_durably

MARK = "model_store"  # a file of this name and content says whose folder it is
_MARK_TEXT = b"ssl_perception model store 1\n"
_OTHERS = {"lock", "spent", "trust"}  # what else lies in a store's folder


def prepare_folder(path: Path, folders: Iterable[Path]) -> None:
    """Make a store's folder and those in it, or see that what is there is a store.

    A store that was made before stores had a mark gets one.

    Raises:
        InputError: it holds something else, or one of its folders is a link.
        OSError: it can't be made.
    """
    folders = list(folders)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_marked(path):
        names = {file.name for file in path.iterdir()}
        own = {folder.name for folder in folders}
        foreign = sorted(n for n in names - own - _OTHERS if not n.startswith(".trust."))
        if foreign and not own <= names:
            raise InputError(f"{path}: not a model store: it holds {foreign[0]!r}")
    for folder in folders:
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise InputError(f"{folder}: must be a folder, not a link or a file")
        folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_marked(path):
        write_durably(path / MARK, _MARK_TEXT, 0o600)


def _is_marked(path: Path) -> bool:
    try:
        text = read_regular(path / MARK, len(_MARK_TEXT))
    except FileNotFoundError:
        return False
    except InputError:
        text = b""
    if text != _MARK_TEXT:
        raise InputError(f"{path / MARK}: not this version's mark of a model store")
    return True


def read_regular(path: Path, limit: int) -> bytes:
    """A file's content; a link isn't followed, and a pipe or a device isn't waited for.

    Raises:
        InputError: not a regular file, or larger than ``limit`` bytes.
        OSError: not there, or can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path.name[:12]}: not a regular file")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise InputError(f"{path.name[:12]}: larger than {limit} bytes")
    return content
