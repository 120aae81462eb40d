"""What every dataset gives: one type for scene flow, one for depth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.types import (
    BoolArray,
    CameraModel,
    FloatArray,
    PointCloud,
    StereoPair,
)

Sample = TypeVar("Sample")

# Argoverse calls a point dynamic when it moves 0.05 m over ground within 0.1 s.
DYNAMIC_SPEED = 0.5  # m/s


@dataclass(frozen=True, eq=False)
class FlowSample:
    """Two sweeps and, where it is known, the true motion of each point of the first.

    Attributes:
        name: unique within the dataset.
        source: N points. With ``ego_compensated`` they are in the target's frame already, so that
            static things don't move, and ``origin`` is where the sensor then was.
        target: M points, in no particular order.
        flow: (N, 3) float32, metres from the source's stamp to the target's; None: no truth.
            Motion over ground with ``ego_compensated``, else ego motion included.
        valid: (N,) bool, the truth is known for this point and it counts.
        dynamic: (N,) bool, it moves over ground (0.5 m/s or more); None: not known.
        foreground: (N,) bool, it belongs to something that could move (vehicle, person, ...);
            None: not known.
        category: (N,) uint8, index into ``category_names`` with 0 for none of them; None: not
            known.
        category_names: what the numbers mean; empty: not known.
        ego_compensated: both clouds are in the target's frame.
        ground_free: the ground has been taken out of both clouds.
        target_from_source: (4, 4), the ego motion that the source was moved by; None: by none, or
            not known.
    """

    name: str
    source: PointCloud
    target: PointCloud
    flow: FloatArray | None
    valid: BoolArray
    dynamic: BoolArray | None = None
    foreground: BoolArray | None = None
    category: NDArray[np.uint8] | None = None
    category_names: tuple[str, ...] = ()
    ego_compensated: bool = True
    ground_free: bool = True
    target_from_source: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.source)
        if n == 0 or len(self.target) == 0:
            raise InputError(f"{self.name}: empty cloud ({n} and {len(self.target)} points)")
        for name in ("flow", "valid", "dynamic", "foreground", "category"):
            array = getattr(self, name)
            if array is not None and len(array) != n:
                raise InputError(f"{self.name}: {name} has {len(array)} rows for {n} points")
        if self.flow is not None and not np.isfinite(self.flow[self.valid]).all():
            raise InputError(f"{self.name}: the true flow has NaN or infinite numbers")

    @property
    def prepared(self) -> bool:
        """Ready for a solver: nothing to compensate, no ground to remove."""
        return self.ego_compensated and self.ground_free

    @property
    def interval(self) -> float:
        """Seconds from source to target."""
        return self.target.stamp - self.source.stamp


@dataclass(frozen=True, eq=False)
class DepthSample:
    """An image with true depth, and its right partner where there is one.

    Attributes:
        name: unique within the dataset.
        image: left image, (H, W) or (H, W, 3) BGR, uint8.
        camera: the left camera.
        depth: (H, W) float32, metres along z, NaN where not known.
        pair: both images; None: there is no right one.
        disparity: (H, W) float32, pixels, NaN where not known; None without a right image.
        non_occluded: (H, W) bool, the truth is known and both cameras see the point.
        ground_truth: where the numbers come from, for reports.
        search: disparities, pixels, that a matcher has to search; 0: the set doesn't say.
    """

    name: str
    image: NDArray[np.uint8]
    camera: CameraModel
    depth: FloatArray
    pair: StereoPair | None
    disparity: FloatArray | None
    non_occluded: BoolArray
    ground_truth: str = "lidar"
    search: int = 0

    def __post_init__(self) -> None:
        shape = (self.camera.height, self.camera.width)
        for name in ("image", "depth", "disparity", "non_occluded"):
            array = getattr(self, name)
            if array is not None and array.shape[:2] != shape:
                h, w = array.shape[:2]
                raise InputError(
                    f"{self.name}: {name} is {w}x{h} but the camera is {shape[1]}x{shape[0]}"
                )


class Dataset(ABC, Generic[Sample]):
    """Samples by number or one after the other, read when asked for; nothing is kept in memory."""

    name: str

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _read(self, k: int) -> Sample:
        """Sample k, 0 <= k < len(self).

        Raises:
            InputError: a file is missing or broken.
        """

    def __getitem__(self, k: int) -> Sample:
        if not 0 <= k < len(self):
            raise IndexError(k)
        return self._read(k)

    def __iter__(self) -> Iterator[Sample]:
        return (self._read(k) for k in range(len(self)))


FlowDataset = Dataset[FlowSample]
DepthDataset = Dataset[DepthSample]


def stereo_sample(
    name: str,
    pair: StereoPair,
    disparity: NDArray[np.float32],
    non_occluded: NDArray[np.bool_],
    ground_truth: str,
    search: int = 0,
) -> DepthSample:
    """A sample from true disparities (NaN unknown): depth = fx * baseline / (d + cx_difference)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = np.float32(pair.camera.fx * pair.baseline) / (
            disparity + np.float32(pair.cx_difference)
        )
    depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
    return DepthSample(
        name, pair.left, pair.camera, depth, pair, disparity, non_occluded, ground_truth, search
    )
