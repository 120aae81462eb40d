"""ICP of all clusters at once, in PyTorch, against the compiled kernels, cluster by cluster."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from ssl_perception.config import RigidClusterConfig
from ssl_perception.errors import InputError
from ssl_perception.flow.rigid import batched_icp, registration_device
from ssl_perception.flow.rigid.registration import ITERATIONS
from ssl_perception.flow.rigid.registration_device import (
    GPU,
    KERNELS,
    TRIALS,
    RegistrationDevice,
)
from ssl_perception.flow.solvers.rigid_cluster import ClusterFlow, Guesses, cluster_flow
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.types import FloatArray, PointCloud

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch finds no usable GPU here"
)
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
KEPT = 1e-3  # m by which the flow may differ


def _sides(centre: tuple[float, float, float], length: float, width: float) -> FloatArray:
    """(N, 3) points of two sides of a box 1.4 m high."""
    along, up = np.meshgrid(np.arange(-length / 2, length / 2, 0.08), np.arange(-0.7, 0.7, 0.12))
    across, high = np.meshgrid(np.arange(-width / 2, width / 2, 0.08), np.arange(-0.7, 0.7, 0.12))
    front = np.column_stack([along.ravel(), np.full(along.size, -width / 2), up.ravel()])
    side = np.column_stack([np.full(across.size, -length / 2), across.ravel(), high.ravel()])
    return (np.concatenate([front, side]) + centre).astype(np.float32)


def _street() -> tuple[PointCloud, PointCloud]:
    """Cars at several speeds, one of which touches a parked one; a walker; walls; point times."""
    rng = np.random.default_rng(7)
    standing = [_sides((x, y, 1.0), 4.2, 1.8) for x in (-18.0, -4.0, 20.0) for y in (-9.0, 9.0)]
    standing += [_sides((6.0, 14.0, 1.0), 12.0, 0.5), _sides((6.2, 3.0, 1.0), 3.0, 1.6)]
    movers = [
        (_sides((10.0, -3.5, 1.0), 4.2, 1.8), (1.2, 0.05)),
        (_sides((-12.0, 3.5, 1.0), 4.2, 1.8), (-0.8, 0.0)),
        (_sides((9.4, 3.0, 1.0), 3.2, 1.6), (0.6, 0.0)),
        (_sides((5.0, -7.0, 1.0), 0.5, 0.5), (0.0, 0.18)),
    ]

    bodies = [*((body, (0.0, 0.0)) for body in standing), *movers]
    shift = np.concatenate([np.tile(shift, (len(body), 1)) for body, shift in bodies])

    def seen(share: float) -> tuple[FloatArray, FloatArray]:
        points = np.concatenate([body for body, _ in bodies])
        points += rng.normal(0, 0.01, points.shape)
        time = rng.uniform(-0.02, 0.02, len(points)).astype(np.float32)
        points[:, :2] += shift * (share + time[:, None] / 0.1)
        return points.astype(np.float32), time

    (before, before_time), (after, after_time) = seen(0.0), seen(1.0)
    origin = np.array([0.0, 0.0, 1.8], np.float32)
    return (
        PointCloud(before, before_time, 0.0, "base", origin),
        PointCloud(after, after_time, 0.1, "base", origin),
    )


def _solved(
    monkeypatch: pytest.MonkeyPatch, device: str, seconds: float | None = None
) -> ClusterFlow:
    monkeypatch.setattr(RegistrationDevice, "choose", lambda self, setting: device)
    guesses = Guesses(
        np.array([[-15.0, 2.0, 0.0]], np.float32),
        np.array([[-9.0, 5.0, 2.0]], np.float32),
        np.array([[-8.0, 0.0, 0.0]], np.float32),
    )
    return cluster_flow(*_street(), deadline=Deadline(seconds), guesses=guesses)


def _require_same(solved: ClusterFlow, expected: ClusterFlow) -> None:
    assert (expected.state != 0).sum() >= 4
    np.testing.assert_array_equal(solved.state, expected.state)
    np.testing.assert_array_equal(solved.flow.moving, expected.flow.moving)
    np.testing.assert_allclose(solved.flow.flow, expected.flow.flow, atol=KEPT)
    np.testing.assert_allclose(solved.energy, expected.energy, atol=1e-4)
    assert solved.flow.iterations == expected.flow.iterations


def test_it_finds_what_the_kernels_find(monkeypatch: pytest.MonkeyPatch) -> None:
    _require_same(_solved(monkeypatch, "cpu"), _solved(monkeypatch, KERNELS))


def test_the_steps_that_count_are_those_taken_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _solved(monkeypatch, KERNELS)
    at_rest = np.zeros((ITERATIONS, 4))
    monkeypatch.setattr(
        batched_icp, "_steps", lambda problems, slot, *_: np.tile(at_rest, (len(slot), 1, 1))
    )
    assert _solved(monkeypatch, "cpu").flow.iterations < expected.flow.iterations


def test_it_makes_no_difference_how_many_are_solved_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = _solved(monkeypatch, "cpu")
    monkeypatch.setattr(batched_icp, "PAIRS", 200_000)
    _require_same(_solved(monkeypatch, "cpu"), together)


@needs_gpu
def test_it_finds_the_same_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _require_same(_solved(monkeypatch, GPU), _solved(monkeypatch, KERNELS))


def test_without_time_nothing_is_computed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    solved = _solved(monkeypatch, "cpu", seconds=1e-6)
    assert not solved.flow.converged and not solved.flow.moving.any()


@without_gpu
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="no usable GPU"):
        cluster_flow(*_street(), RigidClusterConfig(device="cuda"))


@without_gpu
def test_without_a_gpu_auto_never_loads_pytorch() -> None:
    program = (
        "import sys\n"
        "from ssl_perception.flow.rigid.registration_device import RegistrationDevice\n"
        "import ssl_perception.flow.solvers.rigid_cluster\n"
        "assert RegistrationDevice().choose('auto') == RegistrationDevice().choose('cpu') == ''\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize(("gpu", "kernels", "faster"), [(0.01, 0.03, GPU), (0.05, 0.03, KERNELS)])
def test_auto_tries_both_and_stays_with_the_faster(
    monkeypatch: pytest.MonkeyPatch, gpu: float, kernels: float, faster: str
) -> None:
    monkeypatch.setattr(registration_device, "_gpu_is_usable", lambda: True)
    device, taken = RegistrationDevice(), []
    for sweep in range(2 * TRIALS):
        taken.append(device.choose("auto"))
        slow_start = 1.0 if sweep < 2 else 0.0
        device.record(taken[-1], slow_start + (gpu if taken[-1] == GPU else kernels))
    assert taken.count(GPU) == taken.count(KERNELS) == TRIALS
    assert device.choose("auto") == faster
