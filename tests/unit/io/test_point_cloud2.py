"""PointCloud2: what drivers send becomes a PointCloud, and scene flow survives the round trip."""

from __future__ import annotations

from array import array
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ssl_perception.errors import InputError
from ssl_perception.io.point_cloud2 import (
    PackedCloud,
    PointField,
    decode,
    decode_flow,
    encode_flow,
    encode_points,
    flow_fields,
    with_channels,
)
from ssl_perception.types import FloatArray, PointCloud, SceneFlow

CODES = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
STAMP = (1_700_000_000, 123_456_789)


def ones(*shape: int) -> FloatArray:
    return np.ones(shape, np.float32)


def zeros(*shape: int) -> FloatArray:
    return np.zeros(shape, np.float32)


def message(
    columns: dict[str, np.ndarray],
    height: int = 1,
    spare: int = 0,
    row_padding: int = 0,
    big_endian: bool = False,
    is_dense: bool = False,
    stamp: tuple[int, int] = STAMP,
) -> Any:
    """A PointCloud2 with these fields packed one after the other, as a driver would."""
    order = ">" if big_endian else "<"
    count = len(next(iter(columns.values())))
    fields, offset = [], 0
    for name, column in columns.items():
        kind = column.dtype.str[1:]
        fields.append(SimpleNamespace(name=name, offset=offset, datatype=CODES[kind], count=1))
        offset += column.dtype.itemsize
    step = offset + spare
    record = np.dtype(
        {
            "names": [f.name for f in fields],
            "formats": [order + column.dtype.str[1:] for column in columns.values()],
            "offsets": [f.offset for f in fields],
            "itemsize": step,
        }
    )
    records = np.zeros(count, record)
    for name, column in columns.items():
        records[name] = column
    width = count // height
    rows = [
        records[k * width : (k + 1) * width].tobytes() + b"\xff" * row_padding
        for k in range(height)
    ]
    return SimpleNamespace(
        header=SimpleNamespace(
            stamp=SimpleNamespace(sec=stamp[0], nanosec=stamp[1]), frame_id="lidar"
        ),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=big_endian,
        point_step=step,
        row_step=width * step + row_padding,
        data=array("B", b"".join(rows)),
        is_dense=is_dense,
    )


def xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    return {"x": points[:, 0], "y": points[:, 1], "z": points[:, 2]}


def some_points(count: int = 12, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 20, (count, 3)).astype(dtype)


coordinates = st.floats(-1e4, 1e4, width=32).filter(lambda value: value != 0)


@given(
    points=hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=coordinates),
    height=st.sampled_from([1, 2, 4]),
    spare=st.integers(0, 9),
    row_padding=st.integers(0, 9),
    big_endian=st.booleans(),
    double=st.booleans(),
)
def test_any_layout_gives_the_same_points(
    points: np.ndarray, height: int, spare: int, row_padding: int, big_endian: bool, double: bool
) -> None:
    points = np.repeat(points, height, axis=0)
    packed = points.astype(np.float64) if double else points
    columns = {"ring": np.zeros(len(points), np.uint16), **xyz(packed)}
    cloud = decode(message(columns, height, spare, row_padding, big_endian))
    np.testing.assert_array_equal(cloud.points, points)
    assert cloud.frame == "lidar"
    assert cloud.time is None
    assert cloud.points.flags.c_contiguous


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time", np.array([-0.05, 0.0, 0.0999], np.float32)),  # Velodyne
        ("t", np.array([0, 50_000_000, 99_900_000], np.uint32)),  # Ouster
        ("offset_time", np.array([0, 50_000_000, 99_900_000], np.uint32)),  # Livox, custom
        ("time_stamp", np.array([0, 50_000_000, 99_900_000], np.uint32)),  # Autoware
        ("timestamp", STAMP[0] + STAMP[1] * 1e-9 + np.array([0.0, 0.05, 0.0999])),  # Hesai
        ("timestamp", (STAMP[0] + STAMP[1] * 1e-9 + np.array([0.0, 0.05, 0.0999])) * 1e9),  # Livox
        ("time", np.array([0.0, 50.0, 99.9], np.float32)),  # ms
        ("time", np.array([0.0, 5e4, 9.99e4], np.float32)),  # µs
        ("time", np.array([0.0, 5e7, 9.99e7], np.float32)),  # ns
    ],
)
def test_point_time_of_each_driver(name: str, values: np.ndarray) -> None:
    cloud = decode(message({**xyz(some_points(3)), name: values}))
    want = [-0.05, 0.0, 0.0999] if values[0] < 0 else [0.0, 0.05, 0.0999]
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time, want, atol=1e-6)


