"""Consecutive raw sweeps without ground truth: KITTI raw drives and packed sequences.

Samples are raw: each sweep in its own frame, ground included, no truth; ``pipeline`` prepares
them. Layouts: see ``io.sequences``. A root with many drives below it gives all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np

from ssl_perception.datasets.samples import FlowDataset, FlowSample
from ssl_perception.errors import InputError
from ssl_perception.io.sequences import SequenceLog, open_sequence
from ssl_perception.types import PointCloud

LAYOUT = (
    "expected drives with velodyne_points/data/*.bin (for example "
    "2011_09_26/2011_09_26_drive_0048_sync), or NNNNNN.npz sweeps"
)


class KittiRaw(FlowDataset):
    """See the module. ``sweep(k, ahead)`` reaches further along the same drive."""

    name = "kitti-raw"

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise InputError(f"{path}: {LAYOUT}")
        drives = sorted(p.parents[1] for p in path.glob("*/*/velodyne_points/data"))
        drives = drives or sorted(p.parents[1] for p in path.glob("*/velodyne_points/data"))
        try:
            self._drives: list[SequenceLog] = [open_sequence(drive) for drive in drives or [path]]
        except InputError as error:
            raise InputError(f"{error}; {LAYOUT}") from None
        self._ends = list(accumulate(max(0, len(drive) - 1) for drive in self._drives))

    def __len__(self) -> int:
        return self._ends[-1]

    def _read(self, k: int) -> FlowSample:
        source, target = self.sweep(k), self.sweep(k, 1)
        assert source is not None and target is not None  # each sample has a successor
        drive, number = self._place(k)
        name = f"{self._drives[drive].name}_{number:06d}"
        unknown = np.zeros(len(source), np.bool_)
        return FlowSample(
            name, source, target, None, unknown, ego_compensated=False, ground_free=False
        )

    def sweep(self, k: int, ahead: int = 0) -> PointCloud | None:
        """The sweep ``ahead`` of sample k's source in the same drive; None past either end."""
        drive, number = self._place(k)
        if not 0 <= number + ahead < len(self._drives[drive]):
            return None
        cloud = self._drives[drive][number + ahead].value
        if not isinstance(cloud, PointCloud):
            raise InputError(f"{self._drives[drive].name}: holds images, not sweeps; {LAYOUT}")
        return cloud

    def _place(self, k: int) -> tuple[int, int]:
        drive = bisect_right(self._ends, k)
        return drive, k - (self._ends[drive - 1] if drive else 0)
