"""The memory is bounded, keeps what is varied, and always knows its own geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_perception.config import ReplayMemoryConfig
from ssl_perception.depth.learning.replay_memory import ReplayMemory, frame_bytes
from ssl_perception.depth.student.architecture import NANO

IMAGE = np.zeros((120, 160, 3), np.uint8)
LABEL = np.zeros((30, 40), np.float32)


def feature(angle: float) -> np.ndarray:
    """A feature at an angle on a half circle: its distance to others grows with the angle."""
    vector = np.zeros(96, np.float32)
    vector[0], vector[1] = np.cos(angle), np.sin(angle)
    return vector


def fill(memory: ReplayMemory, angles: np.ndarray, value: int = 0) -> None:
    for angle in angles:
        memory.add(np.full_like(IMAGE, value), LABEL, feature(float(angle)))


def covering_radius(memory: ReplayMemory, angles: np.ndarray) -> float:
    return max(memory.novelty(feature(float(angle))) for angle in angles)


def test_never_more_than_asked_and_never_more_bytes() -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=20))
    before = memory.nbytes
    fill(memory, np.random.default_rng(0).uniform(0, 3, 200))
    assert len(memory) == memory.capacity == 20
    assert memory.nbytes == before
    assert ReplayMemory(
        ReplayMemoryConfig(frames=2000, megabytes=1)
    ).capacity == 2**20 // frame_bytes(NANO)


def test_what_goes_in_comes_out() -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=8))
    label = LABEL.copy()
    label[3, 4] = np.nan
    slot = memory.add(IMAGE + 7, label + 1.5, feature(0.1))
    assert slot is not None
    frames = memory.frames(np.array([slot]))
    assert (frames.images[0] == 7).all()
    np.testing.assert_array_equal(frames.labels[0], label + 1.5)


def test_old_place_survives_a_long_stay_in_a_new_one() -> None:
    """Room A briefly, then room B for ever: A is remembered, by a recent-only memory it is not."""
    random = np.random.default_rng(1)
    for policy, kept in (("coverage", True), ("recent", False)):
        memory = ReplayMemory(ReplayMemoryConfig(frames=20, policy=policy))
        fill(memory, random.uniform(0.0, 0.3, 30), value=1)
        fill(memory, random.uniform(2.0, 2.3, 1000), value=2)
        images = memory.frames(np.arange(len(memory))).images[:, 0, 0, 0]
        assert bool((images == 1).sum() >= 5) is kept


def test_coverage_beats_recency_on_a_walk() -> None:
    angles = np.linspace(0, 3, 600)
    covering, recent = (
        ReplayMemory(ReplayMemoryConfig(frames=16, policy=policy))
        for policy in ("coverage", "recent")
    )
    fill(covering, angles)
    fill(recent, angles)
    # 16 points can't cover an arc of 3 rad better than 0.09, knowing it all beforehand.
    assert covering_radius(covering, angles) < 0.4
    assert covering_radius(recent, angles) > 1.0


def test_repeats_are_passed_over_or_renew_their_twin() -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=8))
    fill(memory, np.linspace(0, 3, 8))
    before = np.sort(memory.features() @ feature(0.0))
    fill(memory, np.full(100, np.linspace(0, 3, 8)[3]))
    np.testing.assert_allclose(np.sort(memory.features() @ feature(0.0)), before, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(8, 14), st.integers(1, 60))
def test_nearest_neighbours_are_always_right(seed: int, capacity: int, count: int) -> None:
    random = np.random.default_rng(seed)
    memory = ReplayMemory(ReplayMemoryConfig(frames=capacity), seed=seed)
    for _ in range(count):
        if len(memory) and random.random() < 0.3:
            slot = int(random.integers(len(memory)))
            memory.refresh(slot, random.standard_normal(96).astype(np.float32))
        else:
            memory.add(IMAGE, LABEL, random.standard_normal(96).astype(np.float32))
    size = len(memory)
    if size < 2:
        return
    cosine = memory.features() @ memory.features().T
    distance = np.sqrt(np.maximum(2 - 2 * cosine, 0))
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_allclose(memory._gap[:size], distance.min(axis=1), atol=1e-3)


def test_restored_memory_is_the_saved_one() -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=8))
    fill(memory, np.linspace(0, 3, 30))
    copy = ReplayMemory(ReplayMemoryConfig(frames=8))
    for slot in range(len(memory)):
        frames = memory.frames(np.array([slot]))
        copy.restore(
            int(memory.serial[slot]), frames.images[0], frames.labels[0], memory.features()[slot]
        )
    np.testing.assert_allclose(copy.features(), memory.features(), atol=1e-6)
    np.testing.assert_allclose(copy._gap, memory._gap, atol=1e-6)
    added = copy.add(IMAGE, LABEL, -feature(1.0))
    assert added is not None and copy.serial[added] == memory.serial.max() + 1


def test_novelty_of_an_empty_memory_is_infinite() -> None:
    assert ReplayMemory(ReplayMemoryConfig(frames=8)).novelty(feature(0.0)) == np.inf


@pytest.mark.parametrize("count", [3, 50])
def test_sample_is_without_repeats(count: int) -> None:
    memory = ReplayMemory(ReplayMemoryConfig(frames=10))
    for value, angle in enumerate(np.linspace(0, 3, 10)):
        fill(memory, angle[None], value)
    frames = memory.sample(count)
    assert len(np.unique(frames.images[:, 0, 0, 0])) == len(frames.images) == min(count, 10)