def test_absolute_time_of_a_clock_that_started_at_zero() -> None:
    stamp = 100.25
    times = stamp + np.array([0.0, 0.05, 0.1])
    clock = (100, 250_000_000)
    cloud = decode(message({**xyz(some_points(3)), "timestamp": times}, stamp=clock))
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time, np.array([0.0, 0.05, 0.1]), atol=1e-6)


def test_unsynchronised_lidar_clock_is_refused() -> None:
    late = STAMP[0] + 37.0 + np.array([0.0, 0.05, 0.1])
    with pytest.raises(InputError, match="'timestamp': point times lie 37"):
        decode(message({**xyz(some_points(3)), "timestamp": late}, stamp=(STAMP[0], 0)))


EPOCH = STAMP[0] + STAMP[1] * 1e-9
SWEEP_TIMES = np.array([0.0, 0.05, 0.0999])
U1, U2, U4 = (np.arange(1, 4, dtype=f"u{size}") for size in (1, 2, 4))
# fields in the order, and of the types, in which each driver packs them
DRIVERS: dict[str, dict[str, np.ndarray]] = {
    "velodyne_pointcloud": {
        "intensity": U1.astype(np.float32),
        "ring": U2,
        "time": SWEEP_TIMES.astype(np.float32),
    },
    "ouster_ros": {
        "intensity": U1.astype(np.float32),
        "t": (SWEEP_TIMES * 1e9).astype(np.uint32),
        "reflectivity": 9 * U2,
        "ring": U2,
        "ambient": U2,
        "range": U4,
    },
    "ouster_ros, 128 beams": {"t": (SWEEP_TIMES * 1e9).astype(np.uint32), "ring": U1},
    "hesai_ros_driver": {
        "intensity": U1.astype(np.float32),
        "ring": U2,
        "timestamp": EPOCH + SWEEP_TIMES,
    },
    "rslidar_sdk": {"intensity": U1, "ring": U2, "timestamp": EPOCH + SWEEP_TIMES},
    "livox_ros_driver2": {
        "intensity": U1.astype(np.float32),
        "tag": U1,
        "line": U1,
        "timestamp": (EPOCH + SWEEP_TIMES) * 1e9,
    },
    "Autoware": {"intensity": U1, "return_type": U1, "channel": U2, "time_stamp": U4 * 0},
}


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_driver_s_times_rings_and_intensities(driver: str, big_endian: bool) -> None:
    columns = DRIVERS[driver]
    sent = message({**xyz(some_points(3)), **columns}, 1, 3, 5, big_endian)
    cloud = decode(sent, channels=True)
    np.testing.assert_array_equal(cloud.points, some_points(3))
    times = np.zeros(3) if driver == "Autoware" else SWEEP_TIMES
    assert cloud.time is not None
    np.testing.assert_allclose(cloud.time, times, atol=1e-6)
    assert cloud.ring is not None and cloud.ring.dtype == np.uint16
    assert cloud.ring.tolist() == [1, 2, 3]
    if "intensity" in columns:
        assert cloud.intensity is not None and cloud.intensity.tolist() == [1.0, 2.0, 3.0]
    else:
        assert cloud.intensity is None
    plain = decode(sent)
    assert plain.ring is None and plain.intensity is None, "not asked for"


def test_channels_go_on_into_scene_flow_with_the_points_they_belong_to() -> None:
    points = some_points(4)
    points[1] = 0.0  # no return
    counted = np.arange(4)
    columns: dict[str, np.ndarray] = {
        "intensity": counted.astype(np.float32),
        "ring": counted.astype(np.uint16),
    }
    cloud = decode(message({**xyz(points), **columns}), channels=True)
    flow = SceneFlow(ones(3, 3), np.array([True, False, True]), ones(3), 0.1)
    packed = with_channels(encode_flow(cloud, flow), cloud)
    assert [f.name for f in packed.fields][-2:] == ["intensity", "ring"]
    assert len(packed.data) == 3 * packed.point_step
    back = decode(SimpleNamespace(**_fields(packed)), channels=True)
    np.testing.assert_array_equal(back.points, points[[0, 2, 3]])
    assert back.intensity is not None and back.intensity.tolist() == [0.0, 2.0, 3.0]
    assert back.ring is not None and back.ring.tolist() == [0, 2, 3]
    np.testing.assert_array_equal(decode_flow(packed).moving, flow.moving)
    plain = PointCloud(cloud.points)
    unchanged = encode_flow(plain, flow)
    assert with_channels(unchanged, plain) is unchanged


