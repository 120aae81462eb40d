"""A deadline that ends within what a solver prepares, by one thread's processor time.

Other load hardly changes that clock; threads that spin while they wait for one another, as OpenMP's
do, would: there is one. The steps of a descent are looked at in test_solvers.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssl_perception.config import FastNsfConfig, FlowConfig, NsfpConfig
from ssl_perception.flow import estimate_flow
from ssl_perception.flow.neural.distance_transform import DistanceField
from ssl_perception.runtime import deadline
from ssl_perception.runtime.deadline import Deadline, DeadlinePassed
from ssl_perception.types import PointCloud, SceneFlow


@pytest.fixture
def processor_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(deadline, "time", SimpleNamespace(perf_counter=time.thread_time))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cloud(seed: int, count: int) -> PointCloud:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-40, -40, 0), (40, 40, 6), (count, 3)).astype(np.float32)
    return PointCloud(points, stamp=0.1 * seed)


def timed(
    method: str, seconds: float | None, options: FlowConfig, count: int
) -> tuple[SceneFlow, float]:
    start = time.thread_time()
    flow = estimate_flow(cloud(0, count), cloud(1, count), method, seconds, options=options)
    return flow, time.thread_time() - start


@pytest.mark.usefixtures("processor_clock")
@pytest.mark.parametrize(
    ("method", "prepared"),
    [
        ("scoop:correspondence", "scoop:correspondence"),
        ("scoop:all", "scoop:correspondence"),
    ],
)
def test_it_ends_while_correspondence_is_sought(method: str, prepared: str) -> None:
    options = FlowConfig()
    timed(method, 0.2, options, 2_500)  # imports and compilers are not what is timed
    _, whole = timed(prepared, None, options, 4_000)
    flow, spent = timed(method, whole / 4, options, 4_000)
    assert spent < 1.5 * whole / 4
    assert not flow.converged and flow.iterations == 0
    assert not flow.flow.any() and not flow.moving.any()
    assert not flow.confidence.any(), "nothing is known, which isn't that nothing moves"


@pytest.mark.usefixtures("processor_clock")
@pytest.mark.parametrize("method", ["nsfp", "scoop:8192"])
def test_the_end_of_a_fit_is_within_the_deadline(method: str) -> None:
    """The flow of all points and their confidence take time, too: here as much as some steps."""
    options = FlowConfig(nsfp=NsfpConfig(points=512, patience=5000, learning_rate=8e-3))
    count = 30_000 if method == "nsfp" else 4_000
    timed(method, 0.2, options, 2_500)
    seconds = 1.0 if method == "nsfp" else 2.5
    flow, spent = timed(method, seconds, options, count)
    assert flow.iterations > 1 and not flow.converged
    assert spent < 1.2 * seconds
    assert (flow.confidence > 0).any()


def test_a_field_is_given_up_at_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that ticks whenever it is read: it is read all along."""
    now = iter(range(10**9))
    monkeypatch.setattr(deadline, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    points = torch.rand(500, 3) * 4.0
    low, high = points.amin(dim=0), points.amax(dim=0)
    DistanceField(points, low, high, 0.1, Deadline(200))
    looks = next(now)
    with pytest.raises(DeadlinePassed):
        DistanceField(points, low, high, 0.1, Deadline(20))
    assert 40 < looks < 200 and next(now) - looks < 30
    options = FastNsfConfig(cell=0.2)
    flow = estimate_flow(cloud(0, 500), cloud(1, 500), "fast_nsf", seconds=50, options=options)
    assert flow.seconds < 60, "of more than 400 looks at this field"
    assert not flow.converged and not flow.flow.any() and not flow.confidence.any()
