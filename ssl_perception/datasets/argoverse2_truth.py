"""True flow of Argoverse 2 sweeps: from per-point labels, or from the annotated boxes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.argoverse2_log import Box, read_feather
from ssl_perception.errors import InputError
from ssl_perception.types import BoolArray, FloatArray

# index = place in the alphabet, from 1; 0 is background (av2-api CATEGORY_TO_INDEX)
CATEGORIES = (
    "NONE",
    "ANIMAL",
    "ARTICULATED_BUS",
    "BICYCLE",
    "BICYCLIST",
    "BOLLARD",
    "BOX_TRUCK",
    "BUS",
    "CONSTRUCTION_BARREL",
    "CONSTRUCTION_CONE",
    "DOG",
    "LARGE_VEHICLE",
    "MESSAGE_BOARD_TRAILER",
    "MOBILE_PEDESTRIAN_CROSSING_SIGN",
    "MOTORCYCLE",
    "MOTORCYCLIST",
    "OFFICIAL_SIGNALER",
    "PEDESTRIAN",
    "RAILED_VEHICLE",
    "REGULAR_VEHICLE",
    "SCHOOL_BUS",
    "SIGN",
    "STOP_SIGN",
    "STROLLER",
    "TRAFFIC_LIGHT_TRAILER",
    "TRUCK",
    "TRUCK_CAB",
    "VEHICULAR_TRAILER",
    "WHEELCHAIR",
    "WHEELED_DEVICE",
    "WHEELED_RIDER",
)
CATEGORY_COLUMNS = ("category_indices", "classes_0", "classes")
# metres on length, width, height; av2-api: "the boxes are a little too tight"
MARGINS = np.array([0.2, 0.2, 0.0])


class Truth(NamedTuple):
    """What is known of each point of a whole sweep.

    Attributes:
        flow: (N, 3) float32, metres, ego motion included.
        valid: (N,) bool.
        category: (N,) uint8, index into ``CATEGORIES``.
    """

    flow: FloatArray
    valid: BoolArray
    category: NDArray[np.uint8]


def truth_from_boxes(
    points: FloatArray,
    before: dict[str, Box],
    after: dict[str, Box],
    motion: NDArray[np.float64],
) -> Truth:
    """Points in a box move as the box of the same track does; all others with the ground.

    Args:
        points: (N, 3), ego frame of the first instant.
        before, after: boxes of both instants by track, each in its own ego frame.
        motion: (4, 4), the second ego frame from the first.
    """
    ego_flow = points @ motion[:3, :3].T + motion[:3, 3] - points
    flow = ego_flow.copy()
    valid = np.ones(len(points), np.bool_)
    category = np.zeros(len(points), np.uint8)
    for track, box in before.items():
        half = (box.size + MARGINS) / 2
        inside = np.flatnonzero(
            ((points - box.ego_from_box[:3, 3]) ** 2).sum(axis=1) <= (half**2).sum()
        )
        local = (points[inside] - box.ego_from_box[:3, 3]) @ box.ego_from_box[:3, :3]
        inside = inside[(np.abs(local) <= half).all(axis=1)]
        if box.category in CATEGORIES:
            category[inside] = CATEGORIES.index(box.category)
        if track not in after:
            valid[inside] = False
            continue
        moved = after[track].ego_from_box @ np.linalg.inv(box.ego_from_box)
        flow[inside] = points[inside] @ moved[:3, :3].T + moved[:3, 3] - points[inside]
    return Truth(flow.astype(np.float32), valid, category)


def truth_from_labels(file: Path, count: int, kept: BoolArray) -> Truth:
    """Labels of the scene-flow challenge, a row a point of the sweep or a row a point kept.

    Columns: ``flow_tx_m flow_ty_m flow_tz_m``, ego motion included; ``category_indices``,
    ``classes_0`` or ``classes``; ``is_valid`` where some rows aren't.

    Args:
        count: points in the sweep.
        kept: (count,) bool, the points that the challenge scores (near, not ground).

    Raises:
        InputError: missing columns, NaN in valid flow, or a row count that fits neither.
    """
    flow_columns = ("flow_tx_m", "flow_ty_m", "flow_tz_m")
    columns = read_feather(file, flow_columns, (*CATEGORY_COLUMNS, "is_valid"))
    named = next((name for name in CATEGORY_COLUMNS if name in columns), None)
    if named is None:
        raise InputError(f"{file}: lacks a column {' or '.join(CATEGORY_COLUMNS)}")
    category = columns[named]
    rows = len(category)
    if rows not in (count, int(kept.sum())):
        raise InputError(
            f"{file}: {rows} labels fit neither the sweep's {count} points nor the "
            f"{int(kept.sum())} that are near and not ground"
        )
    where = slice(None) if rows == count else kept
    truth = Truth(
        np.zeros((count, 3), np.float32), np.zeros(count, np.bool_), np.zeros(count, np.uint8)
    )
    truth.flow[where] = np.stack([columns[name].astype(np.float32) for name in flow_columns], 1)
    truth.valid[where] = columns.get("is_valid", np.ones(rows)) != 0
    # some writers mark background with -1
    truth.category[where] = np.where(category > 0, category, 0).astype(np.uint8)
    if not np.isfinite(truth.flow[truth.valid]).all():
        raise InputError(f"{file}: valid flow has NaN or infinite numbers")
    return truth
