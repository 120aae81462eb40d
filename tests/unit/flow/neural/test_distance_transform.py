"""Distances: against brute force, and their gradients against finite differences in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_perception.errors import InputError
from ssl_perception.flow.neural.coordinate_network import CoordinateNetwork
from ssl_perception.flow.neural.distance_transform import (
    DistanceField,
    NeighbourIndex,
    chamfer,
    squared_distance_transform,
    squared_distance_transform_on_gpu,
)

RNG = np.random.default_rng(0)


def cloud(count: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, (count, 3)))


def brute_force(occupied: np.ndarray) -> np.ndarray:
    places = np.argwhere(occupied)
    grid = np.stack(np.meshgrid(*map(np.arange, occupied.shape), indexing="ij"), -1)
    return ((grid[..., None, :] - places) ** 2).sum(-1).min(-1)


def test_distance_transforms_are_exact() -> None:
    occupied = RNG.random((9, 23, 7)) < 0.02
    occupied[4, 11, 3] = True
    start = np.where(occupied, 0.0, np.inf).astype(np.float32)
    on_cpu, elsewhere = start.copy(), torch.from_numpy(start.copy())
    squared_distance_transform(on_cpu)
    squared_distance_transform_on_gpu(elsewhere)
    np.testing.assert_array_equal(on_cpu, brute_force(occupied))
    np.testing.assert_array_equal(elsewhere.numpy(), brute_force(occupied))


def test_the_transform_on_a_gpu_ends_when_nothing_can_gain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of nine lines along x eight are empty, and stay infinite until the other axes' turn."""
    occupied = np.zeros((200, 3, 3), np.bool_)
    occupied[::4, 1, 1] = True
    field = torch.from_numpy(np.where(occupied, 0.0, np.inf).astype(np.float32))
    minimum, shifts = torch.minimum, []

    def counted(*arguments: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        shifts.append(1)
        return minimum(*arguments, out=out)

    monkeypatch.setattr(torch, "minimum", counted)
    squared_distance_transform_on_gpu(field)
    np.testing.assert_array_equal(field.numpy(), brute_force(occupied))
    assert len(shifts) == 2 * (15 + 2 + 2)


def test_nearest_neighbours_are_exact() -> None:
    points, queries = cloud(200), cloud(50, seed=1)
    expected = torch.cdist(queries, points).argmin(dim=1)
    assert torch.equal(NeighbourIndex(points).nearest(queries), expected)
    near = NeighbourIndex(points).nearest(queries + 100.0, within=1.0)
    assert (near == len(points)).all(), "none near enough"


def test_chamfer_is_what_the_paper_says() -> None:
    moving = torch.tensor([[0.0, 0, 0], [5.0, 0, 0]])
    fixed = torch.tensor([[1.0, 0, 0], [0.0, 0.5, 0]])
    # 0.25 and (4^2 cut to 0) over 2 points; 1 and 0.25 over 2 points
    assert chamfer(moving, fixed, truncation=2.0).item() == pytest.approx(0.125 + 0.625)


def test_gradients_of_chamfer() -> None:
    moving = cloud(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: chamfer(m, cloud(5, seed=1), truncation=2.0), moving)


def test_gradients_of_the_distance_field() -> None:
    points = cloud(40, scale=2.0)
    field = DistanceField(points, points.amin(dim=0), points.amax(dim=0), 0.25)
    inside = cloud(12, seed=2, scale=0.8).requires_grad_()
    assert torch.autograd.gradcheck(field.lookup, inside, eps=1e-7, atol=1e-5)


def test_gradients_of_the_network_with_its_silent_units_left_out() -> None:
    network = CoordinateNetwork(8, 3, seed=0, start="uniform").double()
    points = cloud(20, scale=3.0)
    parameters = list(network.parameters())

    def flow(*weights: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            network, dict(zip(dict(network.named_parameters()), weights, strict=True)), points
        )

    assert torch.autograd.gradcheck(flow, tuple(parameters))


def test_the_sparse_network_is_the_dense_one() -> None:
    network = CoordinateNetwork(128, 8, seed=1, start="xavier").double()
    points = cloud(300, scale=20.0)
    signal = points
    for linear in list(network.linears)[:-1]:
        signal = torch.relu(linear(signal))
    torch.testing.assert_close(network(points), network.linears[-1](signal))


def test_a_box_too_large_for_memory_is_refused() -> None:
    points = torch.tensor([[0.0, 0, 0], [5000.0, 5000.0, 50.0]])
    with pytest.raises(InputError, match="million cells"):
        DistanceField(points, points.amin(dim=0), points.amax(dim=0), 0.1)
