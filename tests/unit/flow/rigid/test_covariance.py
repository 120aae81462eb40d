"""Given the points of a surface, the metric that generalised ICP measures residuals by."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.flow.rigid.covariance import covariances


def matrices(points: np.ndarray, surfaces: bool) -> np.ndarray:
    """(N, 3, 3) the covariance of each of (N, 3) points."""
    packed = np.zeros((len(points), 6))
    covariances(np.ascontiguousarray(points.T, np.float32), len(points), surfaces, packed)
    return packed[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)


def test_of_a_surface_only_the_normal_keeps_its_variance() -> None:
    """A tilted plane, sampled far more densely one way than the other, as by a lidar's rings."""
    rng = np.random.default_rng(0)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    u, v = np.meshgrid(np.arange(-1.0, 1.0, 0.05), np.arange(-1.0, 1.0, 0.2))
    points = np.stack([u.ravel(), v.ravel(), rng.normal(0.0, 0.01, u.size)], axis=1) @ axes.T
    plain = np.linalg.eigvalsh(matrices(points, surfaces=False))
    variance, direction = np.linalg.eigh(matrices(points, surfaces=True))
    assert variance[:, 0] == pytest.approx(plain[:, 0], rel=1e-6)
    assert variance[:, 1:] == pytest.approx(0.16)
    assert np.abs(direction[:, :, 0] @ axes[:, 2]).min() > 0.99


def test_few_neighbours_tell_no_direction() -> None:
    for surfaces in (False, True):
        found = matrices(np.array([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [5.0, 0.0, 0.0]]), surfaces)
        assert found == pytest.approx(np.broadcast_to(0.02 * np.eye(3), (3, 3, 3)))
