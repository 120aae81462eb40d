"""Arrays, pictures and numbers out of files that may be anything: checked, bounded, no pickle."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from ssl_perception.config import FilesConfig
from ssl_perception.errors import InputError

LIMITS = FilesConfig()
MAX_TEXT_BYTES = 16 << 20
PICTURES = ("PNG", "JPEG", "PPM", "TIFF", "BMP", "WEBP")
MAX_REASON = 200  # characters; a broken file can make a library quote all of it


def load_arrays(
    path: Path, required: tuple[str, ...] = (), limits: FilesConfig = LIMITS
) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file.

    Raises:
        InputError: not there, not an .npz, pickled objects in it, larger unpacked than
            ``limits.max_array``, an array that says it is larger than it is, or one of
            ``required`` missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            _check_size(path, size, limits)
            for member in archive.infolist():
                with archive.open(member) as stream:
                    _check_header(path, stream, member.file_size)
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


def load_array(path: Path, limits: FilesConfig = LIMITS) -> NDArray[Any]:
    """The array of an .npy file.

    Raises:
        InputError: not there, not an .npy, pickled objects in it, larger than
            ``limits.max_array``, or an array that says it is larger than it is.
    """
    try:
        size = path.stat().st_size
        _check_size(path, size, limits)
        with path.open("rb") as stream:
            _check_header(path, stream, size)
        return np.asarray(np.load(path, allow_pickle=False))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # as above
        raise InputError(f"{path}: not a readable .npy file: {reason(error)}") from None


def _check_size(path: Path, size: int, limits: FilesConfig) -> None:
    if size > limits.max_array << 20:
        raise InputError(
            f"{path}: {size} bytes unpacked are more than {limits.max_array} MiB (files.max_array)"
        )


def _check_header(path: Path, stream: IO[bytes], size: int) -> None:
    """NumPy takes the memory that an array's header asks for before it reads on: it mustn't ask for
    more than the file holds."""
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise InputError(f"{path}: an array of {needed} bytes where there are {size}")


def picture_size(content: Path | bytes) -> tuple[int, int]:
    """Width and height that a picture's header tells; nothing is decoded.

    Raises:
        OSError: not a picture, or not in one of ``PICTURES``.
    """
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        with warnings.catch_warnings():  # Pillow's own, larger limit; ours is the caller's
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=PICTURES) as picture:
                width, height = picture.size
                return width, height
    except OSError:
        raise
    except Exception as error:  # a broken header makes Pillow's parsers raise all sorts
        raise OSError(reason(error)) from None


def load_picture(path: Path, unchanged: bool = False, limits: FilesConfig = LIMITS) -> NDArray[Any]:
    """A picture as OpenCV reads it: grey or BGR uint8, or with ``unchanged`` 16-bit values too.

    Raises:
        InputError: not there, not a picture, or of more than ``limits.max_picture``.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        width, height = picture_size(path)
    except OSError as error:
        raise InputError(f"{path}: not a readable picture: {reason(error)}") from None
    if width * height > limits.max_picture * 1_000_000:
        raise InputError(
            f"{path}: {width}x{height} pixels are more than {limits.max_picture} megapixels "
            "(files.max_picture)"
        )
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
