from typing import Any

import numpy as np
import pytest

from ssl_perception.errors import InputError
from ssl_perception.types import (
    CameraModel,
    DepthMap,
    FloatArray,
    ObstacleScan,
    Odometry,
    PointCloud,
    SceneFlow,
    StereoPair,
)

CAMERA = CameraModel(width=8, height=6, fx=5.0, fy=5.0, cx=4.0, cy=3.0)


def floats(values: Any) -> FloatArray:
    return np.array(values, np.float32)


def test_a_float32_cloud_is_taken_without_a_copy() -> None:
    points = np.zeros((5, 3), np.float32)
    assert PointCloud(points).points is points


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 4), (1, 5, 3)])
def test_a_cloud_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="points must have shape"):
        PointCloud(np.zeros(shape, np.float32))


def test_times_must_match_the_points() -> None:
    with pytest.raises(InputError, match="time must have shape"):
        PointCloud(np.zeros((5, 3), np.float32), time=np.zeros(4, np.float32))


def test_transforming_a_cloud_moves_its_points_and_its_sensor() -> None:
    quarter_turn = np.array([[0, -1, 0, 1.0], [1, 0, 0, 2.0], [0, 0, 1, 3.0], [0, 0, 0, 1]])
    cloud = PointCloud(
        floats([[1.0, 0.0, 0.0]]), origin=floats([0.0, 1.0, 0.0]), frame="a", time=floats([0.5])
    )
    moved = cloud.transformed(quarter_turn, "b")
    np.testing.assert_allclose(moved.points, [[1.0, 3.0, 3.0]])
    np.testing.assert_allclose(moved.origin, [0.0, 2.0, 3.0])
    assert moved.frame == "b"
    assert moved.time is not None and moved.time[0] == 0.5


def test_selecting_keeps_times_beside_their_points() -> None:
    cloud = PointCloud(floats(range(12)).reshape(4, 3), time=floats(range(4)))
    part = cloud.select(np.array([False, True, False, True]))
    assert part.time is not None
    np.testing.assert_array_equal(part.time, [1, 3])
    np.testing.assert_array_equal(part.points[:, 0], [3, 9])


def test_velocity_is_flow_over_interval_also_backwards_in_time() -> None:
    flow = SceneFlow(floats([[-1.0, 0, 0]]), np.array([True]), floats([1.0]), interval=-0.1)
    np.testing.assert_allclose(flow.velocity, [[10.0, 0, 0]])


def test_velocity_is_unknown_where_confidence_is_zero() -> None:
    flow = SceneFlow(floats([[0.0] * 3] * 2), np.zeros(2, bool), floats([0.0, 1.0]), interval=0.1)
    assert np.isnan(flow.velocity[0]).all()
    np.testing.assert_array_equal(flow.velocity[1], 0.0)


def test_velocity_without_an_interval_is_unknown() -> None:
    flow = SceneFlow(floats([[0.0] * 3]), np.zeros(1, bool), floats([1.0]), interval=0.0)
    assert np.isnan(flow.velocity).all()


def test_images_of_different_size_are_refused() -> None:
    with pytest.raises(InputError, match="left image is 8x6 but right image is 7x6"):
        StereoPair(np.zeros((6, 8), np.uint8), np.zeros((6, 7), np.uint8), CAMERA, 0.1)


def test_images_of_another_size_than_the_camera_are_refused() -> None:
    image = np.zeros((12, 16), np.uint8)
    with pytest.raises(InputError, match="16x12 but camera_info says 8x6"):
        StereoPair(image, image, CAMERA, 0.1)


@pytest.mark.parametrize("baseline", [0.0, -0.1, float("nan")])
def test_a_baseline_that_is_not_positive_is_refused(baseline: float) -> None:
    image = np.zeros((6, 8), np.uint8)
    with pytest.raises(InputError, match="baseline must be positive"):
        StereoPair(image, image, CAMERA, baseline)


@pytest.mark.parametrize("change", [{"fx": 0.0}, {"fy": -1.0}, {"cx": float("nan")}, {"width": 0}])
def test_an_impossible_camera_is_refused(change: dict) -> None:
    numbers = {"width": 8, "height": 6, "fx": 5.0, "fy": 5.0, "cx": 4.0, "cy": 3.0}
    with pytest.raises(InputError, match="camera"):
        CameraModel(**{**numbers, **change})


def test_valid_fraction_counts_known_pixels() -> None:
    depth = np.full((6, 8), np.nan, np.float32)
    depth[0] = 1.0
    assert DepthMap(depth, CAMERA).valid_fraction == pytest.approx(1 / 6)


def test_scan_angles_are_sector_centres() -> None:
    scan = ObstacleScan(floats([0.0] * 4), -1.0, 0.5, 0.1, 10.0)
    np.testing.assert_allclose(scan.angles, [-1.0, -0.5, 0.0, 0.5])


def test_a_pose_with_nan_is_refused() -> None:
    with pytest.raises(InputError, match="odometry"):
        Odometry(np.full((4, 4), np.nan))
