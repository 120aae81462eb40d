"""The baseline learns what textons can tell: how coarse or contrasted a texture looks."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from ssl_perception.config import TextonsConfig
from ssl_perception.depth.student.textons import Textons


def wall(distance: float, seed: int) -> np.ndarray:
    """A textured wall: the nearer, the coarser."""
    noise = np.random.default_rng(seed).standard_normal((120, 160)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0 / distance)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def flight(count: int, seed: int) -> list[tuple[np.ndarray, float]]:
    distances = np.random.default_rng(seed).uniform(0.5, 4.0, count)
    return [(wall(d, 1000 * seed + k), float(d)) for k, d in enumerate(distances)]


@pytest.mark.parametrize("regressor", ["knn", "ridge"])
def test_learns_distance_from_texture(regressor: str) -> None:
    textons = Textons(TextonsConfig(regressor=regressor))
    for image, distance in flight(160, seed=1):
        textons.learn(image, distance)
    test = flight(40, seed=2)
    error = [abs(math.log(textons.predict(image) / distance)) for image, distance in test]
    constant = [abs(math.log(2.0 / distance)) for _, distance in test]
    assert np.mean(error) < 0.35 * np.mean(constant)


def test_predicts_nothing_before_it_has_a_dictionary() -> None:
    textons = Textons(TextonsConfig(dictionary_frames=10))
    for image, distance in flight(9, seed=1):
        textons.learn(image, distance)
    assert math.isnan(textons.predict(wall(1.0, 0)))


def test_same_input_same_answer() -> None:
    answers = []
    for _ in range(2):
        textons = Textons(TextonsConfig(dictionary_frames=10), seed=3)
        for image, distance in flight(60, seed=1):
            textons.learn(image, distance)
        answers.append(textons.predict(wall(1.0, 7)))
    assert answers[0] == answers[1]


def test_memory_is_bounded() -> None:
    textons = Textons(TextonsConfig(dictionary_frames=10, samples=50))
    for image, distance in flight(120, seed=1):
        textons.learn(image, distance)
    assert len(textons._features) == len(textons._targets) == 50


def test_clear_ahead_is_as_far_as_it_goes() -> None:
    textons = Textons(TextonsConfig(dictionary_frames=10, regressor="knn"))
    for k in range(20):
        textons.learn(wall(1.0, k), math.inf)
    assert textons.predict(wall(1.0, 99)) == pytest.approx(textons.options.far)
