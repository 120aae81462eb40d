"""The surface that the ground spans, and what lies on it."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.flow.online.ground_surface import (
    fit_surface,
    heights_above,
    mark_ground,
)
from ssl_perception.types import BoolArray, FloatArray


def plane(slope: float = 0.0) -> FloatArray:
    """A point every 0.25 m of a plane 1.7 m below the sensor, (N, 3)."""
    axis = np.arange(-25.0, 25.0, 0.25)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    return np.stack([x, y, slope * x - 1.7], axis=1).astype(np.float32)


def without_patch(points: FloatArray) -> BoolArray:
    """Ground but for a patch 3 m wide and 5 m long, as a segmentation drops it."""
    return ~((points[:, 0] > 10) & (points[:, 0] < 15) & (np.abs(points[:, 1]) < 1.5))


@pytest.mark.parametrize("slope", [0.0, 0.06])
def test_a_dropped_patch_of_road_is_ground(slope: float) -> None:
    points = plane(slope)
    ground = without_patch(points)
    mark_ground(points, fit_surface(points, ground), ground)
    assert ground.all()


def test_what_stands_in_the_dropped_patch_is_not() -> None:
    road = plane()
    kerb = np.array([[12.0, 0.0, -1.5], [12.5, 0.5, -1.55]], np.float32)
    pole = np.array([[13.0, 0.0, z] for z in np.arange(-1.5, 0.5, 0.1)], np.float32)
    points = np.concatenate([road, kerb, pole])
    ground = np.concatenate([without_patch(road), np.zeros(len(kerb) + len(pole), np.bool_)])
    mark_ground(points, fit_surface(points, ground), ground)
    assert ground[: len(road)].all() and not ground[len(road) :].any()


def test_a_mirror_image_below_the_road_does_not_bend_the_surface() -> None:
    road = plane()
    kept = without_patch(road)
    image = np.array([[12.0 + 0.1 * k, 0.2, -5.2] for k in range(8)], np.float32)
    points = np.concatenate([road, image])
    ground = np.concatenate([kept, np.ones(len(image), np.bool_)])
    surface = fit_surface(points, ground)
    np.testing.assert_allclose(heights_above(surface, road), 0.0, atol=1e-4)
    mark_ground(points, surface, ground)
    assert ground[: len(road)].all()


def test_heights_are_unknown_where_no_ground_is_near() -> None:
    points = plane()
    surface = fit_surface(points, np.ones(len(points), np.bool_))
    far = np.array([[40.0, 0.0, 0.0], [100.0, 0.0, 0.0], [-1e6, 0.0, 0.0]], np.float32)
    assert np.isnan(heights_above(surface, far)).all()
    nothing = fit_surface(points, np.zeros(len(points), np.bool_))
    assert np.isnan(heights_above(nothing, points)).all()
