"""One writer at a time: a second is refused at once, and a killed one lets go."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from ssl_perception.errors import InputError


def lock_file(path: Path, held: str) -> IO[bytes]:
    """An open file that holds the lock; closing it, or the process's end, lets go.

    The file is made, for its owner alone, where there is none; a link isn't followed.

    Args:
        held: the error's line when somebody else holds it.

    Raises:
        InputError: somebody else holds it.
        OSError: it can't be opened or made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        file = os.fdopen(os.open(path, flags, 0o600), "rb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InputError(held) from None
        try:
            # removed between opening and locking, it would lock nobody out
            if os.path.samestat(os.fstat(file.fileno()), path.lstat()):
                return file
        except FileNotFoundError:
            pass
        file.close()
