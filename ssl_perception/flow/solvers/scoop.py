"""SCOOP: Self-Supervised Correspondence and Optimization-Based Scene Flow (Lang et al., CVPR 2023).

    features ─► transport ─► soft correspondence, confidence ─► refinement on this pair ─► flow

The correspondence network was trained without labels (``ssl-perception train scoop``); the
refinement is a free correction per point, descended at run time. Above ``dense_points`` the
transport is over the nearest candidates only or, as published, over all targets in the support, a
block of points at a time: memory grows with N and not with N x M.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree

from ssl_perception.config import FlowConfig, ScoopConfig
from ssl_perception.flow.neural.coordinate_network import by_direction
from ssl_perception.flow.scoop.correspondence import (
    Correspondence,
    CorrespondenceModel,
    all_pairs,
    correspond,
    correspond_in_blocks,
    nearest_pairs,
)
from ssl_perception.flow.scoop.refinement import Refined, refine
from ssl_perception.flow.scoop.set_conv import neighbour_graph
from ssl_perception.flow.scoop.static_suppression import StaticSuppression
from ssl_perception.flow.scoop.weights import load_into
from ssl_perception.runtime.deadline import Deadline, DeadlinePassed
from ssl_perception.runtime.determinism import deterministic
from ssl_perception.runtime.shipped import shipped
from ssl_perception.runtime.torch_device import choose_device
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from ssl_perception.runtime.onnx_session import Provider

MOVING_SPEED = 0.5  # m/s over ground: Argoverse's 0.05 m in 0.1 s
SWEEP = 0.1  # s assumed between clouds that carry no stamps
INTERPOLATION = 3  # solved points from which the others take their flow


def solve(
    source: PointCloud, target: PointCloud, options: FlowConfig, deadline: Deadline, seed: int
) -> SceneFlow:
    """See ``flow.Solver``."""
    settings = options.scoop
    device = choose_device(settings.device)
    model = _model(settings.weights, str(device))
    centre = np.median(source.points, axis=0).astype(np.float32)
    all_source, all_target = source.points - centre, target.points - centre
    # sorted: permuting points changes nothing
    order, target_order = by_direction(all_source), by_direction(all_target)
    chosen = order[_sample(len(order), settings.points, seed)]
    sampled_source = all_source[chosen]
    sampled_target = all_target[target_order[_sample(len(target_order), settings.points, seed + 1)]]

    interval = target.stamp - source.stamp
    x, y = (torch.from_numpy(cloud).to(device) for cloud in (sampled_source, sampled_target))
    gain = settings.refinement.static_suppression
    suppress: StaticSuppression | None = None
    with deterministic():
        try:
            if gain > 0.0:
                suppress = StaticSuppression(sampled_source, sampled_target, gain, deadline)
            found = find_correspondence(model, x, y, settings, deadline)
        except DeadlinePassed:
            return SceneFlow.unknown(len(all_source), interval, deadline.elapsed)
    certain = found.confidence.cpu().numpy()

    def answer(flow: torch.Tensor) -> tuple[FloatArray, FloatArray]:
        kept = flow.cpu().numpy()
        kept = kept if suppress is None else suppress(kept)
        return _spread(all_source, sampled_source, chosen, kept, certain)

    refined = Refined(found.flow, 0, not deadline.passed)
    if settings.refinement.steps > 0 and refined.converged:
        limit = deadline
        if math.isfinite(deadline.end):  # what the end takes is tried out and kept back
            before = deadline.elapsed
            answer(found.flow)
            limit = deadline.earlier(deadline.elapsed - before)
        with deterministic():
            refined = refine(x, y, found.flow, found.confidence, settings.refinement, limit)
    whole, certainty = answer(refined.flow)
    return SceneFlow(
        flow=whole,
        moving=np.linalg.norm(whole, axis=1) >= MOVING_SPEED * (abs(interval) or SWEEP),
        confidence=certainty,
        interval=interval,
        seconds=deadline.elapsed,
        iterations=refined.iterations,
        converged=refined.converged,
    )


@torch.no_grad()
def find_correspondence(
    model: CorrespondenceModel,
    source: torch.Tensor,
    target: torch.Tensor,
    options: ScoopConfig,
    deadline: Deadline,
) -> Correspondence:
    """Of ``source`` (N, 3) in ``target`` (M, 3), metres, on the model's device.

    Raises:
        DeadlinePassed: time is up.
    """
    clouds = (source, target)
    own, theirs = (_features(model, cloud, options, deadline) for cloud in clouds)
    if max(len(source), len(target)) <= options.dense_points:
        pairs = all_pairs(source, target, options.support)
    elif options.candidates == 0:
        reach = (options.support, options.prior, deadline)
        return correspond_in_blocks(model, source, target, own, theirs, *reach)
    else:
        source_points, target_points = (cloud.cpu().numpy() for cloud in clouds)
        limits = (options.support, options.candidates, deadline)
        pairs = nearest_pairs(source_points, target_points, *limits).to(source.device)
    return correspond(model, source, target, own, theirs, pairs, options.prior, deadline)


def providers(options: ScoopConfig) -> list[str]:
    """What really computes the features, by ONNX Runtime's names; empty: PyTorch does.

    Raises:
        InputError: a provider that is missing or doesn't start.
    """
    return [] if options.runtime == "torch" else list(_session(options).get_providers())


def _features(
    model: CorrespondenceModel, cloud: torch.Tensor, options: ScoopConfig, deadline: Deadline
) -> torch.Tensor:
    """(N, 128) of a cloud (N, 3), on its device. ONNX Runtime isn't interrupted by a deadline."""
    points = cloud.cpu().numpy()
    edges = neighbour_graph(points, deadline=deadline)
    if options.runtime == "torch":
        features: torch.Tensor = model.features(cloud, edges.to(cloud.device), deadline)
        return features
    from ssl_perception.flow.scoop.onnx_graph import run  # ONNX need not be there for PyTorch

    computed = run(_session(options), points, edges.numpy())
    return torch.from_numpy(computed).to(cloud.device)


