"""Small clouds and motions for datasets written by tests."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def points(count: int, seed: int = 0, spread: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-spread, spread, (count, 3)).astype(np.float32)


def motion(yaw: float = 0.02, shift: tuple[float, float, float] = (-0.8, 0.1, 0.0)) -> np.ndarray:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    transform[:3, 3] = shift
    return transform


def moved(cloud: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return (cloud @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)
