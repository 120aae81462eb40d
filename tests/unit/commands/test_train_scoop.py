"""``train scoop`` that is interrupted loses nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ssl_perception.commands import train_scoop
from ssl_perception.datasets import FlowSample
from ssl_perception.flow.scoop.training import STEPS_PER_PAIR, Pairs
from ssl_perception.types import PointCloud

STEPS = STEPS_PER_PAIR + 6


def sample(number: int) -> FlowSample:
    rng = np.random.default_rng(number)
    source, target = (
        PointCloud(rng.uniform(-4, 4, (200, 3)).astype(np.float32), stamp=0.1 * k) for k in (0, 1)
    )
    return FlowSample(str(number), source, target, None, np.ones(200, np.bool_))


def train(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[int], FlowSample]
) -> dict[str, float]:
    monkeypatch.setattr(train_scoop, "HELD_OUT", 1)
    monkeypatch.setattr(
        train_scoop, "_data", lambda *_: (Pairs(make, 100), Pairs(lambda k: sample(900 + k), 1))
    )
    return train_scoop.run_train_scoop(folder, None, None, STEPS, 64, 0, "cpu", Console(quiet=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_where_it_was(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "whole", monkeypatch, sample)
    interrupted = False

    def once(k: int) -> FlowSample:
        nonlocal interrupted
        if k == 1 and not interrupted:  # while a later step is being prepared
            interrupted = True
            signal.raise_signal(number)
        return sample(k)

    before = signal.getsignal(number)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as end:
        train(tmp_path / "parts", monkeypatch, once)
    if number == signal.SIGTERM:
        assert isinstance(end.value, SystemExit) and end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(number) is before
    assert (tmp_path / "parts" / "checkpoint.safetensors").exists()
    assert not (tmp_path / "parts" / "scoop.safetensors").exists(), "no evaluation so far"
    assert train(tmp_path / "parts", monkeypatch, sample)["steps"] == STEPS
    for name in ("checkpoint.safetensors", "scoop.safetensors"):
        whole, parts = (tmp_path / folder / name for folder in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes(), name
