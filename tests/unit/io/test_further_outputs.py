"""Outputs in other packages' messages, by the definitions that these install."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from ssl_perception.config import FURTHER_OUTPUTS, OutputsConfig, from_dict
from ssl_perception.errors import InputError
from ssl_perception.io import bag_log, installed_messages, output
from ssl_perception.io.further_outputs import OF_DEPTH, OF_OBJECTS, OF_SCANS, FurtherOutputs
from ssl_perception.io.output import Output
from ssl_perception.io.spatial_points import SPACING, depth_points, obstacle_points
from ssl_perception.types import CameraModel, DepthMap, FloatArray, MovingObject, ObstacleScan
from tests.unit.io.message_definitions import DEFINITIONS, install

STAMP = 1_700_000_000_123_456_789
CENTRE, SIZE = np.array([5.0, 1.0, 0.5]), np.array([4.0, 1.8, 1.5])


def mover(velocity: list[float], yaw: float, covariance: Any = None) -> MovingObject:
    found = np.arange(5)
    return MovingObject(7, CENTRE, SIZE, yaw, np.array(velocity), found, 1.5, 0.9, covariance)


class KeptOutput(Output):
    """What it is given, as a reader deserialises it, by topic."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Any] = {}

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        self.kept[topic] = bag_log.typestore().deserialize_cdr(raw, kind)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prefix with nothing in it, and a typestore that knows what ROS 2 itself has."""
    store = get_typestore(Stores.ROS2_KILTED)
    for module in (bag_log, output, installed_messages):
        monkeypatch.setattr(module, "typestore", lambda: store)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f":/nowhere:{tmp_path}")
    return tmp_path


def further(names: str) -> tuple[FurtherOutputs, dict[str, Any]]:
    kept = KeptOutput()
    return FurtherOutputs(kept, OutputsConfig(also=names), 72), kept.kept


def test_every_output_belongs_to_one_kind_of_result() -> None:
    assert sorted(OF_OBJECTS + OF_SCANS + OF_DEPTH) == sorted(FURTHER_OUTPUTS)


def test_detections_and_objects_say_where_and_how_fast(installed: Path) -> None:
    install(installed, "vision_msgs", "autoware_perception_msgs")
    outputs, kept = further(" ".join(OF_OBJECTS))
    yaw = math.atan2(-1.0, 3.0)
    car = mover([3.0, -1.0, 0.0], yaw, np.diag([0.04, 0.09]))
    outputs.objects(STAMP, "lidar", [car])
    assert kept.keys() == set(OF_OBJECTS)
    for message in kept.values():
        assert message.header.frame_id == "lidar"
        assert message.header.stamp.nanosec == STAMP % 10**9
    (seen,) = kept["detections"].detections
    assert seen.id == "7" and seen.results[0].hypothesis.class_id == "moving"
    assert seen.results[0].hypothesis.score == pytest.approx(0.9)
    assert (seen.bbox.center.position.x, seen.bbox.size.x) == (5.0, 4.0)
    (detected,), (tracked,) = kept["detected_objects"].objects, kept["tracked_objects"].objects
    assert tracked.object_id.uuid.tolist() == [0] * 15 + [7]
    for one in (detected, tracked):
        assert one.shape.dimensions.y == 1.8 and one.shape.type == 0
        assert one.existence_probability == pytest.approx(0.9)
        motion = one.kinematics
        turned = motion.pose_with_covariance.pose.orientation
        assert 2 * math.atan2(turned.z, turned.w) == pytest.approx(yaw)
        assert motion.orientation_availability == 2
        # along its own axes: it drives where it looks
        twist = motion.twist_with_covariance
        assert twist.twist.linear.x == pytest.approx(math.sqrt(10.0))
        assert twist.twist.linear.y == pytest.approx(0.0, abs=1e-9)
        assert np.diag(twist.covariance.reshape(6, 6))[:2].tolist() == [0.09, 0.09]
        spread = np.diag(motion.pose_with_covariance.covariance.reshape(6, 6))
        assert spread[:2].tolist() == [0.04, 0.04] and spread[5] == pytest.approx(0.009)
    assert detected.kinematics.has_twist_covariance


def test_a_slow_object_s_front_is_not_known(installed: Path) -> None:
    install(installed, "autoware_perception_msgs")
    outputs, kept = further("tracked_objects")
    outputs.objects(STAMP, "lidar", [mover([0.2, 0.0, 0.0], 1.0)])
    (slow,) = kept["tracked_objects"].objects
    assert slow.kinematics.orientation_availability == 1
    outputs.objects(STAMP, "lidar", [])
    assert kept["tracked_objects"].objects == [], "nothing moves is said as well"


def scan(ranges: list[float]) -> ObstacleScan:
    step = 2 * math.pi / len(ranges)
    values = np.array(ranges, np.float32)
    return ObstacleScan(values, -math.pi + step / 2, step, 0.2, 8.0, frame="body")


def test_px4_reads_each_state(installed: Path) -> None:
    install(installed, "px4_msgs")
    outputs, kept = further("px4_obstacle_distance")
    ranges = [3.0] * 72
    ranges[36], ranges[37], ranges[38], ranges[39] = -np.inf, np.inf, np.nan, 5.129
    outputs.scan(STAMP, scan(ranges))
    message = kept["fmu/in/obstacle_distance"]
    assert message.frame == 12 and message.timestamp == STAMP // 1000
    assert (message.min_distance, message.max_distance) == (20, 800)
    # clockwise from the first sector, degrees
    assert message.angle_offset == pytest.approx(-177.5) and message.increment == pytest.approx(5.0)
    told = message.distances[::-1]
    assert told[36:40].tolist() == [20, 801, 65535, 512]
    assert (np.delete(told, [36, 37, 38, 39]) == 300).all()
    outputs.scan(STAMP, scan([2.0] * 36))
    message = kept["fmu/in/obstacle_distance"]
    assert (message.distances[:36] == 200).all() and (message.distances[36:] == 65535).all()
    with pytest.raises(InputError, match="at most 72 for px4"):
        FurtherOutputs(KeptOutput(), OutputsConfig(also="px4_obstacle_distance"), 73)


def test_what_is_not_installed_is_refused_by_name(installed: Path) -> None:
    with pytest.raises(InputError, match="vision_msgs is not installed"):
        further("detections")
    install(installed, "vision_msgs")
    (installed / "share/vision_msgs/msg/BoundingBox3D.msg").write_text("no such thing\n\x00")
    with pytest.raises(InputError, match=r"BoundingBox3D\.msg: defines no message"):
        further("detections")
    with pytest.raises(InputError, match="there is no output 'objects'"):
        from_dict({"outputs": {"also": "detections objects"}})


def test_bytes_follow_the_version_that_is_installed(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message of another version must not be sent garbled: that is found out at the start."""
    older = {**DEFINITIONS["vision_msgs"]}
    older["Detection3D"] = older["Detection3D"].replace("string id", "string tracking_id")
    monkeypatch.setitem(DEFINITIONS, "vision_msgs", older)
    install(installed, "vision_msgs")
    with pytest.raises(InputError, match=r"^vision_msgs/msg/Detection3D of the installed.*'id'"):
        further("detections")


