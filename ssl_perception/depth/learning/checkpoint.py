"""The learner to the model store and back: weights, optimiser, memory, and what goes with them.

The memory (up to 120 MB) is saved incrementally: frames that came since the last save form a new
immutable chunk; a generation lists the chunks and which of their frames are still alive. Chunks
that are mostly dead are rewritten with the next save.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialise

from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.architecture import (
    FEATURES,
    GRID_HEIGHT,
    GRID_WIDTH,
    HEIGHT,
    WIDTH,
)
from ssl_perception.depth.student.onnx_graph import check_weights
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import Generation, ModelStore

STUDENT = "student.safetensors"  # folded: all that inference needs
TRAINING = "training.safetensors"
MEMORY = "memory.safetensors"  # serials and features of the living frames
_LIVE_SHARE = 0.5  # a chunk with fewer of its frames alive is rewritten


@dataclass(frozen=True)
class Restored:
    """What a restart found.

    Attributes:
        generation: its number.
        notes: what the writer added (trust, calibration).
        steps: of the learner.
        frames: in memory again.
        lost_frames: that the generation had and that are damaged.
        damaged: why newer generations were passed over.
    """

    generation: int
    notes: dict[str, Any]
    steps: int
    frames: int
    lost_frames: int
    damaged: tuple[str, ...]


class Checkpoint:
    """Saves one learner into one store; remembers which frames are saved already."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._chunks: dict[str, NDArray[np.int64]] = {}  # digest -> serials in it

    def save(self, learner: Learner, notes: dict[str, Any] | None = None) -> int:
        """A new generation of the model store; returns its number.

        Raises:
            OSError: disk full or gone; the last generation stays good and learning can go on.
        """
        memory = learner.memory
        alive = memory.serial[: len(memory)]
        chunks = {
            digest: serials
            for digest, serials in self._chunks.items()
            if np.isin(serials, alive).mean() >= _LIVE_SHARE
        }
        saved = np.concatenate([*chunks.values(), np.zeros(0, np.int64)])
        fresh = np.flatnonzero(~np.isin(alive, saved))
        if len(fresh):
            frames = memory.frames(fresh)
            content = serialise(
                {
                    "serial": alive[fresh],
                    "image": frames.images,
                    "label": frames.labels.astype(np.float16),
                }
            )
            chunks[self._store.put(content)] = alive[fresh].copy()
        files = {
            STUDENT: serialise(learner.weights()),
            TRAINING: serialise(learner.state()),
            MEMORY: serialise({"serial": alive.copy(), "feature": memory.features().copy()}),
        }
        number = self._store.commit(files, chunks, {**(notes or {}), "steps": learner.steps})
        self._chunks = chunks
        return number

    def restore(self, learner: Learner) -> Restored | None:
        """Fill a fresh learner from the newest good generation; None: there is none.

        Raises:
            InputError: a generation that is undamaged but doesn't fit this network.
        """
        generation = self._store.load()
        if generation is None:
            return None
        learner.restore(_tensors(generation.files[TRAINING], TRAINING))
        index = _tensors(generation.files[MEMORY], MEMORY)
        serials, features = index.get("serial"), index.get("feature")
        if (
            serials is None
            or features is None
            or serials.ndim != 1
            or serials.dtype != np.int64
            or features.shape != (len(serials), FEATURES)
        ):
            raise InputError(f"{MEMORY}: serial and feature don't fit")
        self._chunks = {}
        place = {int(serial): row for row, serial in enumerate(serials)}
        for digest, content in generation.extras.items():
            chunk = _chunk(content)
            self._chunks[digest] = chunk["serial"]
            for row, serial in enumerate(chunk["serial"]):
                at = place.pop(int(serial), None)
                if at is not None:
                    learner.memory.restore(
                        int(serial),
                        chunk["image"][row],
                        chunk["label"][row].astype(np.float32),
                        features[at],
                    )
        return Restored(
            generation.number,
            generation.notes,
            learner.steps,
            len(learner.memory),
            len(place),
            generation.damaged,
        )


def load_student(generation: Generation) -> dict[str, NDArray[np.float32]]:
    """The weights that inference needs, checked.

    Raises:
        InputError: they don't fit this network.
    """
    weights = _tensors(generation.files[STUDENT], STUDENT)
    check_weights(weights, STUDENT)
    return weights


def load_places(generation: Generation) -> NDArray[np.float32]:
    """(N, 96) unit features of the frames in memory: what the student knows.

    Raises:
        InputError: they don't fit this network.
    """
    features = _tensors(generation.files[MEMORY], MEMORY).get("feature")
    if features is None or features.ndim != 2 or features.shape[1] != FEATURES:
        raise InputError(f"{MEMORY}: feature must be (N, {FEATURES})")
    if features.dtype != np.float32 or not np.isfinite(features).all():
        raise InputError(f"{MEMORY}: feature must be finite float32")
    return features


def _tensors(content: bytes, name: str) -> dict[str, NDArray]:
    try:
        arrays: dict[str, NDArray] = parse(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{name}: not safetensors: {error}") from None
    return arrays


def _chunk(content: bytes) -> dict[str, NDArray]:
    arrays = _tensors(content, "memory chunk")
    count = len(arrays.get("serial", ()))
    expected = {
        "serial": ((count,), np.int64),
        "image": ((count, HEIGHT, WIDTH, 3), np.uint8),
        "label": ((count, GRID_HEIGHT, GRID_WIDTH), np.float16),
    }
    for name, (shape, dtype) in expected.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise InputError(f"memory chunk: {name} must be {shape} {np.dtype(dtype)}")
    return arrays
