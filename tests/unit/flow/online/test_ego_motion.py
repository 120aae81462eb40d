"""Ego motion: what is the same each time, and what is nearly the same."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import EgoMotionConfig
from ssl_perception.flow.online.ego_motion import EgoMotion

RNG = np.random.default_rng(1)
GROUND = np.column_stack([RNG.uniform(-20, 20, (9000, 2)), RNG.normal(-1.7, 0.01, 9000)])
WALLS = RNG.uniform((-20, -0.1, -1.7), (20, 0.1, 3), (9000, 3))
WALLS[:, 1] += np.where(np.arange(9000) % 2, 9.0, -8.0)
WALLS[::3] = WALLS[::3][:, [1, 0, 2]]
WORLD = np.concatenate([GROUND, WALLS])
SWEEPS = [
    (WORLD - [0.5 * k, 0.0, 0.0] + RNG.normal(0, 0.01, WORLD.shape)).astype(np.float32)
    for k in range(4)
]


def motions(threads: int) -> np.ndarray:
    """(3, 4, 4) of the sweeps."""
    motion = EgoMotion(EgoMotionConfig(threads=threads))
    found = [motion.register(sweep, 0.1) for sweep in SWEEPS]
    assert found[0] is None
    return np.array(found[1:], np.float64)


def test_one_thread_gives_the_same_bits() -> None:
    np.testing.assert_array_equal(motions(1), motions(1))


def test_more_threads_give_the_same_to_a_hundredth_of_a_millimetre() -> None:
    one = motions(1)
    assert one[:, 0, 3] == pytest.approx(-0.5, abs=0.02)
    for _ in range(3):
        np.testing.assert_allclose(motions(2), one, rtol=0.0, atol=1e-5)