def points_of(packed: Any) -> FloatArray:
    assert len(packed.data) == packed.height * packed.row_step
    return np.asarray(packed.data.view("<f4").reshape(packed.height, packed.width, 3))


def test_obstacle_points_stand_where_the_scan_says_and_nothing_unknown_is_free() -> None:
    ranges = [np.inf] * 72
    ranges[36], ranges[37], ranges[0] = 4.0, -np.inf, np.nan
    packed = obstacle_points(scan(ranges))
    points = points_of(packed)[0]
    assert packed.frame == "body" and packed.is_dense and not points[:, 2].any()
    distance, angle = np.hypot(points[:, 0], points[:, 1]), np.arctan2(points[:, 1], points[:, 0])
    sector = np.floor((angle + math.pi) / math.radians(5.0)).astype(int)
    assert set(sector) == {0, 36, 37}, "clear sectors have no points"
    np.testing.assert_allclose(distance[sector == 36], 4.0, rtol=1e-6)
    np.testing.assert_allclose(distance[np.isin(sector, [0, 37])], 0.2, rtol=1e-5)
    beside = np.linalg.norm(np.diff(points[sector == 36], axis=0), axis=1)
    assert beside.max() <= SPACING and len(beside) >= 6, "a wall without gaps"


def test_unknown_behind_a_camera_that_looks_ahead_is_not_told() -> None:
    everything = scan([np.nan] * 72)
    ahead = points_of(obstacle_points(everything, view=1.2))[0]
    assert len(ahead) and (np.abs(np.arctan2(ahead[:, 1], ahead[:, 0])) < 0.65).all()
    assert len(points_of(obstacle_points(everything))[0]) == 72, "all around"
    assert obstacle_points(scan([np.inf] * 72)).width == 0


def test_depth_points_are_seen_where_they_are() -> None:
    camera = CameraModel(4, 3, 50.0, 60.0, 2.0, 1.5, "optical")
    depth = np.linspace(1.0, 4.0, 12, dtype=np.float32).reshape(3, 4)
    depth[1, 2] = np.nan
    packed = depth_points(DepthMap(depth, camera))
    points = points_of(packed)
    assert (packed.height, packed.width, packed.frame) == (3, 4, "optical")
    assert not packed.is_dense and np.isnan(points[1, 2]).all()
    points[1, 2] = 1.0
    u, v = camera.project(points.reshape(-1, 3))
    grid = np.meshgrid(np.arange(4.0), np.arange(3.0))
    seen = np.arange(12) != 6
    np.testing.assert_allclose(u[seen], grid[0].reshape(-1)[seen], atol=1e-5)
    np.testing.assert_allclose(v[seen], grid[1].reshape(-1)[seen], atol=1e-5)
    invalid = depth_points(DepthMap(depth, camera, valid=False, reason="frozen"))
    assert np.isnan(points_of(invalid)).all()
