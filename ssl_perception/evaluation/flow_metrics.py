"""How wrong a scene flow is: the figures that the papers report.

Lengths are metres per pair. A figure over no point at all is NaN, never 0: nothing was measured.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets import FlowSample
from ssl_perception.types import BoolArray, FloatArray, SceneFlow

SMALL = 1e-4  # m, keeps relative errors of points that stand still finite
PARTS = ("epe_dynamic_foreground", "epe_static_foreground", "epe_static_background")
FIGURES = (
    "epe",
    "epe_three_way",
    *PARTS,
    "acc_strict",
    "acc_relax",
    "outliers",
    "angle_error",
    "dynamic_iou",
    "points",
)


def score(sample: FlowSample, answer: SceneFlow) -> dict[str, float]:
    """All figures of one pair, over the points whose truth is valid.

    Args:
        sample: with truth. Where it doesn't tell foreground from background all of it counts as
            foreground, and the background figures are NaN. Where it doesn't tell what moves over
            ground (KITTI scene flow) the three parts, their mean and the IoU are NaN.

    Returns:
        ``epe``: mean end-point error |f - f*|.
        ``epe_dynamic_foreground``, ``epe_static_foreground``, ``epe_static_background``: its three
        parts, and ``epe_three_way`` their mean (Chodosh et al., WACV 2024); dynamic means moving
        at 0.5 m/s or more over ground.
        ``acc_strict``, ``acc_relax``, ``outliers``: see the functions of these names.
        ``angle_error``: radians, over points that are dynamic; over all where that isn't labelled.
        ``dynamic_iou``: of the moving flag with the truth.
        ``points``: how many counted.
    """
    assert sample.flow is not None
    valid = sample.valid
    truth, flow = sample.flow[valid], answer.flow[valid]
    error = np.linalg.norm(flow - truth, axis=1)
    parts, iou = dict.fromkeys(PARTS, math.nan), math.nan
    directed = np.ones(len(truth), np.bool_)
    if sample.dynamic is not None:
        directed = dynamic = sample.dynamic[valid]
        foreground = np.ones_like(dynamic)
        if sample.foreground is not None:
            foreground = sample.foreground[valid]
        subsets = (dynamic & foreground, ~dynamic & foreground, ~dynamic & ~foreground)
        parts = {part: _mean(error[subset]) for part, subset in zip(PARTS, subsets, strict=True)}
        iou = intersection_over_union(answer.moving[valid], dynamic)
    return {
        "epe": _mean(error),
        "epe_three_way": three_way(parts),
        **parts,
        "acc_strict": accuracy(error, truth, 0.05),
        "acc_relax": accuracy(error, truth, 0.10),
        "outliers": outliers(error, truth),
        "angle_error": angle_error(flow[directed], truth[directed]),
        "dynamic_iou": iou,
        "points": float(valid.sum()),
    }


def three_way(parts: dict[str, float]) -> float:
    """Mean of the parts that have points, metres."""
    known = [value for value in parts.values() if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def accuracy(error: NDArray[np.floating], truth: FloatArray, bound: float) -> float:
    """Share of points with an error below ``bound`` metres or below ``bound`` of the true length.

    ``bound`` 0.05 is AccS, 0.10 AccR (Liu et al., FlowNet3D, CVPR 2019).
    """
    relative = error / (np.linalg.norm(truth, axis=1) + SMALL)
    return _mean((error < bound) | (relative < bound))


def outliers(error: NDArray[np.floating], truth: FloatArray) -> float:
    """Share of points wrong by more than 0.3 m or 10 % (Gu et al., HPLFlowNet, CVPR 2019)."""
    relative = error / (np.linalg.norm(truth, axis=1) + SMALL)
    return _mean((error > 0.3) | (relative > 0.1))


def angle_error(flow: FloatArray, truth: FloatArray) -> float:
    """Mean angle between the flow and the truth, radians (NSFP's theta).

    A flow of length 0 has no direction; it counts as a right angle, as in NSFP's code.
    """
    lengths = np.linalg.norm(flow, axis=1) * np.linalg.norm(truth, axis=1)
    cosine = np.einsum("ij,ij->i", flow, truth) / np.maximum(lengths, 1e-12)
    return _mean(np.arccos(np.clip(cosine, -1.0, 1.0)))


def intersection_over_union(said: BoolArray, true: BoolArray) -> float:
    """|said and true| / |said or true|; NaN when there is neither."""
    union = int((said | true).sum())
    return float((said & true).sum() / union) if union else float("nan")


def _mean(values: NDArray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else float("nan")
