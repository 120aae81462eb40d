"""Validation of detections by free space: votes of the beams of the last sweeps.

Two sweeps alone can't tell a mover from a fragment of wall, hedge or kerb that comes into view
beside another: both are unmatched, and over a few metres some other fragment always fits. Earlier
sweeps can. The place of a static object was never free before, and stays occupied. So a detection
is validated when positions that it now occupies were free before (*seen through*), or positions
where it was are free now (*vanished*); and when its motion, extrapolated back, doesn't put it where
the beams passed through (*contradicted*).

Objects that come into view from behind others have no such votes, and are static until they have.
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
    classify,
    empty_image,
    render,
)
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray

SAMPLE = 128  # points of a detection that vote
DISPLACED = 0.6  # of the points that must be displaced are to be seen to be
FAR = 3.0  # lengths; of what has moved by more ...
SEEN_BEFORE = 0.5  # ... so many of the earlier positions must have been seen
STEADY = 0.35  # s for which a constant velocity is assumed


@dataclass(frozen=True)
class FreeSpaceVotes:
    """Votes on one detection; counts of sampled points, or of pairs of point and sweep.

    Attributes:
        points: sampled.
        moved: points whose position was free before, or whose earlier position is free now.
        stayed: points that haven't moved, so far as is seen: a beam ended at their position before.
        confirmed: earlier positions, extrapolated back, where a beam ended.
        contradicted: earlier positions where the beams passed through.
        asked: earlier positions, extrapolated back, whatever is known of them.
    """

    points: int
    moved: int
    stayed: int
    confirmed: int
    contradicted: int
    asked: int


@dataclass(eq=False)
class _View:
    image: BeamImage
    stamp: float
    from_newest: NDArray[np.float64]


class MotionEvidence:
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
        """Add a sweep, ground included; (N, 3) seen from the sensor. ``move`` must follow."""
        if self._spare:
            image = self._spare.pop()
        else:
            newest = self._views[0].image if self._views else None
            image = empty_image(newest.row_angle if newest else beam_spacing(points))
        render(points, image)
        self._views.appendleft(_View(image, stamp, np.eye(4)))
        if len(self._views) > self.options.sweeps + 1:
            self._spare.append(self._views.pop().image)

    def move(self, current_from_previous: NDArray[np.float64]) -> None:
        """Transform the earlier sweeps by the ego motion (4, 4) to the newest."""
        previous_from_current = np.linalg.inv(current_from_previous)
        for view in list(self._views)[1:]:
            view.from_newest = view.from_newest @ previous_from_current

    def count(self, detections: Sequence[tuple[FloatArray, FloatArray]]) -> list[FreeSpaceVotes]:
        """Count the votes of the earlier sweeps on each detection.

        Args:
            detections: (n, 3) its points in the newest sweep, seen from the sensor, and
                (n, 3) velocities, m/s over ground, in the sensor's axes.
        """
        if not detections:
            return []
        picks = [
            np.linspace(0, len(points) - 1, min(len(points), SAMPLE)).astype(np.intp)
            for points, _ in detections
        ]
        points, velocity = (
            np.concatenate([part[pick] for part, pick in zip(parts, picks, strict=True)])
            for parts in zip(*detections, strict=True)
        )
        counts = np.zeros((len(points), 4), np.int64)
        newest, steady = self._views[0], 0
        for view in list(self._views)[1:]:
            elapsed = newest.stamp - view.stamp
            steady += elapsed <= STEADY
            _count_votes(
                newest.image,
                view.image,
                view.from_newest.astype(np.float32),
                points,
                velocity * np.float32(-elapsed),
                elapsed <= STEADY,
                counts,
            )
        sizes = np.array([len(pick) for pick in picks])
        counts[counts[:, 0] == 1, 1] = 0
        sums = np.add.reduceat(counts, np.cumsum(sizes) - sizes)
        return [
            FreeSpaceVotes(size, moved, stayed, confirmed, contradicted, asked=size * steady)
            for size, (moved, stayed, confirmed, contradicted) in zip(
                sizes.tolist(), sums.tolist(), strict=True
            )
        ]

    def displaced(self, points: FloatArray, chosen: BoolArray) -> BoolArray:
        """Which of the chosen points lie where the beams of the oldest sweep passed through.

        Args:
            points: (N, 3) in the newest sweep, seen from the sensor. chosen: (N,).
        """
        free = np.zeros(len(points), np.bool_)
        if len(self._views) > self.options.sweeps:
            oldest = self._views[-1]
            _find_free(oldest.image, oldest.from_newest.astype(np.float32), points, chosen, free)
        return free

    @property
    def span(self) -> float:
        """Seconds back to the oldest sweep."""
        return self._views[0].stamp - self._views[-1].stamp if self._views else 0.0

    def validated(self, votes: FreeSpaceVotes, displacement: float) -> bool:
        """Whether the votes alone prove a motion.

        What has moved by many lengths must have been seen on its way: over such a distance some
        other sliver always fits, and gives it an absurd speed.

        Args:
            votes: on the detection.
            displacement: over ``span``, in lengths of the detection along its motion. What has
                moved by its whole length has left its place altogether.
        """
        options = self.options
        least = max(
            options.min_points,
            options.min_share * votes.points,
            DISPLACED * min(displacement, 1.0) * (votes.moved + votes.stayed),
        )
        on_its_way = displacement <= FAR or votes.confirmed >= SEEN_BEFORE * votes.asked
        return votes.moved >= least and on_its_way and self.consistent(votes)

    def consistent(self, votes: FreeSpaceVotes) -> bool:
        """Whether the votes allow a motion: earlier positions confirmed, seldom contradicted."""
        cast = votes.confirmed + votes.contradicted
        share = self.options.max_contradicted
        return votes.confirmed > 0 and votes.contradicted <= share * cast


@kernel
def _count_votes(
    now: BeamImage,
    then: BeamImage,
    then_from_now: FloatArray,
    points: FloatArray,
    back: FloatArray,
    steady: bool,
    counts: NDArray[np.int64],
) -> None:
    """Votes of one earlier sweep.

    Args:
        now, then: beam images. then_from_now: (4, 4) float32.
        points: (n, 3) now. back: (n, 3) displacement to where they were then.
        steady: count the positions along the motion.
        counts: (n, 4): set to 1 where the point isn't static, and, of the others, where a beam
            ended at its position; confirmed and contradicted.
    """
    rotation, translation = then_from_now[:3, :3], then_from_now[:3, 3]
    for i in range(len(points)):
        moved = counts[i, 0] == 1
        if moved and not steady:
            continue  # there is nothing more to find out
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if not moved:
            state = _classify_then(then, rotation, translation, x, y, z)
            if state == FREE:
                moved = True
            elif state == OCCUPIED:
                counts[i, 1] = 1
        if not moved or steady:
            x += back[i, 0]
            y += back[i, 1]
            z += back[i, 2]
            state = _classify_then(then, rotation, translation, x, y, z)
            if steady and state == OCCUPIED:
                counts[i, 2] += 1
            if steady and state == FREE:
                counts[i, 3] += 1
            moved = moved or (state == OCCUPIED and classify(now, x, y, z) == FREE)
        counts[i, 0] = moved


@kernel
def _find_free(
    then: BeamImage,
    then_from_now: FloatArray,
    points: FloatArray,
    chosen: BoolArray,
    free: BoolArray,
) -> None:
    """Set ``free`` (N,) for those of the chosen points that lie where it was free then."""
    rotation, translation = then_from_now[:3, :3], then_from_now[:3, 3]
    for i in range(len(points)):
        if chosen[i]:
            x, y, z = points[i, 0], points[i, 1], points[i, 2]
            free[i] = _classify_then(then, rotation, translation, x, y, z) == FREE


@kernel
def _classify_then(
    image: BeamImage, rotation: FloatArray, translation: FloatArray, x: float, y: float, z: float
) -> int:
    return classify(
        image,
        rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z + translation[0],
        rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z + translation[1],
        rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z + translation[2],
    )
