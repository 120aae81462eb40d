"""A new place is told from a known one by the mean of novelty over a while."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl_perception.config import StudentConfig
from ssl_perception.depth.student.inference import caution
from ssl_perception.depth.student.place import KnownPlace, PlaceMonitor


def walk(seed: int, frames: int, centre: np.ndarray, spread: float = 0.1) -> np.ndarray:
    """Unit features of a flight about one place: each view twenty times in a row."""
    random = np.random.default_rng(seed)
    views = centre + spread * random.normal(size=(frames // 20, 96))
    features = np.repeat(views, 20, axis=0) + 0.001 * random.normal(size=(frames, 96))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


HERE, ELSEWHERE = np.eye(96)[0], np.eye(96)[0] + 1.0 * np.eye(96)[1]


def test_usual_is_measured_between_frames_of_other_times() -> None:
    """Successive frames are alike: a frame's own neighbours say nothing about a return."""
    known = KnownPlace(walk(0, 1000, HERE))
    back = [known.distance(feature) for feature in walk(1, 1000, HERE)]
    assert known.usual == pytest.approx(np.mean(back), rel=0.1)
    assert known.usual > 0.3


def test_too_few_frames_tell_nothing() -> None:
    known = KnownPlace(walk(0, 60, HERE))
    assert math.isnan(known.usual)
    assert math.isnan(PlaceMonitor(10.0).update(5.0, known, 0.0))
    assert KnownPlace(np.zeros((0, 96), np.float32)).distance(HERE) == 0.0


def test_the_mean_parts_known_from_new_where_single_frames_overlap() -> None:
    known = KnownPlace(walk(0, 1000, HERE))
    single: dict[str, list[float]] = {}
    means = {}
    for name, centre in (("here", HERE), ("elsewhere", ELSEWHERE)):
        monitor = PlaceMonitor(10.0)
        ratios = []
        for k, feature in enumerate(walk(2, 600, centre)):
            distance = known.distance(feature)
            ratios.append(distance / known.usual)
            means[name] = monitor.update(distance, known, 0.1 * k)
        single[name] = ratios
    assert max(single["here"]) > min(single["elsewhere"])
    assert means["here"] < 1.1 < means["elsewhere"]


def test_a_gap_or_a_clock_that_jumps_begins_anew() -> None:
    known = KnownPlace(walk(0, 1000, HERE))
    monitor = PlaceMonitor(2.0)
    for k in range(100):
        monitor.update(2.0 * known.usual, known, 0.1 * k)
    assert monitor.mean == pytest.approx(2.0)
    assert monitor.update(known.usual, known, 9.95) == pytest.approx(2.0, abs=0.05)
    assert monitor.update(known.usual, known, 1000.0) == pytest.approx(1.0)
    assert monitor.update(3.0 * known.usual, known, 5.0) == pytest.approx(3.0)


def test_caution_grows_before_the_place_counts_as_new() -> None:
    limit = StudentConfig().new_place
    assert caution(math.nan, limit) == caution(0.8, limit) == caution(1.0, limit) == 1.0
    assert caution(0.5 * (1.0 + limit), limit) == pytest.approx(1.5)
    assert caution(limit, limit) == caution(9.0, limit) == 2.0
