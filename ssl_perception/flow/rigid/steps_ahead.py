"""Steps of ICP that were computed ahead of the clusters' registration, for all of them at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.registration import ITERATIONS


class StepsAhead(NamedTuple):
    """See ``batched_icp``.

    Attributes:
        slot: (room,) int32 per cluster, its row in ``steps``; -1: none was computed.
        steps: (S, H, ITERATIONS, 4) float64, of each of its hypotheses.
        none: (0, 4).
    """

    slot: NDArray[np.int32]
    steps: NDArray[np.float64]
    none: NDArray[np.float64]


def no_steps(room: int) -> StepsAhead:
    """Each step is computed when it is its turn."""
    return StepsAhead(
        np.full(room, -1, np.int32), np.zeros((0, 0, ITERATIONS, 4)), np.zeros((0, 4))
    )
