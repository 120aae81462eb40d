"""Datasets with ground truth, all giving the same two types: ``FlowSample`` and ``DepthSample``.

    dataset = open_flow("pair", Path("../shared/data/lidar_flow_av2_7fab2350"))
    for sample in dataset:
        flow = estimate_flow(sample.source, sample.target)

Samples are read when asked for. A folder that doesn't fit its layout is refused with a line that
says how it should look.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ssl_perception.datasets.samples import (
    DepthDataset,
    DepthSample,
    FlowDataset,
    FlowSample,
)
from ssl_perception.errors import InputError

__all__ = ["DepthDataset", "DepthSample", "FlowDataset", "FlowSample", "open_depth", "open_flow"]

# name -> module and class; loaded on first use
FLOW = {
    "pair": ("ssl_perception.datasets.pair", "Pairs"),
    "argoverse2": ("ssl_perception.datasets.argoverse2", "Argoverse2"),
    "kitti-scene-flow": ("ssl_perception.datasets.kitti_scene_flow", "KittiSceneFlow"),
    "kitti-scene-flow-t": ("ssl_perception.datasets.kitti_scene_flow", "KittiSceneFlowTest"),
    "kitti-raw": ("ssl_perception.datasets.kitti_raw", "KittiRaw"),
    "sim": ("ssl_perception.datasets.sim", "SimulatedFlow"),
}
DEPTH = {
    "kitti-stereo": ("ssl_perception.datasets.kitti_stereo", "KittiStereo"),
    "kitti-lidar": ("ssl_perception.datasets.kitti_lidar", "KittiLidar"),
    "middlebury": ("ssl_perception.datasets.middlebury", "Middlebury"),
    "sim": ("ssl_perception.datasets.sim", "SimulatedDepth"),
}


def open_flow(name: str, path: Path) -> FlowDataset:
    """A scene-flow dataset by its name (a key of ``FLOW``).

    Raises:
        InputError: unknown name, nothing at ``path``, or a folder that doesn't fit the layout.
    """
    dataset: FlowDataset = _open(FLOW, name, path)
    return dataset


def open_depth(name: str, path: Path) -> DepthDataset:
    """A depth dataset by its name (a key of ``DEPTH``).

    Raises:
        InputError: as ``open_flow``.
    """
    dataset: DepthDataset = _open(DEPTH, name, path)
    return dataset


def _open(known: Mapping[str, tuple[str, str]], name: str, path: Path) -> Any:
    if name not in known:
        raise InputError(f"unknown dataset {name!r}; choose one of {', '.join(known)}")
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    module, reader = known[name]
    return getattr(import_module(module), reader)(path)