def _fields(packed: PackedCloud) -> dict[str, Any]:
    names = ("height", "width", "fields", "is_bigendian", "point_step", "row_step", "data")
    header = SimpleNamespace(stamp=SimpleNamespace(sec=1, nanosec=0), frame_id="lidar")
    return {name: getattr(packed, name) for name in (*names, "is_dense")} | {"header": header}


def test_points_that_are_no_return_are_dropped_with_their_times() -> None:
    points = some_points(6)
    points[1] = 0.0
    points[3, 2] = np.nan
    points[4, 0] = np.inf
    times = np.arange(6, dtype=np.float32) * 0.01
    packed = message({**xyz(points), "time": times})
    cloud = decode(packed)
    np.testing.assert_array_equal(cloud.points, points[[0, 2, 5]])
    np.testing.assert_array_equal(cloud.time, times[[0, 2, 5]])
    assert packed.height * packed.width - len(cloud) == 3


def test_zero_in_one_or_two_axes_is_a_point() -> None:
    points = np.array([[0, 0, 1], [0, 2, 0], [3, 0, 0], [0, 0, 0]], np.float32)
    np.testing.assert_array_equal(decode(message(xyz(points))).points, points[:3])


def test_decoding_leaves_the_message_alone() -> None:
    packed = message(xyz(some_points()))
    before = packed.data.tobytes()
    decode(packed).points[:] = 0.0
    assert packed.data.tobytes() == before


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"point_step": 8}, "ends beyond point_step 8"),
        ({"point_step": 0}, "point_step 0"),
        ({"point_step": 100_000}, "point_step 100000"),
        ({"row_step": 11}, "row_step 11 is less than"),
        ({"width": 13}, "row_step"),
        ({"width": 11, "row_step": 132}, "data holds 144 bytes"),
        ({"point_step": 16}, "row_step 144 is less than width 12 x point_step 16"),
        ({"height": 3}, "data holds"),
        ({"height": 0}, "empty cloud"),
        ({"width": 0}, "empty cloud"),
        ({"height": 1 << 20, "width": 1 << 20}, "more than"),
        ({"fields": []}, "no field x, y, z"),
        ({"data": array("B", b"short")}, "data holds 5 bytes"),
    ],
)
def test_lying_headers(change: dict[str, Any], line: str) -> None:
    packed = message(xyz(some_points(12)))
    for name, value in change.items():
        setattr(packed, name, value)
    with pytest.raises(InputError, match=line):
        decode(packed)


def test_missing_axis_is_named() -> None:
    columns = xyz(some_points())
    columns.pop("y")
    with pytest.raises(InputError, match="has no field y; it has x, z"):
        decode(message(columns))


def test_integer_axis_is_refused() -> None:
    columns = xyz(some_points()) | {"x": np.zeros(12, np.int16)}
    with pytest.raises(InputError, match="'x' must be float32 or float64"):
        decode(message(columns))


def test_unknown_datatype_is_refused() -> None:
    packed = message(xyz(some_points()))
    packed.fields[0].datatype = 99
    with pytest.raises(InputError, match="unknown datatype 99"):
        decode(packed)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_point_in_a_cloud_that_says_dense_costs_itself_alone(bad: float) -> None:
    points = some_points()
    points[2, 1] = bad
    packed = message(xyz(points), is_dense=True)
    cloud = decode(packed)
    np.testing.assert_array_equal(cloud.points, np.delete(points, 2, axis=0))
    assert packed.width - len(cloud) == 1, "counted as dropped"


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_nothing_left_is_an_empty_cloud(fill: float) -> None:
    points = np.full((5, 3), fill, np.float32)
    with pytest.raises(InputError, match="empty cloud: none of 5 points"):
        decode(message(xyz(points)))


def test_absurd_coordinates_are_refused() -> None:
    points = some_points(4, np.float64)
    points[0, 0] = -1e7
    with pytest.raises(InputError, match="beyond 1e"):
        decode(message(xyz(points), is_dense=True))
    points[0, 0] = 1e300  # infinite as float32
    assert len(decode(message(xyz(points), is_dense=True))) == 3


def test_bad_times_are_refused() -> None:
    columns = xyz(some_points(3))
    nan = np.array([0.0, np.nan, 0.1], np.float32)
    with pytest.raises(InputError, match="1 of 3 point times"):
        decode(message({**columns, "time": nan}))
    with pytest.raises(InputError, match="can't hold point times"):
        decode(message({**columns, "t": np.zeros(3, np.uint8)}))


@pytest.mark.parametrize("stamp", [(-1, 0), (5, 1_000_000_000)])
def test_impossible_stamp(stamp: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="is no time"):
        decode(message(xyz(some_points(3)), stamp=stamp))


