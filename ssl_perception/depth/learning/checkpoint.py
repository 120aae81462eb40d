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
from safetensors.numpy import save as serialise

from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.architecture import Architecture, architecture_of
from ssl_perception.depth.student.stored import FEATURES_FILE, STUDENT_FILE, tensors
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore

TRAINING_FILE = "training.safetensors"
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
            STUDENT_FILE: serialise(learner.weights()),
            TRAINING_FILE: serialise(learner.state()),
            FEATURES_FILE: serialise({"serial": alive.copy(), "feature": memory.features().copy()}),
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
        if TRAINING_FILE not in generation.files:
            raise InputError(
                f"{self._store.path}: a student without its training state (an exported store); "
                "learning can't go on from it"
            )
        stored = architecture_of(tensors(generation.files[STUDENT_FILE], STUDENT_FILE))
        if stored is not learner.architecture:
            raise InputError(
                f"{self._store.path}: holds a {stored.name} student; student.size is "
                f"{learner.architecture.name}"
            )
        learner.restore(tensors(generation.files[TRAINING_FILE], TRAINING_FILE))
        index = tensors(generation.files[FEATURES_FILE], FEATURES_FILE)
        serials, features = index.get("serial"), index.get("feature")
        if (
            serials is None
            or features is None
            or serials.ndim != 1
            or serials.dtype != np.int64
            or features.shape != (len(serials), learner.architecture.features)
        ):
            raise InputError(f"{FEATURES_FILE}: serial and feature don't fit")
        self._chunks = {}
        place = {int(serial): row for row, serial in enumerate(serials)}
        for digest, content in generation.extras.items():
            chunk = _chunk(content, learner.architecture)
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


def _chunk(content: bytes, size: Architecture) -> dict[str, NDArray]:
    arrays = tensors(content, "memory chunk")
    count = len(arrays.get("serial", ()))
    expected = {
        "serial": ((count,), np.int64),
        "image": ((count, size.height, size.width, 3), np.uint8),
        "label": ((count, *size.grid), np.float16),
    }
    for name, (shape, dtype) in expected.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise InputError(f"memory chunk: {name} must be {shape} {np.dtype(dtype)}")
    return arrays
