"""Livox's CustomMsg from its bytes, against a codec made from the message's own definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from ssl_perception.config import PointsConfig
from ssl_perception.errors import InputError
from ssl_perception.io import livox, sweep
from ssl_perception.io.open_log import open_log
from ssl_perception.types import PointCloud

KIND = "livox_ros_driver2/msg/CustomMsg"
POINT = """uint32 offset_time
float32 x
float32 y
float32 z
uint8 reflectivity
uint8 tag
uint8 line
"""
MESSAGE = """std_msgs/Header header
uint64 timebase
uint32 point_num
uint8 lidar_id
uint8[3] rsvd
CustomPoint[] points
"""
STAMP = 1_700_000_000_123_456_789
PASS_ON = PointsConfig(pass_on=True)


def types() -> Any:
    store = get_typestore(Stores.ROS2_KILTED)
    store.register(get_types_from_msg(POINT, "livox_ros_driver2/msg/CustomPoint"))
    store.register(get_types_from_msg(MESSAGE, KIND))
    return store


def serialised(
    rows: list[tuple[Any, ...]], frame: str = "livox_frame", little: bool = True
) -> bytes:
    store = types()
    kinds = store.types
    seconds, nanoseconds = divmod(STAMP, 1_000_000_000)
    stamp = kinds["builtin_interfaces/msg/Time"](seconds, nanoseconds)
    points = [kinds["livox_ros_driver2/msg/CustomPoint"](*row) for row in rows]
    header = kinds["std_msgs/msg/Header"](stamp, frame)
    rsvd = np.zeros(3, np.uint8)
    message = kinds[KIND](header, STAMP, len(rows), 0, rsvd, points)
    return bytes(store.serialize_cdr(message, KIND, little_endian=little))


ROWS = [(k * 10_000_000, 1.0 + k, 2.0 - k, 0.25 * k, 10 * k, k, k % 4) for k in range(1, 8)]


@pytest.mark.parametrize("frame", ["", "l", "livox", "livox_frame"])
@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_bytes_are_read_as_the_definition_says(frame: str, little: bool, count: int) -> None:
    rows = ROWS[:count]
    message = livox.parse(serialised(rows, frame, little))
    assert message.header.frame_id == frame
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == divmod(STAMP, 10**9)
    cloud = sweep.decode(message, PASS_ON)
    np.testing.assert_array_equal(cloud.points, np.array([row[1:4] for row in rows], np.float32))
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time, np.array([row[0] * 1e-9 for row in rows]))
    assert cloud.intensity is not None and cloud.intensity.tolist() == [r[4] for r in rows]
    assert cloud.ring is not None and cloud.ring.tolist() == [row[6] for row in rows]
    assert sweep.decode(message, PointsConfig()).ring is None


def test_points_at_the_origin_or_nan_are_no_return() -> None:
    bad = [(0, 0.0, 0.0, 0.0, 0, 0, 0), (0, np.nan, 1.0, 1.0, 0, 0, 0)]
    message = livox.parse(serialised(bad + ROWS))
    cloud = livox.decode(message, STAMP)
    assert len(cloud) == len(ROWS) and message.width - len(cloud) == 2
    with pytest.raises(InputError, match="none of 2 points is a return"):
        livox.decode(livox.parse(serialised(bad)), STAMP)


def test_every_cut_of_a_message_is_refused() -> None:
    raw = serialised(ROWS)
    for length in range(len(raw)):
        with pytest.raises(InputError, match="corrupt CustomMsg"):
            livox.parse(raw[:length])
    lying = bytearray(serialised(ROWS, "l"))
    lying[4 + 8 : 4 + 12] = b"\xff\xff\xff\x7f"  # length of the frame's name
    with pytest.raises(InputError, match="frame_id of 2147483647 bytes"):
        livox.parse(bytes(lying))


def test_a_recording_of_a_livox_is_read_without_its_package(tmp_path: Path) -> None:
    folder = tmp_path / "livox"
    with Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection("/livox/lidar", KIND, typestore=types())
        bag.write(connection, STAMP, serialised(ROWS))
    (recorded,) = open_log(folder, points=PASS_ON)
    assert isinstance(recorded.value, PointCloud) and recorded.stamp_ns == STAMP
    assert len(recorded.value) == len(ROWS) and recorded.value.ring is not None