@given(st.integers(1, 30), st.floats(0.01, 1.0) | st.floats(-1.0, -0.01), st.randoms())
def test_scene_flow_round_trip(count: int, interval: float, random: Any) -> None:
    rng = np.random.default_rng(random.randint(0, 1 << 30))
    cloud = PointCloud(rng.normal(size=(count, 3)).astype(np.float32), None, 1.0, "base")
    confidence = rng.choice(np.array([0.0, 0.25, 1.0], np.float32), count)
    velocity = rng.normal(size=(count, 3)).astype(np.float32)
    flow = SceneFlow(velocity, rng.random(count) < 0.5, confidence, interval)
    packed = encode_flow(cloud, flow)
    assert packed.frame == "base"
    assert packed.data.nbytes == packed.row_step == count * packed.point_step
    back = decode_flow(packed)
    np.testing.assert_array_equal(back.points, cloud.points)
    np.testing.assert_array_equal(back.velocity, flow.velocity)
    np.testing.assert_array_equal(back.moving, flow.moving)
    np.testing.assert_array_equal(back.confidence, flow.confidence)
    assert np.isnan(back.velocity[confidence == 0]).all()
    assert packed.is_dense == bool((confidence > 0).all())


def test_flow_of_other_points_is_refused() -> None:
    flow = SceneFlow(zeros(4, 3), np.zeros(4, bool), ones(4), 0.1)
    with pytest.raises(InputError, match="3 points but flow for 4"):
        encode_flow(PointCloud(ones(3, 3)), flow)


def test_another_cloud_is_no_scene_flow() -> None:
    with pytest.raises(InputError, match="not a scene flow cloud"):
        decode_flow(encode_points(PointCloud(ones(3, 3))))


@pytest.mark.parametrize("time", [None, np.array([0.0, 0.05, 0.1], np.float32)])
def test_points_round_trip(time: np.ndarray | None) -> None:
    cloud = PointCloud(some_points(3), time, 0.0, "base")
    packed = encode_points(cloud)
    sent = SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=7, nanosec=5), frame_id=packed.frame),
        **{
            name: getattr(packed, name)
            for name in (
                "height",
                "width",
                "fields",
                "is_bigendian",
                "point_step",
                "row_step",
                "data",
                "is_dense",
            )
        },
    )
    back = decode(sent)
    np.testing.assert_array_equal(back.points, cloud.points)
    if time is None:
        assert back.time is None
    else:
        np.testing.assert_array_equal(back.time, time)


def test_fields_are_those_of_the_contract() -> None:
    flow = SceneFlow(zeros(1, 3), np.ones(1, bool), ones(1), 0.1)
    packed = encode_flow(PointCloud(ones(1, 3)), flow)
    by_name = {field.name: field for field in packed.fields}
    assert list(by_name)[:6] == ["x", "y", "z", "vx", "vy", "vz"]
    assert by_name["moving"] == PointField("moving", 28, CODES["u1"])
    assert by_name["confidence"].datatype == CODES["f4"]
    assert packed.point_step == 32


def test_a_choice_of_fields_and_of_moving_points() -> None:
    cloud = PointCloud(some_points(4), frame="lidar")
    moving = np.array([False, True, False, True])
    velocity = np.arange(12, dtype=np.float32).reshape(4, 3)
    flow = SceneFlow(velocity, moving, np.array([0.0, 1.0, 0.5, 0.25], np.float32), 1.0)
    packed = encode_flow(cloud, flow, flow_fields("moving vx vy vz x y z"), moving_only=True)
    assert [f.name for f in packed.fields] == ["x", "y", "z", "vx", "vy", "vz", "moving"]
    assert (packed.width, packed.point_step, packed.is_dense) == (2, 28, True)
    floats = packed.data.view("<f4").reshape(2, 7)
    np.testing.assert_array_equal(floats[:, :3], cloud.points[moving])
    np.testing.assert_array_equal(floats[:, 3:6], velocity[moving])
    assert packed.data.reshape(2, 28)[:, 24:].tolist() == [[1, 0, 0, 0]] * 2
    places = encode_flow(cloud, flow, flow_fields("x y z"))
    assert (places.width, places.point_step, places.is_dense) == (4, 12, True)
    assert not encode_flow(cloud, flow, flow_fields("x y z vx")).is_dense, "unknown of the first"


@pytest.mark.parametrize(("names", "line"), [("x y z speed", "no field 'speed'"), ("x y vx", "z")])
def test_fields_that_make_no_cloud_are_refused(names: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        flow_fields(names)
