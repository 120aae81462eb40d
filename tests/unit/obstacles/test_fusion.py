from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.errors import InputError
from ssl_perception.obstacles.fusion import fuse_scans
from ssl_perception.types import Cue, ObstacleScan

NAN, INF = np.nan, np.inf
VALUES = (NAN, -INF, 1.0, 3.0, INF)


def scan(*ranges: float, stamp: float = 0.0, cue: Cue = Cue.STEREO, far: float = 10.0,
         speeds: list[float] | None = None) -> ObstacleScan:  # fmt: skip
    step = 2 * np.pi / len(ranges)
    return ObstacleScan(
        np.array(ranges), -np.pi + step / 2, step, 0.2, far, stamp, "camera", cue,
        None if speeds is None else np.array(speeds),
    )  # fmt: skip


@pytest.mark.parametrize("camera", VALUES)
@pytest.mark.parametrize("lidar", VALUES)
def test_the_nearest_wins_and_the_unknown_takes_what_the_other_knows(
    camera: float, lidar: float
) -> None:
    known = [value for value in (camera, lidar) if not np.isnan(value)]
    fused = fuse_scans(scan(camera, camera), scan(lidar, lidar, cue=Cue.LIDAR), 0.3)
    expected = min(known) if known else NAN
    np.testing.assert_array_equal(fused.ranges, [expected, expected])


def test_an_old_scan_and_none_change_nothing() -> None:
    camera = scan(NAN, 2.0, stamp=5.0)
    assert fuse_scans(camera, None, 0.3) is camera
    for stamp in (4.6, 5.4):
        assert fuse_scans(camera, scan(1.0, INF, stamp=stamp), 0.3) is camera
    assert fuse_scans(camera, scan(1.0, INF, stamp=4.8), 0.3).ranges.tolist() == [1.0, 2.0]


def test_the_closing_speed_belongs_to_the_lidars_obstacles() -> None:
    lidar = scan(1.0, 5.0, INF, 2.0, speeds=[7.0, 8.0, NAN, 9.0])
    fused = fuse_scans(scan(3.0, 4.0, INF, NAN), lidar, 0.3)
    assert fused.closing_speed is not None
    np.testing.assert_array_equal(fused.closing_speed, [7.0, NAN, NAN, 9.0])


def test_clear_up_to_less_than_is_asked_for_is_unknown() -> None:
    fused = fuse_scans(scan(NAN, NAN), scan(INF, 3.0, far=5.0), 0.3)
    np.testing.assert_array_equal(fused.ranges, [NAN, 3.0])
    fused = fuse_scans(scan(NAN, NAN), scan(INF, 15.0, far=20.0), 0.3)
    np.testing.assert_array_equal(fused.ranges, [INF, INF])


def test_the_cue_is_the_cameras_while_it_knows_anything() -> None:
    assert fuse_scans(scan(2.0, NAN), scan(1.0, 1.0), 0.3).cue is Cue.STEREO
    nothing = scan(NAN, NAN, cue=Cue.NONE)
    assert fuse_scans(nothing, scan(1.0, NAN), 0.3).cue is Cue.LIDAR
    assert fuse_scans(nothing, scan(NAN, NAN), 0.3).cue is Cue.NONE


def test_other_sectors_are_refused() -> None:
    with pytest.raises(InputError, match="the lidar's scan has 3 sectors"):
        fuse_scans(scan(1.0, 1.0), scan(1.0, 1.0, 1.0), 0.3)
