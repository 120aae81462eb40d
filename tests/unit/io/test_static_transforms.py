"""tf_static: transforms between any two frames of one tree."""

from __future__ import annotations

from types import SimpleNamespace as Message

import numpy as np

from ssl_perception.io.static_transforms import StaticTransforms


def tf(parent: str, child: str, x: float, yaw: float = 0.0) -> Message:
    turn = Message(x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2))
    place = Message(translation=Message(x=x, y=0.0, z=0.0), rotation=turn)
    header = Message(frame_id=parent)
    one = Message(header=header, child_frame_id=child, transform=place)
    return Message(transforms=[one])


def test_between_siblings_and_along_chains() -> None:
    tree = StaticTransforms()
    tree.add(tf("base_link", "mast", 2.0, np.pi / 2))
    tree.add(tf("mast", "lidar", 1.0))
    tree.add(tf("/base_link", "/camera", 5.0))
    camera_from_lidar = tree.between("camera", "lidar")
    assert camera_from_lidar is not None
    # 3 m ahead on the mast, which looks left: 3 m left of x = 2; and the camera is at x = 5
    np.testing.assert_allclose(camera_from_lidar @ [2.0, 0, 0, 1], [-3.0, 3.0, 0, 1], atol=1e-12)
    itself, inverse = tree.between("lidar", "/lidar"), tree.between("lidar", "camera")
    assert itself is not None and inverse is not None
    np.testing.assert_allclose(itself, np.eye(4))
    np.testing.assert_allclose(inverse @ camera_from_lidar, np.eye(4), atol=1e-12)
    assert tree.between("camera", "imu") is None


def test_a_circle_ends() -> None:
    tree = StaticTransforms()
    tree.add(tf("a", "b", 1.0))
    tree.add(tf("b", "a", 1.0))
    assert tree.between("a", "c") is None
