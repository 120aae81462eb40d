"""A learner that is interrupted, or slow to start, is not lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.config import LearnerConfig, ReplayMemoryConfig
from ssl_perception.depth.learning.learner_process import LearnerProcess
from ssl_perception.io.model_store import ModelStore

pytestmark = pytest.mark.processes

OPTIONS = LearnerConfig(prior="none", memory=ReplayMemoryConfig(frames=64), save_seconds=3000.0)
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
LABEL = np.linspace(-0.5, 1.5, 1200, dtype=np.float32).reshape(30, 40)


def feed(process: LearnerProcess, until: int) -> None:
    """Offer frames until the learner has taken so many steps."""
    end = time.monotonic() + 120.0
    while process.steps < until:
        assert process.alive, "the learner has ended"
        assert time.monotonic() < end, f"only {process.steps} steps"
        process.offer(IMAGE, LABEL, time.monotonic())
        time.sleep(0.01)


@pytest.mark.parametrize("learning", [False, True])
def test_an_interrupted_learner_saves_when_it_is_stopped(learning: bool, tmp_path: Path) -> None:
    """Ctrl-C goes to every process of the group."""
    process = LearnerProcess(tmp_path, OPTIONS)
    try:
        assert process.pid is not None
        if learning:
            feed(process, 1)
        os.kill(process.pid, signal.SIGINT)
        feed(process, 3)
        assert ModelStore(tmp_path).newest() is None
    finally:
        process.stop(30.0)
    generation = ModelStore(tmp_path).load()
    assert generation is not None and generation.notes["steps"] == process.steps


def test_a_learner_that_takes_a_minute_to_start_is_not_killed(tmp_path: Path) -> None:
    process = LearnerProcess(tmp_path, OPTIONS)
    try:
        os.kill(process.pid or 0, signal.SIGSTOP)  # as slow as can be
        time.sleep(1.0)
        assert not process.keep_alive(silence=0.5)
        os.kill(process.pid or 0, signal.SIGCONT)
        feed(process, 1)
        os.kill(process.pid or 0, signal.SIGSTOP)
        time.sleep(1.0)
        assert process.keep_alive(silence=0.5), "once it has started it must not hang"
    finally:
        process.stop(30.0)
