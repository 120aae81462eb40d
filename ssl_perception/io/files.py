"""Arrays, pictures and numbers out of files that may be anything: checked, bounded, no pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError

MAX_ARRAY_BYTES = 2 << 30
MAX_TEXT_BYTES = 16 << 20
MAX_REASON = 200  # characters; a broken file can make a library quote all of it


def load_arrays(path: Path, required: tuple[str, ...] = ()) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file.

    Raises:
        InputError: not there, not an .npz, pickled objects in it, larger than 2 GiB unpacked, or
            one of ``required`` missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_ARRAY_BYTES:
            raise InputError(f"{path}: {size} bytes unpacked are more than {MAX_ARRAY_BYTES}")
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in required if name not in archive]
            if missing:
                raise InputError(
                    f"{path}: lacks {', '.join(missing)}; it holds {', '.join(archive.files)}"
                )
            return {name: archive[name] for name in archive.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a broken file makes zipfile, zlib and NumPy raise all sorts
        raise InputError(f"{path}: not a readable .npz file: {reason(error)}") from None


def load_array(path: Path) -> NDArray[Any]:
    """The array of an .npy file.

    Raises:
        InputError: not there, not an .npy, pickled objects in it, or larger than 2 GiB.
    """
    try:
        if path.stat().st_size > MAX_ARRAY_BYTES:
            raise InputError(f"{path}: larger than {MAX_ARRAY_BYTES} bytes")
        return np.asarray(np.load(path, allow_pickle=False))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # as above
        raise InputError(f"{path}: not a readable .npy file: {reason(error)}") from None


def load_picture(path: Path, unchanged: bool = False) -> NDArray[Any]:
    """A picture as OpenCV reads it: grey or BGR uint8, or with ``unchanged`` 16-bit values too.

    Raises:
        InputError: not there, or not a picture.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        flags = cv2.IMREAD_UNCHANGED if unchanged else cv2.IMREAD_ANYCOLOR
        picture = cv2.imread(str(path), flags)
    except cv2.error as error:
        raise InputError(f"{path}: not a readable picture: {reason(error)}") from None
    if picture is None:
        raise InputError(f"{path}: not a readable picture")
    return np.asarray(picture)


def load_text(path: Path) -> str:
    """A small text file.

    Raises:
        InputError: not there, larger than 16 MiB, or not UTF-8.
    """
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise InputError(f"{path}: larger than {MAX_TEXT_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None


def require_finite(array: NDArray[Any], path: Path, name: str) -> None:
    """Refuse NaN and infinite numbers.

    Raises:
        InputError: naming the file, the array and how many.
    """
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {name} must hold numbers, not {array.dtype}")
    if array.dtype.kind == "f":
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise InputError(f"{path}: {name} has {bad} NaN or infinite numbers of {array.size}")


def reason(error: Exception) -> str:
    """What a library says is wrong, on one short line."""
    text = str(getattr(error, "strerror", None) or error)[:MAX_REASON]
    return " ".join(text.split()) or type(error).__name__
