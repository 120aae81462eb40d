"""Tracks: who is who from sweep to sweep."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.config import TrackingConfig
from ssl_perception.flow.online.tracking import Detection, Tracker

STILL = np.eye(4)


def seen(x: float, speed: float) -> Detection:
    box = np.array([[x, 0.0, 0.0], [x + 4.0, 2.0, 1.5], [x, 2.0, 0.0], [x + 4.0, 0.0, 1.5]])
    velocity = np.array([speed, 0.0, 0.0])
    return Detection(box.astype(np.float32), velocity, 1.0, np.arange(4))


def test_a_track_goes_on_where_it_is_predicted() -> None:
    tracker = Tracker()
    (first,) = tracker.update([seen(10.0, 10.0)])
    (prediction,) = tracker.advance(STILL, 0.1)
    assert prediction.lower[0] == pytest.approx(11.0)
    (again,) = tracker.update([seen(11.0, 10.0)])
    assert again.id == first.id and again.age == pytest.approx(0.1)


@pytest.mark.parametrize(("x", "speed"), [(31.0, 10.0), (11.0, -15.0)])
def test_what_is_beyond_the_gate_is_somebody_else(x: float, speed: float) -> None:
    """The only detection, but too far from the only track in place or in velocity."""
    tracker = Tracker()
    (first,) = tracker.update([seen(10.0, 10.0)])
    tracker.advance(STILL, 0.1)
    (other,) = tracker.update([seen(x, speed)])
    assert other.id != first.id and other.age == 0.0
    assert other.velocity[0] == pytest.approx(speed), "not filtered with the other's"


def test_the_gate_is_a_setting() -> None:
    tracker = Tracker(TrackingConfig(gate=100.0))
    (first,) = tracker.update([seen(10.0, 10.0)])
    tracker.advance(STILL, 0.1)
    assert tracker.update([seen(12.0, 10.0)])[0].id == first.id
