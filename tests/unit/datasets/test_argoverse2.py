"""Argoverse 2, written small in its true format, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from scipy.spatial.transform import Rotation

from ssl_perception.datasets import open_flow
from ssl_perception.datasets.argoverse2 import Argoverse2
from ssl_perception.errors import InputError

LOG = "7fab2350-7eaf-3b7e-a39d-6937a4c1bede"
TIMES = (315966265259836000, 315966265360032000, 315966265459784000)


def write_feather(path: Path, **columns: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table(columns), path)


def poses(transforms: list[np.ndarray]) -> dict[str, np.ndarray]:
    quaternions = np.array([Rotation.from_matrix(t[:3, :3]).as_quat() for t in transforms])
    translations = np.array([t[:3, 3] for t in transforms])
    columns = {name: quaternions[:, k] for k, name in enumerate(("qx", "qy", "qz", "qw"))}
    return columns | {name: translations[:, k] for k, name in enumerate(("tx_m", "ty_m", "tz_m"))}


def write_argoverse(root: Path, annotated: bool = True, ground: bool = True) -> np.ndarray:
    """Three sweeps of a car that drives 1 m a sweep past a cube that moves 0.5 m the other way.

    Returns:
        The points of the first sweep: the first 5 on the ground, 20 in the cube, the rest static.
    """
    folder = root / LOG
    rng = np.random.default_rng(3)
    low = rng.uniform(-9, 9, (5, 3)) * [1, 1, 0] - [0, 0, 0.2]
    cube = np.array([10, 3, 1.5]) + rng.uniform(-0.45, 0.45, (20, 3))
    wall = rng.uniform(-15, 15, (30, 3)) * [1, 0, 0.1] + [0, 9, 3]
    first = np.concatenate([low, cube, wall]).astype(np.float16)
    boxes = []
    city_from_ego = []
    for k, time in enumerate(TIMES):
        sweep = first.astype(np.float64)
        sweep[:, 0] -= k  # the car drives forward
        sweep[5:25, 0] -= 0.5 * k  # the cube comes towards it
        write_feather(
            folder / "sensors" / "lidar" / f"{time}.feather",
            **{axis: sweep[:, j].astype(np.float16) for j, axis in enumerate("xyz")},
            intensity=np.zeros(len(sweep), np.uint8),
            laser_number=np.zeros(len(sweep), np.uint8),
            offset_ns=(np.arange(len(sweep)) * 1_000_000).astype(np.int32),
        )
        pose = np.eye(4)
        pose[:3, 3] = [1000.0 + k, 2000.0, 50.0]
        city_from_ego.append(pose)
        box = np.eye(4)
        box[:3, 3] = [10 - 1.5 * k, 3, 1.5]
        boxes.append(box)
    write_feather(
        folder / "city_SE3_egovehicle.feather",
        timestamp_ns=np.array(TIMES),
        **poses(city_from_ego),
    )
    if annotated:
        write_feather(
            folder / "annotations.feather",
            timestamp_ns=np.array(TIMES[:2]),
            track_uuid=np.array(["cube", "cube"]),
            category=np.array(["REGULAR_VEHICLE"] * 2),
            length_m=np.ones(2),
            width_m=np.ones(2),
            height_m=np.ones(2),
            num_interior_pts=np.array([20, 20]),
            **poses(boxes[:2]),
        )
    if ground:
        (folder / "map").mkdir()
        raster = np.full((200, 160), 50.0, np.float16)  # rows are y
        np.save(folder / "map" / f"{LOG}_ground_height_surface____PIT.npy", raster)
        sim2 = {"R": [1, 0, 0, 1], "t": [-960.0, -1950.0], "s": 2.0}
        (folder / "map" / f"{LOG}___img_Sim2_city.json").write_text(json.dumps(sim2))
    write_feather(
        folder / "calibration" / "egovehicle_SE3_sensor.feather",
        sensor_name=np.array(["ring_front_left", "up_lidar", "down_lidar"]),
        tx_m=np.array([9.0, 1.3, 1.4]),
        ty_m=np.zeros(3),
        tz_m=np.array([9.0, 1.7, 1.5]),
        **{name: np.array([v] * 3) for name, v in (("qw", 1.0), ("qx", 0), ("qy", 0), ("qz", 0))},
    )
    return first.astype(np.float32)


def test_argoverse_truth_from_boxes(tmp_path: Path) -> None:
    first = write_argoverse(tmp_path / "sensor" / "val")
    for path in (
        tmp_path / "sensor" / "val" / LOG,
        tmp_path / "sensor" / "val",
        tmp_path / "sensor",
        tmp_path,
    ):
        assert len(open_flow("argoverse2", path)) == 2
    sample = open_flow("argoverse2", tmp_path)[0]
    assert sample.prepared
    assert len(sample.source) == 50, "five ground points are out"
    assert len(sample.target) == 50
    assert sample.flow is not None
    np.testing.assert_allclose(sample.source.points, first[5:] - [1, 0, 0], atol=1e-5)
    np.testing.assert_allclose(sample.flow[:20], np.tile([-0.5, 0, 0], (20, 1)), atol=1e-5)
    np.testing.assert_allclose(sample.flow[20:], 0, atol=1e-5)
    assert sample.foreground is not None and sample.category is not None
    np.testing.assert_array_equal(sample.foreground, np.arange(50) < 20)
    np.testing.assert_array_equal(sample.dynamic, np.arange(50) < 20)
    assert set(sample.category[:20]) == {19}, "REGULAR_VEHICLE, as in the published labels"
    assert sample.valid.all()
    assert sample.interval == pytest.approx(0.100196, abs=1e-6)
    np.testing.assert_allclose(sample.target.origin, [1.35, 0, 1.6], atol=1e-6)
    np.testing.assert_allclose(sample.source.origin, [0.35, 0, 1.6], atol=1e-6)
    assert sample.source.time is not None
    np.testing.assert_allclose(sample.source.time, np.arange(5, 55) * 1e-3, rtol=1e-5)


def test_argoverse_track_that_ends_is_not_scored(tmp_path: Path) -> None:
    write_argoverse(tmp_path)
    assert Argoverse2(tmp_path)[0].valid.all()
    # the third sweep has no boxes at all, so the cube of the second has no partner
    np.testing.assert_array_equal(Argoverse2(tmp_path)[1].valid, np.arange(50) >= 20)
    file = tmp_path / LOG / "annotations.feather"
    table = feather.read_table(file)
    feather.write_feather(table.set_column(1, "track_uuid", pa.array(["cube", "another"])), file)
    sample = Argoverse2(tmp_path)[0]
    np.testing.assert_array_equal(sample.valid, np.arange(50) >= 20)


def test_argoverse_truth_from_labels(tmp_path: Path) -> None:
    first = write_argoverse(tmp_path / "val")
    flow = np.tile(np.array([-1.0, 0.25, 0.0], np.float32), (len(first), 1))
    valid = np.arange(len(first)) != 30
    columns = {f"flow_t{axis}_m": flow[:, k].astype(np.float16) for k, axis in enumerate("xyz")}
    columns |= {"is_valid": valid, "classes_0": np.where(np.arange(len(first)) < 25, 17, -1)}
    labels = tmp_path / "val" / "sceneflow" / LOG / f"{TIMES[0]}.feather"
    write_feather(labels, **columns)
    sample = open_flow("argoverse2", tmp_path / "val")[0]
    assert sample.flow is not None and sample.category is not None
    np.testing.assert_allclose(sample.flow, np.tile([0, 0.25, 0], (50, 1)), atol=1e-5)
    np.testing.assert_array_equal(sample.valid, valid[5:])
    assert set(sample.category[:20]) == {17} and set(sample.category[20:]) == {0}
    # the challenge's own files hold only the rows that count
    write_feather(labels, **{name: column[5:] for name, column in columns.items()})
    again = Argoverse2(tmp_path / "val", labels.parents[1])[0].flow
    assert again is not None
    np.testing.assert_allclose(again, sample.flow, atol=1e-6)
    write_feather(labels, **{name: column[:7] for name, column in columns.items()})
    with pytest.raises(InputError, match="7 labels fit neither"):
        open_flow("argoverse2", tmp_path / "val")[0]


def test_argoverse_test_split_and_no_map(tmp_path: Path) -> None:
    write_argoverse(tmp_path, annotated=False, ground=False)
    sample = open_flow("argoverse2", tmp_path)[0]
    assert sample.flow is None and not sample.valid.any()
    assert sample.ego_compensated and not sample.ground_free
    assert len(sample.source) == 55


def test_argoverse_broken_files(tmp_path: Path) -> None:
    write_argoverse(tmp_path)
    sweep = tmp_path / LOG / "sensors" / "lidar" / f"{TIMES[0]}.feather"
    whole = sweep.read_bytes()
    sweep.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"836000\.feather: not a readable feather file"):
        open_flow("argoverse2", tmp_path)[0]
    write_feather(sweep, x=np.zeros(3, np.float16))
    with pytest.raises(InputError, match="lacks y, z, offset_ns; it holds x"):
        open_flow("argoverse2", tmp_path)[0]
    (tmp_path / LOG / "city_SE3_egovehicle.feather").unlink()
    with pytest.raises(InputError, match=r"lacks city_SE3_egovehicle\.feather"):
        open_flow("argoverse2", tmp_path)
