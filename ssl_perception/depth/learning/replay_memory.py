"""What the student has seen and learns from again: bounded, and chosen for coverage.

A drone in one room soon has thousands of frames of that room; a first-in first-out buffer would
forget the last one. The memory keeps the frames whose features are spread the widest instead
(greedy k-center, one frame at a time): a new frame that is nearer to a stored one than the two
closest stored ones are to each other takes the place of that nearest one or is passed over; any
other replaces the older of the closest two. Old places stay as long as they are unlike new ones.

Features are the student's own, scaled to unit length. They drift as it learns; ``refresh`` brings
a stored frame's up to date when it passes through the network anyway.

Frames of a prior are pinned beside them: they are learnt from for ever, lest other places than this
be forgotten, but no place counts as known for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import ReplayMemoryConfig
from ssl_perception.depth.student.architecture import NANO, Architecture
from ssl_perception.types import FloatArray

_NOBODY = -1


@dataclass(frozen=True, eq=False)
class Frames:
    """A batch: (B, height, width, 3) uint8 images and (B, rows, columns) float32 log-depth labels,
    as the student sees and answers."""

    images: NDArray[np.uint8]
    labels: FloatArray


class ReplayMemory:
    """At most ``options.frames`` frames and ``options.megabytes``, allocated once.

    Attributes:
        serial: (capacity,) int64, number of the insertion that filled a slot, from 1; 0: empty.
            A slot whose serial hasn't changed holds the same image and label as before, which is
            all that incremental saving needs to know.
    """

    def __init__(
        self,
        options: ReplayMemoryConfig | None = None,
        seed: int = 0,
        architecture: Architecture = NANO,
    ) -> None:
        self.options = options = options or ReplayMemoryConfig()
        self.architecture = architecture
        capacity = min(options.frames, int(options.megabytes * 2**20) // frame_bytes(architecture))
        self._images = np.zeros((capacity, architecture.height, architecture.width, 3), np.uint8)
        self._labels = np.zeros((capacity, *architecture.grid), np.float16)
        self._features = np.zeros((capacity, architecture.features), np.float32)
        self._nearest = np.full(capacity, _NOBODY, np.int64)  # slot of each slot's nearest other
        self._gap = np.full(capacity, np.inf, np.float32)  # distance to it
        self.serial = np.zeros(capacity, np.int64)
        self._size = 0
        self._insertions = 0
        self._random = np.random.default_rng(seed)
        self._pinned = Frames(self._images[:0], self._labels[:0].astype(np.float32))

    def __len__(self) -> int:
        return self._size

    @property
    def capacity(self) -> int:
        return len(self._images)

    @property
    def nbytes(self) -> int:
        """Bytes held; constant from the start, but for what is pinned."""
        arrays = (self._images, self._labels, self._features, self._nearest, self._gap, self.serial)
        pinned = self._pinned.images.nbytes + self._pinned.labels.nbytes
        return pinned + sum(array.nbytes for array in arrays)

    def pin(self, frames: Frames) -> None:
        """Keep these for ever, in place of any that were pinned before."""
        self._pinned = frames

    def add(self, image: NDArray[np.uint8], label: FloatArray, feature: FloatArray) -> int | None:
        """Offer a frame. Returns the slot that it took, or None when it was passed over."""
        feature = _unit(feature)
        if self._size < self.capacity:
            slot = self._size
            self._size += 1
        else:
            chosen = self._slot_for(feature)
            if chosen is None:
                return None
            slot = chosen
        self._images[slot] = image
        self._labels[slot] = label
        self._insertions += 1
        self.serial[slot] = self._insertions
        self._place(slot, feature)
        return slot

    def take_back(self, slot: int, serial: int) -> bool:
        """Unlearn the label of a frame that may be wrong; the slot will be filled anew like any
        other. False when another frame has taken the slot since."""
        if self.serial[slot] != serial:
            return False
        self._labels[slot] = np.nan
        self._insertions += 1
        self.serial[slot] = self._insertions  # it holds something else now, for the next save
        return True

    def sample(self, count: int, pinned_share: float = 0.0) -> Frames:
        """``count`` random frames (fewer when there are fewer), about ``pinned_share`` of them
        pinned ones; more where the slots have too few."""
        pinned = min(round(count * pinned_share), len(self._pinned.images))
        own = min(count - pinned, self._size)
        pinned = min(count - own, len(self._pinned.images))
        found = self.frames(self._random.choice(self._size, own, replace=False))
        if not pinned:
            return found
        rows = self._random.choice(len(self._pinned.images), pinned, replace=False)
        return Frames(
            np.concatenate([found.images, self._pinned.images[rows]]),
            np.concatenate([found.labels, self._pinned.labels[rows]]),
        )

    def frames(self, slots: NDArray[np.intp]) -> Frames:
        """Copies of what the slots hold."""
        return Frames(self._images[slots], self._labels[slots].astype(np.float32))

    def features(self) -> FloatArray:
        """(len, features) unit features of the filled slots, in slot order."""
        return self._features[: self._size]

    def history(self) -> FloatArray:
        """(len, features) unit features of the filled slots, the oldest frame first."""
        return self._features[np.argsort(self.serial[: self._size])]

    def refresh(self, slot: int, feature: FloatArray) -> None:
        """Give a stored frame its feature as the student sees it now."""
        self._place(slot, _unit(feature))

    def novelty(self, feature: FloatArray) -> float:
        """Distance in [0, 2] from a feature to the nearest stored one; infinite when empty."""
        if self._size == 0:
            return float("inf")
        return float(self._distances(_unit(feature)).min())

    def restore(
        self, serial: int, image: NDArray[np.uint8], label: FloatArray, feature: FloatArray
    ) -> None:
        """Put a saved frame back, under its old serial."""
        if self._size == self.capacity:
            return  # the bound was lowered since: the rest is left behind
        slot = self._size
        self._size += 1
        self._images[slot] = image
        self._labels[slot] = label
        self.serial[slot] = serial
        self._insertions = max(self._insertions, serial)
        self._place(slot, _unit(feature))

    def _slot_for(self, feature: FloatArray) -> int | None:
        if self.options.policy == "recent":
            return int(self.serial.argmin())
        distances = self._distances(feature)
        nearest = int(distances.argmin())
        closest = int(self._gap.argmin())
        if distances[nearest] <= self._gap[closest]:
            # Nothing new. Renewing the old frame half of the time keeps labels fresh.
            return nearest if self._random.random() < 0.5 else None
        other = int(self._nearest[closest])
        return min(closest, other, key=lambda slot: int(self.serial[slot]))

    def _place(self, slot: int, feature: FloatArray) -> None:
        """Set a slot's feature and mend everyone's nearest neighbour."""
        self._features[slot] = feature
        distances = self._distances(feature)
        distances[slot] = np.inf
        size = self._size
        orphans = np.flatnonzero(self._nearest[:size] == slot)
        nearer = distances < self._gap[:size]
        self._gap[:size][nearer] = distances[nearer]
        self._nearest[:size][nearer] = slot
        for orphan in orphans:
            if orphan != slot and not nearer[orphan]:
                self._find_nearest(int(orphan))
        if size > 1:
            self._nearest[slot] = distances.argmin()
            self._gap[slot] = distances[self._nearest[slot]]

    def _find_nearest(self, slot: int) -> None:
        distances = self._distances(self._features[slot])
        distances[slot] = np.inf
        self._nearest[slot] = distances.argmin()
        self._gap[slot] = distances[self._nearest[slot]]

    def _distances(self, feature: FloatArray) -> FloatArray:
        """Euclidean, between unit vectors: sqrt(2 - 2 cos)."""
        cosine = self._features[: self._size] @ feature
        distances: FloatArray = np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0))
        return distances


def frame_bytes(architecture: Architecture) -> int:
    """What one frame takes."""
    rows, columns = architecture.grid
    image = architecture.height * architecture.width * 3
    return image + rows * columns * 2 + architecture.features * 4


def _unit(feature: FloatArray) -> FloatArray:
    return feature / np.float32(max(float(np.linalg.norm(feature)), 1e-12))
