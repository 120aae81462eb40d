"""The part of a model store's generation that inference needs; without PyTorch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse

from ssl_perception.depth.student.architecture import SIZES, Weights, with_uncertainty
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.onnx_graph import check_weights
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import Generation

STUDENT_FILE = "student.safetensors"  # BatchNorm folded: all that inference needs
FEATURES_FILE = "memory.safetensors"  # serials and features of the frames in memory


def load_into(student: StudentInference, generation: Generation) -> None:
    """Run this generation's student from the next frame on.

    Raises:
        InputError: it doesn't fit this network; the model in use stays.
    """
    student.load(load_weights(generation), generation.number, load_features(generation))


def load_weights(generation: Generation) -> Weights:
    """The weights that inference needs, checked.

    Raises:
        InputError: they don't fit this network.
    """
    weights = with_uncertainty(tensors(generation.files[STUDENT_FILE], STUDENT_FILE))
    check_weights(weights, STUDENT_FILE)
    return weights


def load_features(generation: Generation) -> NDArray[np.float32]:
    """(N, features) unit features of the frames in memory, the oldest first: the places it knows.

    Raises:
        InputError: they don't fit this network.
    """
    stored = tensors(generation.files[FEATURES_FILE], FEATURES_FILE)
    features, serial = stored.get("feature"), stored.get("serial")
    lengths = {size.features for size in SIZES.values()}
    if features is None or features.ndim != 2 or features.shape[1] not in lengths:
        raise InputError(f"{FEATURES_FILE}: feature must be (N, {sorted(lengths)})")
    if features.dtype != np.float32 or not np.isfinite(features).all():
        raise InputError(f"{FEATURES_FILE}: feature must be finite float32")
    if serial is None or serial.shape != (len(features),):
        raise InputError(f"{FEATURES_FILE}: serial and feature don't fit")
    return features[np.argsort(serial)]


def tensors(content: bytes, name: str) -> dict[str, NDArray]:
    """The arrays of a safetensors file.

    Raises:
        InputError: it isn't one.
    """
    try:
        arrays: dict[str, NDArray] = parse(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{name}: not safetensors: {error}") from None
    return arrays
