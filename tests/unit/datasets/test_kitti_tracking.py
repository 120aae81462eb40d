"""KITTI tracking: labels, calibration and sweeps in the benchmark's own layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_perception.datasets.kitti_tracking import PERIOD, open_tracking
from ssl_perception.errors import InputError

CALIBRATION = """P0: 1 0 0 0 0 1 0 0 0 0 1 0
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0 0 0 -1 0 1 0 0 -0.3
"""
CAR = "7 3 Car 0 0 0 1 2 3 4 1.5 1.8 4.2 -2.0 1.6 9.7 -1.570796\n"


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    """Frames 7 and 8 of drive 12."""
    for folder in ("velodyne/0012", "label_02", "calib"):
        (tmp_path / folder).mkdir(parents=True)
    for frame in (7, 8):
        rows = np.array([[10.0, 2.0, -1.0, 0.5], [frame, 0.0, 0.0, 0.1]], "<f4")
        rows.tofile(tmp_path / f"velodyne/0012/{frame:06d}.bin")
    (tmp_path / "label_02/0012.txt").write_text(CAR + "7 -1 DontCare" + 14 * " -1" + "\n")
    (tmp_path / "calib/0012.txt").write_text(CALIBRATION)
    return tmp_path


def test_boxes_are_in_the_lidars_frame(benchmark: Path) -> None:
    (sequence,) = open_tracking(benchmark)
    assert sequence.name == "0012" and list(sequence.files) == [7, 8]
    ((box,),) = sequence.boxes.values()
    assert (box.track, box.category) == (3, "Car") and sequence.boxes.keys() == {7}
    np.testing.assert_allclose(box.centre, [10.0, 2.0, -0.85], atol=1e-6)  # its middle
    np.testing.assert_allclose(box.size, [4.2, 1.8, 1.5])
    assert box.yaw == pytest.approx(0.0, abs=1e-5)
    assert box.floor == pytest.approx(-1.6)
    points = np.array([[10.0, 2.0, -1.0], [12.0, 2.8, -0.2], [12.2, 2.0, -1.0]], np.float32)
    assert box.contains(points).tolist() == [True, True, False]
    assert box.contains(points, 0.2).all()


def test_sweeps_are_stamped_by_their_number(benchmark: Path) -> None:
    (sequence,) = open_tracking(benchmark)
    cloud = sequence.sweep(8)
    assert len(cloud) == 2 and cloud.stamp == pytest.approx(8 * PERIOD)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("label_02/0012.txt", CAR.replace("Car", "Car") + "7 x Car\n", "line 2"),
        ("label_02/0012.txt", CAR.replace("9.7", "nan"), "line 1"),
        ("label_02/0012.txt", "7 3 Car 0 0 0 1 2 3 4 1.5 1.8\n", "line 1"),
        ("calib/0012.txt", "R0_rect: 1 0 0 0 1 0 0 0 1\n", "Tr_velo_to_cam"),
        ("calib/0012.txt", CALIBRATION.replace("1 0 0 0 1 0 0 0 1", "0 0 0 0 1 0 0 0 1"), "invert"),
        ("calib/0012.txt", CALIBRATION.replace("-0.3", "nan"), "NaN"),
    ],
)
def test_broken_labels_and_calibrations_are_refused(
    benchmark: Path, file: str, content: str, message: str
) -> None:
    (benchmark / file).write_text(content)
    (sequence,) = open_tracking(benchmark)
    with pytest.raises(InputError, match=message):
        _ = sequence.boxes


@pytest.mark.parametrize("missing", ["label_02/0012.txt", "calib/0012.txt"])
def test_a_drive_without_labels_is_refused(benchmark: Path, missing: str) -> None:
    (benchmark / missing).unlink()
    with pytest.raises(InputError, match=missing):
        open_tracking(benchmark)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="velodyne/SSSS"):
        open_tracking(tmp_path)
