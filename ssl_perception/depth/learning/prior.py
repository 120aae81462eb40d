"""The student that learning starts from, and frames of its training that it must not forget.

``ssl-perception train student`` makes one, in simulated rooms and streets: no place that a robot
will ever be in, so nothing in it counts as known (see ``ReplayMemory.pin``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialise

from ssl_perception.depth.learning.replay_memory import Frames
from ssl_perception.depth.student.architecture import NANO, SIZES, Architecture
from ssl_perception.depth.student.network import StudentNetwork
from ssl_perception.errors import InputError
from ssl_perception.io.files import picture_size
from ssl_perception.io.write import write_output
from ssl_perception.runtime.shipped import shipped

SHIPPED = "student_prior.safetensors"
MAX_BYTES = 1 << 26
MAX_FRAMES = 4096
_JPEG_QUALITY = 92
_NETWORK = "network."
_QUANTILE, _IMAGES, _LENGTHS, _LABELS = "quantile", "images", "image_bytes", "labels"


@dataclass(frozen=True, eq=False)
class Prior:
    """What learning starts from.

    Attributes:
        network: the state of a ``StudentNetwork``, by name.
        quantile: that makes a bound of the scale of its error.
        frames: to pin in the replay memory.
    """

    network: dict[str, NDArray]
    quantile: float
    frames: Frames

    def load_into(self, network: StudentNetwork) -> None:
        """Give a network these weights.

        Raises:
            InputError: they don't fit, or aren't finite; nothing is changed.
        """
        state = {}
        for name, old in network.state_dict().items():
            array = self.network.get(name)
            if array is None or array.shape != tuple(old.shape):
                found = "missing" if array is None else f"{array.shape}"
                raise InputError(f"prior: {name} must be {tuple(old.shape)}, not {found}")
            if not np.isfinite(array).all():
                raise InputError(f"prior: {name} has NaN or infinite numbers")
            state[name] = torch.from_numpy(array.copy())
        network.load_state_dict(state)


def prior_path(setting: str, architecture: Architecture = NANO) -> Path | None:
    """The file that ``learner.prior`` names: ``shipped``, ``none``, or a path. One for the nano
    student is shipped; students of other sizes start from nothing.

    Raises:
        InputError: ``shipped``, and it is missing.
    """
    if setting == "none" or (setting == "shipped" and architecture is not NANO):
        return None
    return shipped(SHIPPED) if setting == "shipped" else Path(setting)


def save_prior(path: Path, prior: Prior) -> None:
    """Write it; images as JPEG.

    Raises:
        InputError: the file can't be written.
    """
    coded = []
    for image in prior.frames.images:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        coded.append(np.asarray(data, np.uint8).ravel())
    tensors: dict[str, NDArray] = {_NETWORK + n: np.array(a) for n, a in prior.network.items()}
    tensors[_QUANTILE] = np.array([prior.quantile], np.float32)
    tensors[_IMAGES] = np.concatenate([*coded, np.zeros(0, np.uint8)])
    tensors[_LENGTHS] = np.array([len(data) for data in coded], np.int64)
    tensors[_LABELS] = prior.frames.labels.astype(np.float16)
    write_output(path, serialise(tensors))


def load_prior(path: Path) -> Prior:
    """Read it; every size is checked before anything is decoded.

    Raises:
        InputError: no such file, too large, or not a prior; whether its network fits is for
            ``Learner`` to say.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES} bytes")
        tensors = parse(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from None
    network = {n.removeprefix(_NETWORK): a for n, a in tensors.items() if n.startswith(_NETWORK)}
    quantile = tensors.get(_QUANTILE, np.zeros(0, np.float32))
    if quantile.shape != (1,) or not 0.0 < float(quantile[0]) < np.inf:
        raise InputError(f"{path}: {_QUANTILE} must be one positive number")
    labels = tensors.get(_LABELS, np.zeros((0, *NANO.grid), np.float16))
    sizes = {size.grid: size for size in SIZES.values()}
    size = sizes.get(labels.shape[1:])
    if size is None or labels.dtype != np.float16:
        raise InputError(f"{path}: {_LABELS} must be (n, rows, columns) float16, of {list(sizes)}")
    images = _decode(path, tensors, len(labels), size)
    return Prior(network, float(quantile[0]), Frames(images, labels.astype(np.float32)))


def _decode(
    path: Path, tensors: dict[str, NDArray], count: int, size: Architecture
) -> NDArray[np.uint8]:
    lengths = tensors.get(_LENGTHS, np.zeros(0, np.int64))
    coded = tensors.get(_IMAGES, np.zeros(0, np.uint8))
    if count > MAX_FRAMES or lengths.shape != (count,) or lengths.dtype != np.int64:
        raise InputError(f"{path}: {_LENGTHS} must be ({count},) int64, {MAX_FRAMES} at most")
    ends = np.cumsum(lengths)
    whole = int(ends[-1]) if count else 0
    if coded.dtype != np.uint8 or coded.shape != (whole,) or (lengths <= 0).any():
        raise InputError(f"{path}: {_IMAGES} and {_LENGTHS} don't fit")
    images = np.zeros((count, size.height, size.width, 3), np.uint8)
    for k, (end, length) in enumerate(zip(ends, lengths, strict=True)):
        image = _picture(coded[end - length : end], size)
        if image is None:
            raise InputError(f"{path}: image {k} is not a picture of {size.width}x{size.height}")
        images[k] = image
    return images


def _picture(coded: NDArray[np.uint8], size: Architecture) -> NDArray[np.uint8] | None:
    """None: not a picture of that size. The header is asked before anything is decoded."""
    try:
        if picture_size(coded.tobytes()) != (size.width, size.height):
            return None
    except OSError:
        return None
    image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if image is None or image.shape[:2] != (size.height, size.width):
        return None
    return np.asarray(image, np.uint8)