def _session(options: ScoopConfig) -> InferenceSession:
    return _made(options.weights, options.provider, options.fall_back, torch.get_num_threads())


@lru_cache(maxsize=4)
def _made(weights: str, provider: Provider, fall_back: bool, threads: int) -> InferenceSession:
    from ssl_perception.flow.scoop.onnx_graph import build
    from ssl_perception.runtime.onnx_session import open_session

    graph = build(_model(weights, "cpu").features)
    return open_session(graph, provider, threads, fall_back, "flow.scoop.provider")


@lru_cache(maxsize=4)
def _model(weights: str, device: str) -> CorrespondenceModel:
    """One for each device: another thread may be computing with it on the other."""
    model = CorrespondenceModel()
    load_into(model, Path(weights) if weights else shipped("scoop.safetensors"))
    return model.to(device).eval().requires_grad_(False)


def _sample(count: int, wanted: int, seed: int) -> slice | np.ndarray:
    if wanted == 0 or wanted >= count:
        return slice(None)
    return np.sort(np.random.default_rng(seed).permutation(count)[:wanted])


def _spread(
    everything: FloatArray,
    points: FloatArray,
    chosen: np.ndarray,
    flow: FloatArray,
    confidence: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Flow and confidence of all points from those solved: the same, or of the nearest few the one
    in the middle, so that nothing moves by half."""
    if len(points) == len(everything):
        whole, certainty = np.empty_like(flow), np.empty_like(confidence)
        whole[chosen], certainty[chosen] = flow, confidence
        return whole, certainty
    _, near = cKDTree(points).query(everything, k=min(INTERPOLATION, len(points)))
    near = near.reshape(len(everything), -1)
    return np.median(flow[near], axis=1).astype(np.float32), confidence[near].mean(axis=1)
