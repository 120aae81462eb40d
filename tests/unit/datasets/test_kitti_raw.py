"""KITTI raw drives, written small, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_perception.datasets.kitti_raw import KittiRaw


def test_kitti_raw_with_two_drives(tmp_path: Path) -> None:
    for drive, count in (("drive_0001", 3), ("drive_0002", 2)):
        data = tmp_path / "2011_09_26" / f"2011_09_26_{drive}_sync" / "velodyne_points" / "data"
        data.mkdir(parents=True)
        for k in range(count):
            np.full((4, 4), k + 1, "<f4").tofile(data / f"{k:010d}.bin")
    dataset = KittiRaw(tmp_path)
    assert len(dataset) == 3
    assert [sample.name for sample in dataset] == [
        "2011_09_26_drive_0001_sync_000000",
        "2011_09_26_drive_0001_sync_000001",
        "2011_09_26_drive_0002_sync_000000",
    ]
    sample = dataset[1]
    assert sample.source.points[0, 0] == 2 and sample.target.points[0, 0] == 3
    assert sample.flow is None and not sample.prepared
    third = dataset.sweep(0, ahead=2)
    assert third is not None and third.points[0, 0] == 3
    assert dataset.sweep(1, ahead=2) is None
