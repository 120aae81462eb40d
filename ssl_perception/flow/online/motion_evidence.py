"""Does it really move? What the beams of the last sweeps say about a claimed motion.

Two sweeps alone can't tell a mover from a fragment of wall, hedge or kerb that comes into view
beside another: both are unmatched, and over a few metres some other fragment always fits. Earlier
sweeps can. Something that stands still was never seen through, and doesn't vanish. So a motion is
believed when places that the thing now fills were seen free before (*seen through*), or places
where it was are seen free now (*vanished*); and when, carried back along its motion, it isn't put
where the beams went through (*contradicted*).

Things come into view from behind others without any of this, and are static until it shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import EvidenceConfig
from ssl_perception.flow.online.free_space import (
    FREE,
    OCCUPIED,
    BeamImage,
    beam_spacing,
    empty_image,
    look,
    render,
)
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray

SAMPLE = 128  # points of a claim that are looked at
STEADY = 0.35  # s: over so long a constant velocity is expected to hold


@dataclass(frozen=True)
class Testimony:
    """What the beams say of one claim; counts of sampled points, or of point and sweep.

    Attributes:
        points: sampled.
        moved: points whose place was seen through before, or that vanished from an earlier one.
        met: earlier places, carried back along the motion, where a beam ended.
        contradicted: earlier places where the beams went through.
    """

    points: int
    moved: int
    met: int
    contradicted: int


@dataclass(eq=False)
class _View:
    image: BeamImage
    stamp: float
    from_newest: NDArray[np.float64]


class Evidence:
    """The beam images of the newest sweep and of a few before it."""

    def __init__(self, options: EvidenceConfig | None = None) -> None:
        self.options = options or EvidenceConfig()
        self._views: deque[_View] = deque()
        self._spare: list[BeamImage] = []

    def reset(self) -> None:
        """Forget all sweeps."""
        self._views.clear()
        self._spare.clear()

    def add(self, points: FloatArray, stamp: float) -> None:
        """Take a sweep, ground included; (N, 3) seen from the sensor. ``moved`` must follow."""
        if self._spare:
            image = self._spare.pop()
        else:
            newest = self._views[0].image if self._views else None
            image = empty_image(newest.row_angle if newest else beam_spacing(points))
        render(points, image)
        self._views.appendleft(_View(image, stamp, np.eye(4)))
        if len(self._views) > self.options.sweeps + 1:
            self._spare.append(self._views.pop().image)

    def moved(self, current_from_previous: NDArray[np.float64]) -> None:
        """Say how the sensor moved from the sweep before to the newest: (4, 4)."""
        previous_from_current = np.linalg.inv(current_from_previous)
        for view in list(self._views)[1:]:
            view.from_newest = view.from_newest @ previous_from_current

    def hear(self, claims: Sequence[tuple[FloatArray, FloatArray]]) -> list[Testimony]:
        """What the sweeps say of each claim.

        Args:
            claims: (n, 3) points of the thing in the newest sweep, seen from the sensor, and
                (n, 3) velocities, m/s over ground, in the sensor's axes.
        """
        if not claims:
            return []
        picks = [
            np.linspace(0, len(points) - 1, min(len(points), SAMPLE)).astype(np.intp)
            for points, _ in claims
        ]
        points, velocity = (
            np.concatenate([part[pick] for part, pick in zip(parts, picks, strict=True)])
            for parts in zip(*claims, strict=True)
        )
        counts = np.zeros((len(points), 3), np.int64)
        newest = self._views[0]
        for view in list(self._views)[1:]:
            elapsed = newest.stamp - view.stamp
            _question(
                newest.image,
                view.image,
                view.from_newest.astype(np.float32),
                points,
                velocity * np.float32(-elapsed),
                elapsed <= STEADY,
                counts,
            )
        sizes = np.array([len(pick) for pick in picks])
        sums = np.add.reduceat(counts, np.cumsum(sizes) - sizes)
        return [
            Testimony(int(size), int(moved), int(met), int(contradicted))
            for size, (moved, met, contradicted) in zip(sizes, sums, strict=True)
        ]

    def believed(self, testimony: Testimony) -> bool:
        """Whether the beams alone prove a claim."""
        options = self.options
        least = max(options.min_points, options.min_share * testimony.points)
        return testimony.moved >= least and self.possible(testimony)

    def possible(self, testimony: Testimony) -> bool:
        """Whether the beams leave room for a claim: met at earlier places, seldom contradicted."""
        asked = testimony.met + testimony.contradicted
        share = self.options.max_contradicted
        return testimony.met > 0 and testimony.contradicted <= share * asked


@kernel
def _question(
    now: BeamImage,
    then: BeamImage,
    then_from_now: FloatArray,
    points: FloatArray,
    back: FloatArray,
    steady: bool,
    counts: NDArray[np.int64],
) -> None:
    """One earlier sweep's view of claims.

    Args:
        now, then: beam images. then_from_now: (4, 4) float32.
        points: (n, 3) now. back: (n, 3) displacement to where they were then.
        steady: count where the motion puts them.
        counts: (n, 3): set to 1 where the point can't have stood still; met and contradicted.
    """
    turn, shift = then_from_now[:3, :3], then_from_now[:3, 3]
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if _look_then(then, turn, shift, x, y, z) == FREE:
            counts[i, 0] = 1
        x += back[i, 0]
        y += back[i, 1]
        z += back[i, 2]
        state = _look_then(then, turn, shift, x, y, z)
        if steady and state == OCCUPIED:
            counts[i, 1] += 1
        if steady and state == FREE:
            counts[i, 2] += 1
        if state == OCCUPIED and look(now, x, y, z) == FREE:
            counts[i, 0] = 1


@kernel
def _look_then(
    image: BeamImage, turn: FloatArray, shift: FloatArray, x: float, y: float, z: float
) -> int:
    return look(
        image,
        turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z + shift[0],
        turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z + shift[1],
        turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z + shift[2],
    )
