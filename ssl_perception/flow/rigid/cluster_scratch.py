"""Memory that the registration of one cluster works in, kept from cluster to cluster."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.hypothesis_search import MAX_HYPOTHESES
from ssl_perception.flow.rigid.matching import Matching, empty_matching
from ssl_perception.flow.rigid.sampling import (
    FINE_SOURCE,
    FINE_TARGET,
    MAX_SOURCE,
    MAX_TARGET,
    Sample,
    empty_sample,
)
from ssl_perception.flow.rigid.split import MAX_DEPTH

MAX_GUESSES = 4


class Scratch(NamedTuple):
    """Memory for one cluster at a time; one per lane. What begins with ``fine`` is for the
    acceptance of a large one, the rest for its registration.

    ``fresh`` (1,) is the next number for a part split off; lanes have every second number each.
    """

    fresh: NDArray[np.int64]
    sample: Sample
    matching: Matching
    fine_sample: Sample
    fine_matching: Matching
    fine_forward: NDArray[np.float32]
    fine_backward: NDArray[np.float32]
    fine_energy: NDArray[np.float64]
    fine_candidate: NDArray[np.float64]
    score: NDArray[np.int32]
    hypotheses: NDArray[np.float32]
    candidate: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    verdict: NDArray[np.float64]
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    energy: NDArray[np.float64]
    stack: NDArray[np.int32]


def scratch(reach: int, fresh: int) -> Scratch:
    """Memory for a lattice of half-width ``reach``; ``fresh``: the lane's first free number."""
    return Scratch(
        np.array([fresh]),
        empty_sample(),
        empty_matching(),
        empty_sample(FINE_SOURCE, FINE_TARGET),
        empty_matching(FINE_SOURCE, FINE_TARGET),
        np.zeros((2, FINE_SOURCE), np.float32),
        np.zeros((2, FINE_TARGET), np.float32),
        np.zeros((2, 2)),
        np.zeros((2, 4)),
        np.zeros((2 * reach + 1, 2 * reach + 1), np.int32),
        np.zeros((1 + MAX_HYPOTHESES + MAX_GUESSES, 2), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, 4)),
        np.zeros((4, 4)),
        np.zeros(4),
        np.zeros(MAX_SOURCE),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, MAX_SOURCE), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, MAX_TARGET), np.float32),
        np.zeros((2 + MAX_HYPOTHESES + MAX_GUESSES, 2)),
        np.zeros(2 * MAX_DEPTH + 2, np.int32),
    )
