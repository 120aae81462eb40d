"""Pairs of sweeps as NumPy arrays: one ``.npz`` a pair, or a folder with one ``.npy`` an array.

| array | shape | what |
|---|---|---|
| ``p0``, ``p1`` | (N, 3), (M, 3) | points, metres, each in its own frame |
| ``flow`` | (N, 3) | p0 + flow is where the point is in frame 1; ego motion included |
| ``ego_1_from_0`` | (4, 4) | frame 0 to frame 1; absent: the frames are the same |
| ``valid0``, ``valid1`` | (N,), (M,) bool | the row is a point at all |
| ``ground0``, ``ground1`` | (N,), (M,) bool | it is ground; absent: there is none in the cloud |
| ``cls`` or ``cls0`` | (N,) int | category, 0 for background |
| ``dynamic`` | (N,) bool | absent: where the flow over ground is 0.5 m/s or more |
| ``time0``, ``time1`` | (N,), (M,) | seconds after the sweep's stamp; or ``offset_ns0/1`` |
| ``timestamp_ns`` | (2,) int | the stamps; absent: 0.1 s apart |
| ``origin0``, ``origin1`` | (3,) | sensor positions in frame 0 and 1; absent: (0, 0, 0) |

The samples follow Argoverse's protocol: source moved into frame 1, ground out, |x|, |y| up to 50 m
in the source's own frame (the target 1.5 m more, so that nothing leaves it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.datasets.argoverse2_truth import CATEGORIES
from ssl_perception.datasets.samples import DYNAMIC_SPEED, FlowDataset, FlowSample
from ssl_perception.errors import InputError
from ssl_perception.io.files import load_array, load_arrays, require_finite
from ssl_perception.types import PointCloud

# Mean of the two lidars in Argoverse's ego frame, whose origin is at the rear axle.
ARGOVERSE_ORIGIN = (1.35, 0.0, 1.6)
LAYOUT = "expected an .npz with p0 and p1, a folder of them, or a folder with p0.npy and p1.npy"

Arrays = dict[str, NDArray[Any]]


class Pairs(FlowDataset):
    """See the module. ``max_range`` and ``margin`` in metres; 0 keeps all points."""

    name = "pair"

    def __init__(self, path: Path, max_range: float = 50.0, margin: float = 1.5) -> None:
        self.max_range = max_range
        self.margin = margin
        if path.is_file() or (path / "p0.npy").exists():
            self._places = [path]
        else:
            self._places = sorted(path.glob("*.npz"))
        if not self._places:
            raise InputError(f"{path}: {LAYOUT}")

    def __len__(self) -> int:
        return len(self._places)

    def _read(self, k: int) -> FlowSample:
        place = self._places[k]
        if place.is_dir():
            arrays = {file.stem: load_array(file) for file in sorted(place.glob("*.npy"))}
        else:
            arrays = load_arrays(place, ("p0", "p1"))
        name = place.stem if place.stem != "pair" else place.resolve().parent.name
        return sample_from_arrays(name, arrays, place, self.max_range, self.margin)


def sample_from_arrays(
    name: str, arrays: Arrays, place: Path, max_range: float, margin: float
) -> FlowSample:
    """One pair as a sample.

    Args:
        arrays: as in the module's table.
        place: their file, for errors.

    Raises:
        InputError: a missing array, a wrong shape, or NaN and infinite numbers.
    """
    pair = _Pair(arrays, place)
    p0, p1 = pair.rows("p0", 3), pair.rows("p1", 3)
    n, m = len(p0), len(p1)
    stamps = pair.get("timestamp_ns", (2,))
    start, end = (0.0, 0.1) if stamps is None else (float(s) * 1e-9 for s in stamps)
    if not 0 < abs(end - start) < 60:
        raise InputError(f"{place}: timestamp_ns are {end - start:g} s apart")

    keep = pair.usable("0", n) & near(p0, max_range)
    keep_target = pair.usable("1", m) & near(p1, max_range + margin if max_range else 0.0)
    argoverse = "city_from_ego0" in arrays
    default = ARGOVERSE_ORIGIN if argoverse else (0.0, 0.0, 0.0)
    origin0, origin1 = (_or(pair.get(f"origin{k}", (3,)), default) for k in "01")
    source = PointCloud(p0, pair.times("0", n), start, "frame_1", origin0)
    target = PointCloud(p1, pair.times("1", m), end, "frame_1", origin1).select(keep_target)
    motion = pair.get("ego_1_from_0", (4, 4))
    if motion is not None:
        if not np.allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-3):
            raise InputError(f"{place}: ego_1_from_0 is not a rigid transform")
        source = source.transformed(motion)

    flow = dynamic = None
    total = pair.get("flow", (n, 3))
    if total is not None:
        flow = (p0 + total.astype(np.float32) - source.points)[keep]
        speed = np.linalg.norm(flow, axis=1) / np.float32(abs(end - start))
        marked = pair.get("dynamic", (n,))
        dynamic = speed >= DYNAMIC_SPEED if marked is None else marked[keep] != 0
    classes = pair.get("cls" if "cls" in arrays else "cls0", (n,))
    category = None if classes is None else classes[keep].astype(np.uint8)
    source = source.select(keep)
    return FlowSample(
        name,
        source,
        target,
        flow,
        np.ones(len(source), np.bool_),
        dynamic,
        None if category is None else category != 0,
        category,
        CATEGORIES if argoverse else (),
        target_from_source=motion,
    )


class _Pair:
    """The arrays of one pair, checked as they are taken."""

    def __init__(self, arrays: Arrays, place: Path) -> None:
        self.arrays = arrays
        self.place = place

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[Any] | None:
        array = self.arrays.get(name)
        if array is None:
            return None
        if array.shape != shape:
            raise InputError(f"{self.place}: {name} must be {shape}, not {array.shape}")
        require_finite(array, self.place, name)
        return array

    def rows(self, name: str, columns: int) -> NDArray[np.float32]:
        if name not in self.arrays:
            raise InputError(f"{self.place}: lacks {name}; {LAYOUT}")
        array = self.arrays[name]
        if array.ndim != 2 or array.shape[1] != columns or not len(array):
            raise InputError(
                f"{self.place}: {name} must be (N, {columns}) with N > 0, not {array.shape}"
            )
        require_finite(array, self.place, name)
        return array.astype(np.float32)

    def usable(self, which: str, count: int) -> NDArray[np.bool_]:
        valid = self.get(f"valid{which}", (count,))
        ground = self.get(f"ground{which}", (count,))
        usable = np.ones(count, np.bool_)
        if valid is not None:
            usable &= valid != 0
        if ground is not None:
            usable &= ground == 0
        return usable

    def times(self, which: str, count: int) -> NDArray[np.float32] | None:
        seconds = self.get(f"time{which}", (count,))
        if seconds is not None:
            return seconds.astype(np.float32)
        nanoseconds = self.get(f"offset_ns{which}", (count,))
        return None if nanoseconds is None else (nanoseconds * 1e-9).astype(np.float32)


def near(points: NDArray[np.float32], limit: float) -> NDArray[np.bool_]:
    """(N,) bool, |x| and |y| up to ``limit`` metres; 0: all."""
    if not limit:
        return np.ones(len(points), np.bool_)
    return (np.abs(points[:, 0]) <= limit) & (np.abs(points[:, 1]) <= limit)


def _or(array: NDArray[Any] | None, default: tuple[float, ...]) -> NDArray[np.float32]:
    return np.asarray(default if array is None else array, np.float32)
