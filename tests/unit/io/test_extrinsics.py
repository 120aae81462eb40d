"""What the settings leave open about where sensors sit is read from tf_static."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace as Message

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.config import Config, from_dict
from ssl_perception.depth.teacher.lidar import camera_from_lidar
from ssl_perception.errors import InputError
from ssl_perception.flow.online.pose_buffer import body_from_sensor
from ssl_perception.io.extrinsics import complete, level_camera
from ssl_perception.io.static_transforms import StaticTransforms

# optical axes in those of a body, as drivers publish them: z ahead, x right, y down
OPTICAL = Rotation.from_euler("ZYX", [-np.pi / 2, 0.0, -np.pi / 2]).as_matrix()


def pose(xyz: tuple[float, float, float], **angles: float) -> NDArray[np.float64]:
    found = np.eye(4)
    ordered = [angles.get(name, 0.0) for name in ("yaw", "pitch", "roll")]
    found[:3, :3] = Rotation.from_euler("ZYX", ordered).as_matrix()
    found[:3, 3] = xyz
    return found


def tree(poses: Mapping[tuple[str, str], NDArray[np.float64]]) -> StaticTransforms:
    transforms = StaticTransforms()
    for (parent, child), placed in poses.items():
        x, y, z, w = Rotation.from_matrix(placed[:3, :3]).as_quat()
        turn = Message(x=x, y=y, z=z, w=w)
        place = Message(**dict(zip("xyz", placed[:3, 3], strict=True)))
        transform = Message(translation=place, rotation=turn)
        header = Message(frame_id=parent)
        one = Message(header=header, child_frame_id=child, transform=transform)
        transforms.add(Message(transforms=[one]))
    return transforms


def optical() -> NDArray[np.float64]:
    found = np.eye(4)
    found[:3, :3] = OPTICAL
    return found


def robot(pitch: float = 0.2, roll: float = -0.1) -> StaticTransforms:
    """A lidar on a mast, turned to the left; a camera that looks down, to the right."""
    return tree(
        {
            ("base_link", "lidar"): pose((0.5, 0.1, 1.2), yaw=0.3, roll=0.05),
            ("base_link", "left_frame"): pose((0.9, 0.3, 0.6), yaw=-0.4, pitch=pitch, roll=roll),
            ("left_frame", "left_optical_frame"): optical(),
        }
    )


FRAMES = {"base": "base_link", "lidar": "lidar", "camera": "left_optical_frame"}


def test_what_is_not_set_is_taken_from_the_transforms() -> None:
    found = complete(Config(), robot(), **FRAMES)
    np.testing.assert_allclose(
        body_from_sensor(found.lidar_mount), pose((0.5, 0.1, 1.2), yaw=0.3, roll=0.05), atol=1e-9
    )
    scan, beside = found.scan, found.lidar_scan
    assert (scan.camera_pitch, scan.camera_roll) == pytest.approx((0.2, -0.1))
    assert scan.frame == "left_optical_frame_level", "left_frame is tilted"
    named = complete(from_dict({"scan": {"frame": "level"}}), robot(), **FRAMES)
    assert named.scan.frame == "level" and named.scan.camera_pitch == scan.camera_pitch
    assert (beside.camera_x, beside.camera_y) == pytest.approx((0.4, 0.2)), "in the body's axes"
    assert beside.camera_yaw == pytest.approx(-0.4)
    # the settings say of the camera what the transforms themselves say
    between = robot().between("left_optical_frame", "lidar")
    from_settings = camera_from_lidar(found.camera_mount, found.lidar_mount)
    assert between is not None and from_settings is not None
    np.testing.assert_allclose(from_settings, between, atol=1e-9)


def test_what_is_set_stays() -> None:
    own = {
        "lidar_mount": {"z": 2.0},
        "camera_mount": {"x": 1.0},
        "scan": {"camera_roll": 0.3},
        "lidar_scan": {"camera_x": -1.0},
    }
    config = from_dict(own)
    assert complete(config, robot(), **FRAMES) == config


def test_frames_that_no_transform_connects_change_nothing() -> None:
    assert complete(Config(), StaticTransforms(), **FRAMES) == Config()
    assert complete(Config(), robot(), "odom", "lidar", "left_optical_frame") == Config()
    assert complete(Config(), robot(), "base_link", camera="right_optical_frame") == Config()
    alone = complete(Config(), robot(), "base_link", camera="left_optical_frame")
    assert alone.lidar_scan == Config().lidar_scan, "where the lidar is, nobody said"
    assert alone.scan.camera_pitch == pytest.approx(0.2)


def test_a_camera_that_is_as_good_as_level_is_not_levelled() -> None:
    assert complete(Config(), robot(0.005, -0.005), **FRAMES).scan == Config().scan


def test_a_camera_that_looks_at_the_ground_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^tf_static: seen from base_link, camera_pitch is 1\.4"):
        complete(Config(), robot(1.4, 0.0), **FRAMES)


def test_the_scans_frame_is_level_at_the_camera_and_looks_where_it_looks() -> None:
    level = level_camera(robot(), "base_link", "left_optical_frame")
    assert level is not None
    np.testing.assert_allclose(level, pose((0.9, 0.3, 0.6), yaw=-0.4), atol=1e-9)
    assert level_camera(robot(), "base_link", "right") is None
