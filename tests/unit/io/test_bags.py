"""Logs in, bags out: stamps, order and numbers survive; a failure leaves nothing behind."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from ssl_perception.config import CameraConfig, TopicsConfig
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.camera_info import Rectification
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import decode_flow, encode_points, stamp_ns
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    ObstacleScan,
    Odometry,
    PointCloud,
    SceneFlow,
    StereoPair,
)
from tests.unit.io.camera_messages import info_message

START = 1_700_000_000_123_456_789  # no float64 holds this
CAMERA = CameraModel(32, 24, 50.0, 50.0, 16.0, 12.0, "optical")
DISTORTION = np.array([-0.3, 0.1, 0.0, 0.0, 0.0])
RNG = np.random.default_rng(0)
LEFT, RIGHT = (RNG.integers(0, 256, (24, 32), np.uint8) for _ in range(2))


def sweep(count: int = 50) -> PointCloud:
    points = np.random.default_rng(count).normal(0, 10, (count, 3)).astype(np.float32)
    return PointCloud(points, np.linspace(0, 0.1, count, dtype=np.float32), 0.0, "lidar")


def write_sensor_log(path: Path, frames: int = 3) -> None:
    """A log as the simulator records it: lidar, stereo, odometry."""
    with OutputBag(path) as bag:
        for k in range(frames):
            now = START + k * 100_000_000
            bag.cloud("points", now, encode_points(sweep()))
            for side, pixels, baseline in (("left", LEFT, 0.0), ("right", RIGHT, 0.2)):
                bag.image(f"{side}/image_rect", now, images.encode(pixels, "mono8", "optical"))
                bag.camera_info(f"{side}/camera_info", now, CAMERA, baseline)
            pose = np.eye(4)
            pose[0, 3] = k
            bag.odometry("odom", now, Odometry(pose, 0.0, "odom", "base_link"))


def test_sensor_log_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    write_sensor_log(path)
    log = open_log(path)
    assert log.name == "log"
    recorded = list(log)
    assert len(log) == len(recorded) == 9
    assert [r.stamp_ns for r in recorded] == sorted(r.stamp_ns for r in recorded)
    assert {r.stamp_ns for r in recorded} == {START + k * 100_000_000 for k in range(3)}
    clouds = [r.value for r in recorded if isinstance(r.value, PointCloud)]
    pairs = [r.value for r in recorded if isinstance(r.value, StereoPair)]
    poses = [r.value for r in recorded if isinstance(r.value, Odometry)]
    assert len(clouds) == len(pairs) == len(poses) == 3
    np.testing.assert_array_equal(clouds[0].points, sweep().points)
    np.testing.assert_array_equal(clouds[0].time, sweep().time)
    assert clouds[0].frame == "lidar"
    np.testing.assert_array_equal(pairs[1].left, LEFT)
    np.testing.assert_array_equal(pairs[1].right, RIGHT)
    assert pairs[1].camera == CAMERA
    assert pairs[1].baseline == pytest.approx(0.2)
    assert poses[2].world_from_body[0, 3] == 2.0
    assert poses[2].child_frame == "base_link"
    assert [r.stamp_ns for r in log] == [r.stamp_ns for r in recorded], "can be read again"


def write_raw_stereo(path: Path, compressed: bool) -> None:
    """What a driver publishes: raw images, and the camera_infos of a calibrated stereo camera."""
    with OutputBag(path) as bag:
        for side, pixels in (("left", LEFT), ("right", RIGHT)):
            given = vars(info_message(CAMERA, -10.0 if side == "right" else 0.0, d=DISTORTION))
            header, roi = bag.header(START, "optical"), bag._whole_image()
            info = bag.message(
                "sensor_msgs/msg/CameraInfo", **{**given, "header": header, "roi": roi}
            )
            bag.write(f"cam/{side}/camera_info", START, info)
            if not compressed:
                bag.image(f"cam/{side}/image_raw", START, images.encode(pixels, "mono8", "optical"))
                continue
            data = cv2.imencode(".png", pixels)[1].reshape(-1)
            image = bag.message(
                "sensor_msgs/msg/CompressedImage", header=header, format="mono8; png", data=data
            )
            bag.write(f"cam/{side}/image_raw/compressed", START, image)


@pytest.mark.parametrize("compressed", [False, True])
def test_raw_images_are_rectified_or_refused_at_once(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "raw.mcap"
    write_raw_stereo(path, compressed)
    (pair,) = [recorded.value for recorded in open_log(path)]
    assert isinstance(pair, StereoPair)
    expected = Rectification(info_message(CAMERA, d=DISTORTION)).image(LEFT)
    np.testing.assert_array_equal(pair.left, expected)
    assert np.abs(pair.left.astype(int) - LEFT).max() > 50
    assert pair.camera == CAMERA and pair.baseline == pytest.approx(0.2)
    with pytest.raises(InputError, match=r"raw\.mcap: /cam/left/image_raw.* is not rectified"):
        open_log(path, camera=CameraConfig(rectify="never"))


def test_results_open_with_rosbags_and_carry_the_source_stamp(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    cloud = sweep()
    n = len(cloud)
    ones = np.ones((n, 4), np.float32)
    flow = SceneFlow(ones[:, :3], np.arange(n) % 2 == 0, ones[:, 0], 0.1)
    depth = DepthMap(np.full((24, 32), 5.0), CAMERA)
    ranges = np.array([np.nan, np.inf, -np.inf, 3.0], np.float32)
    with OutputBag(path) as bag:
        bag.scene_flow(START, cloud, flow)
        bag.moving_points(START, cloud.select(flow.moving))
        bag.depth(START, depth)
        bag.depth(START, DepthMap(depth.depth, CAMERA, cue=Cue.MONO))
        bag.disparity(START, depth, 0.2, 64.0)
        bag.obstacle_distance(START, ObstacleScan(ranges, -0.3, 0.2, 0.2, 40.0, frame="base"))
        bag.write("time_to_collision", START, bag.message("std_msgs/msg/Float32", data=1.5))
    assert [p.name for p in tmp_path.iterdir()] == ["out.mcap"], "one file, nothing beside it"
    messages: dict[str, Any] = {}
    with AnyReader([path]) as reader:
        for connection, time, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            messages[connection.topic] = message
            assert time == START
            if hasattr(message, "header"):
                assert stamp_ns(message.header.stamp) == START
    assert set(messages) == {
        "/scene_flow",
        "/moving_points",
        "/stereo/depth",
        "/mono/depth",
        "/stereo/disparity",
        "/obstacle_distance",
        "/time_to_collision",
    }
    back = decode_flow(messages["/scene_flow"])
    np.testing.assert_allclose(back.velocity, 10.0, rtol=1e-6)
    np.testing.assert_array_equal(back.moving, flow.moving)
    assert messages["/moving_points"].width == flow.moving.sum()
    np.testing.assert_array_equal(images.decode_depth(messages["/stereo/depth"]), depth.depth)
    scan = messages["/obstacle_distance"]
    np.testing.assert_array_equal(scan.ranges, ranges)
    assert scan.angle_max == pytest.approx(0.3)
    assert scan.header.frame_id == "base"


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mcap"
    with pytest.raises(RuntimeError, match="stop"), OutputBag(path) as bag:
        bag.moving_points(START, sweep())
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"precious")
    with pytest.raises(KeyboardInterrupt), OutputBag(path) as bag:
        bag.moving_points(START, sweep())
        raise KeyboardInterrupt
    assert path.read_bytes() == b"precious"
    with OutputBag(path) as bag:
        bag.moving_points(START, sweep())
    assert [p.name for p in tmp_path.iterdir()] == ["out.mcap"]
    with AnyReader([path]) as reader:
        assert reader.message_count == 1


def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "out.mcap"
    with pytest.raises(InputError, match=r"out\.mcap: No space left"), OutputBag(path) as bag:
        monkeypatch.setattr(bag._writer, "write", full)
        bag.moving_points(START, sweep())
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"out\.mcap: No space left"), OutputBag(path) as bag:
        monkeypatch.setattr(bag._writer, "close", full)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("out.bag", "must end in .mcap"),
        ("no/out.mcap", "no such folder"),
        ("d.mcap", "is a folder"),
    ],
)
def test_impossible_outputs(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / "d.mcap").mkdir()
    with pytest.raises(InputError, match=line):
        OutputBag(tmp_path / name)


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mcap", "b.mcap"):
        write_sensor_log(tmp_path / name)
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()


def test_unpaired_images_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    with OutputBag(path) as bag:
        for side, stamps, baseline in (("left", (0, 1, 2, 3), 0.0), ("right", (1, 3, 4), 0.2)):
            bag.camera_info(f"{side}/camera_info", START, CAMERA, baseline)
            for k in stamps:
                packed = images.encode(LEFT, "mono8")
                bag.image(f"{side}/image_rect", START + k * 100_000_000, packed)
    log = open_log(path)
    assert [(r.stamp_ns - START) // 100_000_000 for r in log] == [1, 3]
    assert log.unpaired == 3
    assert len(log) == 3, "an upper bound"


def test_stereo_tolerance_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    with OutputBag(path) as bag:
        for side, shift, baseline in (("left", 0, 0.0), ("right", 5_000_000, 0.2)):
            bag.camera_info(f"{side}/camera_info", START, CAMERA, baseline)
            bag.image(f"{side}/image_rect", START + shift, images.encode(LEFT, "mono8"))
    assert len(list(open_log(path))) == 0
    assert len(list(open_log(path, TopicsConfig(stereo_tolerance=0.006)))) == 1


def test_a_bad_frame_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    nothing = PointCloud(np.zeros((4, 3), np.float32))
    with OutputBag(path) as bag:
        for k, cloud in enumerate((sweep(), nothing, sweep())):
            bag.cloud("points", START + k, encode_points(cloud))
    log = open_log(path)
    errors: list[InputError] = []
    assert [r.stamp_ns - START for r in log.read(errors.append)] == [0, 2]
    assert [str(error) for error in errors] == [
        f"{path}: /points: empty cloud: none of 4 points is a return"
    ]
    with pytest.raises(InputError, match="empty cloud"):
        list(log)


def test_dropped_points_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    points = np.array(sweep(10).points)
    points[3:5] = 0
    with OutputBag(path) as bag:
        bag.cloud("points", START, encode_points(PointCloud(points)))
    log = open_log(path)
    assert [len(r.value) for r in log if isinstance(r.value, PointCloud)] == [8]
    assert log.dropped_points == 2


def test_kitti_raw_drive(tmp_path: Path) -> None:
    folder = tmp_path / "2011_09_26_drive_0048_sync" / "velodyne_points"
    (folder / "data").mkdir(parents=True)
    sweeps = [np.random.default_rng(k).normal(0, 9, (40 + k, 4)).astype("<f4") for k in range(3)]
    for k, values in enumerate(sweeps):
        values.tofile(folder / "data" / f"{k:010d}.bin")
    times = [f"2011-09-26 14:0{k}:25.951199337" for k in range(3)]
    (folder / "timestamps.txt").write_text("\n".join(times) + "\n")
    log = open_log(folder.parent)
    recorded = list(log)
    assert recorded[0].stamp_ns == 1_317_045_625_951_199_337
    assert recorded[1].stamp_ns - recorded[0].stamp_ns == 60_000_000_000
    for frame, values in zip(recorded, sweeps, strict=True):
        assert isinstance(frame.value, PointCloud)
        np.testing.assert_array_equal(frame.value.points, values[:, :3])


def test_kitti_odometry_sequence(tmp_path: Path) -> None:
    (tmp_path / "velodyne").mkdir()
    for k in range(2):
        np.ones((5, 4), "<f4").tofile(tmp_path / "velodyne" / f"{k:06d}.bin")
    (tmp_path / "times.txt").write_text("0.000000e+00\n1.036224e-01\n")
    assert [r.stamp_ns for r in open_log(tmp_path)] == [0, 103_622_400]


def test_stereo_folder(tmp_path: Path) -> None:
    for side in ("left", "right"):
        (tmp_path / side).mkdir()
        for k in range(3 if side == "left" else 2):
            cv2.imwrite(str(tmp_path / side / f"{k:06d}.png"), LEFT)
    (tmp_path / "calib.json").write_text(
        '{"width": 32, "height": 24, "fx": 50, "fy": 50, "cx": 16, "cy": 12, "baseline_m": 0.2}'
    )
    (tmp_path / "times_s.txt").write_text("0.0\n0.1\n0.2\n")
    log = open_log(tmp_path)
    assert [r.stamp_ns for r in log] == [0, 100_000_000]
    assert log.unpaired == 1
