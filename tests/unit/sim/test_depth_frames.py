"""The views that a prior is trained on: true depth, from places that differ, by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ssl_perception_sim.recording.depth_frames import (
    Example,
    drone_frames,
    room_frames,
    street_frames,
)


@pytest.mark.parametrize("frames", [room_frames, drone_frames])
def test_views_in_a_room(frames: Callable[[int, int], Iterator[Example]]) -> None:
    first, again, other = (list(frames(seed, 6)) for seed in (7, 7, 8))
    for (image, label), (same_image, same_label) in zip(first, again, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(label, same_label)
        assert image.shape == (120, 160, 3) and label.shape == (30, 40)
        assert np.isfinite(label).all(), "a room is closed"
        assert label.min() > -2.5 and label.max() < np.log(14.0)
    assert min(label.min() for _, label in first) < np.log(1.1), "some look at what is near"
    assert (first[0][0] != other[0][0]).mean() > 0.5


def test_views_along_a_street() -> None:
    ((image, label),) = street_frames(7, 1)
    assert image.std() > 10.0
    sky = np.isnan(label)
    assert 0.02 < sky.mean() < 0.6 and sky[:8].mean() > 2 * sky[-8:].mean()
    assert np.nanmax(label) > np.log(20.0)
