"""Files that are written whole or not at all: a kill or a full disk leaves what was there."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

from ssl_perception.errors import InputError

# Files that the process has open already, by other names: what else is written there, e.g. by
# ``> file``, would be lost if one were replaced.
_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/")


def write_durably(target: Path, content: bytes) -> None:
    """All of it, on the disk, or nothing under that name. A file there keeps its permissions.

    Raises:
        OSError: disk full or gone; what was there before still is.
    """
    # a name per process: two that write the same file must not share the unfinished one
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed; or a link elsewhere
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
