"""Each dataset's layout, written small in its true format, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from scipy.spatial.transform import Rotation

from ssl_perception.datasets import FlowSample, open_depth, open_flow
from ssl_perception.datasets.argoverse2 import Argoverse2
from ssl_perception.datasets.kitti_raw import KittiRaw
from ssl_perception.datasets.kitti_scene_flow import KittiSceneFlow
from ssl_perception.datasets.pair import Pairs
from ssl_perception.datasets.samples import DepthSample
from ssl_perception.errors import InputError
from ssl_perception.types import CameraModel, PointCloud


def points(count: int, seed: int = 0, spread: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-spread, spread, (count, 3)).astype(np.float32)


def motion(yaw: float = 0.02, shift: tuple[float, float, float] = (-0.8, 0.1, 0.0)) -> np.ndarray:
    transform = np.eye(4)
    transform[:3, :3] = Rotation.from_euler("z", yaw).as_matrix()
    transform[:3, 3] = shift
    return transform


def moved(cloud: np.ndarray, transform: np.ndarray) -> np.ndarray:
    return (cloud @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)


# pair


def pair_arrays() -> dict[str, Any]:
    """Twenty static points and ten that move 1 m forward, while the car drives and turns."""
    p0, p1 = points(30), points(25, 1)
    over_ground = np.zeros((30, 3), np.float32)
    over_ground[20:, 0] = 1.0
    ego = motion()
    return {
        "p0": p0,
        "p1": p1,
        "flow": moved(p0, ego) + over_ground - p0,
        "ego_1_from_0": ego,
        "ground0": np.arange(30) < 5,
        "ground1": np.arange(25) < 4,
        "valid0": np.arange(30) != 7,
        "cls": np.where(np.arange(30) < 15, 0, 3),
        "offset_ns0": np.arange(30) * 1_000_000,
        "time1": np.arange(25) * 1e-3,
        "timestamp_ns": np.array([10**18, 10**18 + 200_000_000]),
        "origin0": np.array([1.0, 0.0, 2.0]),
    }


def check_pair(sample: FlowSample) -> None:
    arrays = pair_arrays()
    kept = np.flatnonzero(~arrays["ground0"] & arrays["valid0"])
    assert sample.prepared
    assert sample.interval == pytest.approx(0.2)
    np.testing.assert_allclose(
        sample.source.points, moved(arrays["p0"], arrays["ego_1_from_0"])[kept], atol=1e-5
    )
    np.testing.assert_array_equal(sample.target.points, arrays["p1"][4:])
    assert sample.flow is not None and sample.dynamic is not None
    np.testing.assert_allclose(sample.flow[:, 0], np.where(kept >= 20, 1.0, 0.0), atol=1e-5)
    np.testing.assert_allclose(sample.flow[:, 1:], 0.0, atol=1e-5)
    np.testing.assert_array_equal(sample.dynamic, kept >= 20)
    np.testing.assert_array_equal(sample.foreground, kept >= 15)
    np.testing.assert_array_equal(sample.category, np.where(kept >= 15, 3, 0))
    assert sample.source.time is not None and sample.target.time is not None
    np.testing.assert_allclose(sample.source.time, kept * 1e-3, rtol=1e-6)
    np.testing.assert_allclose(sample.target.time, np.arange(4, 25) * 1e-3, rtol=1e-6)
    origin = moved(np.array([[1.0, 0.0, 2.0]]), arrays["ego_1_from_0"])[0]
    np.testing.assert_allclose(sample.source.origin, origin, atol=1e-6)
    np.testing.assert_array_equal(sample.target.origin, 0.0)
    assert sample.valid.all()


def test_pair_as_one_file_as_many_and_as_a_folder_of_arrays(tmp_path: Path) -> None:
    arrays = pair_arrays()
    (tmp_path / "many").mkdir()
    (tmp_path / "arrays").mkdir()
    for k in range(3):
        np.savez(tmp_path / "many" / f"{k:03d}.npz", **arrays)
    for name, array in arrays.items():
        np.save(tmp_path / "arrays" / f"{name}.npy", array)
    for path, length in (("many", 3), ("many/001.npz", 1), ("arrays", 1)):
        dataset = open_flow("pair", tmp_path / path)
        assert len(dataset) == length
        samples = list(dataset)
        assert len(samples) == length
        for sample in samples:
            check_pair(sample)


def test_bare_pair_is_taken_as_it_is(tmp_path: Path) -> None:
    p0, flow = points(10), np.full((10, 3), 0.03, np.float32)
    np.savez(tmp_path / "bare.npz", p0=p0, p1=p0 + flow, flow=flow)
    sample = open_flow("pair", tmp_path / "bare.npz")[0]
    assert sample.prepared
    assert sample.interval == pytest.approx(0.1)
    assert sample.source.time is None and sample.foreground is None
    np.testing.assert_array_equal(sample.source.points, p0)
    assert sample.flow is not None
    np.testing.assert_allclose(sample.flow, flow, atol=1e-6)
    # 0.052 m in 0.1 s
    assert sample.dynamic is not None and sample.dynamic.all()


AHEAD = np.array([1.0, 0.0, 0.0])


def test_pair_is_cropped_in_the_source_frame(tmp_path: Path) -> None:
    p0 = np.array([[50, 0, 0], [51, 0, 0], [0, -50, 0], [0, -51, 0]], np.float32)
    np.savez(tmp_path / "far.npz", p0=p0, p1=p0 + AHEAD, ego_1_from_0=motion(0, (-5, 0, 0)))
    sample = Pairs(tmp_path / "far.npz")[0]
    np.testing.assert_array_equal(sample.source.points, p0[[0, 2]] + [-5, 0, 0])
    np.testing.assert_array_equal(sample.target.points, p0[[0, 2, 3]] + AHEAD)
    assert len(Pairs(tmp_path / "far.npz", max_range=0.0)[0].source) == 4


# Argoverse 2

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


# KITTI scene flow


def test_flownet3d_files(tmp_path: Path) -> None:
    pos1, pos2, gt = points(40), points(50, 1), points(40, 2, 0.5)
    pos1[0, 0] = 36.0
    np.savez(tmp_path / "000000.npz", pos1=pos1, pos2=pos2, gt=gt)
    dataset = open_flow("kitti-scene-flow", tmp_path)
    sample = dataset[0]
    assert len(dataset) == 1
    np.testing.assert_array_equal(sample.source.points, pos1[1:])
    np.testing.assert_array_equal(sample.target.points, pos2)
    np.testing.assert_array_equal(sample.flow, gt[1:])
    assert sample.ground_free and not sample.ego_compensated
    assert len(KittiSceneFlow(tmp_path, furthest=0)[0].source) == 40


def test_hplflownet_folders(tmp_path: Path) -> None:
    # camera axes there: x left, y up, z forward
    pc1 = np.array([[1, 0, 10], [2, -2, 12], [3, 1, 40], [4, -1, 5], [0, 0, 34.8]], np.float32)
    pc2 = pc1 + np.array([0.1, 0.0, 0.5], np.float32)  # the last one ends beyond 35 m: out of both
    (tmp_path / "000007").mkdir()
    np.save(tmp_path / "000007" / "pc1.npy", pc1)
    np.save(tmp_path / "000007" / "pc2.npy", pc2)
    sample = open_flow("kitti-scene-flow", tmp_path)[0]
    assert sample.name == "000007"
    np.testing.assert_array_equal(sample.source.points, [[10, 1, 0], [5, 4, -1]])
    assert sample.flow is not None
    np.testing.assert_allclose(sample.flow, [[0.5, 0.1, 0.0]] * 2, atol=1e-6)
    assert sorted(sample.target.points[:, 0].tolist()) == [5.5, 10.5]


def test_the_test_split_of_kitti_is_fifty_of_flownet3ds_files(tmp_path: Path) -> None:
    for number in range(150):
        np.savez(tmp_path / f"{number:06d}.npz", pos1=points(4), pos2=points(4), gt=points(4))
    dataset = open_flow("kitti-scene-flow-t", tmp_path)
    names = [dataset[k].name for k in (0, 49)]
    assert (len(dataset), names) == (50, ["000001", "000098"])
    (tmp_path / "000072.npz").unlink()
    with pytest.raises(InputError, match=r"lacks 1: 000072\.npz"):
        open_flow("kitti-scene-flow-t", tmp_path)


def write_kitti_2015(root: Path) -> CameraModel:
    """A wall at 20 m that comes 2 m nearer and 0.5 m to the right between the frames."""
    camera = CameraModel(60, 40, 100.0, 100.0, 30.0, 20.0)
    baseline = 0.5
    for name in ("disp_occ_0", "disp_noc_0", "disp_occ_1", "flow_occ", "image_2", "image_3"):
        (root / name).mkdir(parents=True)
    (root / "calib_cam_to_cam").mkdir()
    d0 = np.full((40, 60), camera.fx * baseline / 20, np.float32)
    d1 = np.full((40, 60), camera.fx * baseline / 18, np.float32)
    v, u = np.mgrid[:40, :60].astype(np.float32)
    x, y = (u - camera.cx) * 20 / camera.fx, (v - camera.cy) * 20 / camera.fy
    flow = np.stack(
        [(x + 0.5) / 18 * camera.fx + camera.cx - u, y / 18 * camera.fy + camera.cy - v], -1
    )
    seen = np.ones((40, 60), bool)
    seen[:, :10] = False
    both = seen.copy()
    both[:, :20] = False
    for name, disparity, mask in (
        ("disp_occ_0", d0, seen),
        ("disp_noc_0", d0, both),
        ("disp_occ_1", d1, seen),
    ):
        coded = np.where(mask, np.rint(disparity * 256), 0).astype(np.uint16)
        cv2.imwrite(str(root / name / "000003_10.png"), coded)
    coded_flow = np.rint(flow * 64 + 2**15).astype(np.uint16)
    # stored red u, green v, blue known; OpenCV writes blue, green, red
    bgr = np.stack([seen.astype(np.uint16), coded_flow[..., 1], coded_flow[..., 0]], -1)
    cv2.imwrite(str(root / "flow_occ" / "000003_10.png"), bgr)
    grey = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for name in ("image_2", "image_3"):
        cv2.imwrite(str(root / name / "000003_10.png"), grey)
    # both cameras are given from a third one: 4.0 is where the left one is
    p2, p3 = (f"100 0 30 {shift} 0 100 20 0 0 0 1 0" for shift in (4.0, 4.0 - 100 * baseline))
    text = f"calib_time: 09-Jan-2012 13:57:47\nP_rect_02: {p2}\nP_rect_03: {p3}\n"
    (root / "calib_cam_to_cam" / "000003.txt").write_text(text)
    return camera


def test_kitti_2015_scene_flow(tmp_path: Path) -> None:
    write_kitti_2015(tmp_path / "training")
    sample = open_flow("kitti-scene-flow", tmp_path)[0]
    assert sample.flow is not None
    # rows below 1.4 m under the camera are ground: 20 m / 100 px * row
    rows = np.arange(40)
    kept = ~((rows - 20) * 0.2 > 1.45)
    assert len(sample.source) == kept.sum() * 50
    np.testing.assert_allclose(sample.source.points[:, 0], 20.0, rtol=1e-3)
    np.testing.assert_allclose(sample.flow[:, 0], -2.0, atol=0.05)
    np.testing.assert_allclose(sample.flow[:, 1], -0.5, atol=0.02), "right is negative y"
    np.testing.assert_allclose(sample.flow[:, 2], 0.0, atol=0.02)


# KITTI stereo, Middlebury, KITTI lidar


def test_kitti_2015_stereo(tmp_path: Path) -> None:
    camera = write_kitti_2015(tmp_path / "training")
    dataset = open_depth("kitti-stereo", tmp_path)
    sample = dataset[0]
    assert len(dataset) == 1 and sample.name == "000003"
    assert sample.camera.fx == camera.fx and sample.camera.cx == camera.cx
    assert sample.pair is not None and sample.disparity is not None
    assert sample.pair.baseline == pytest.approx(0.5)
    assert np.isnan(sample.depth[:, :10]).all()
    np.testing.assert_allclose(sample.depth[:, 10:], 20.0, rtol=1e-3)
    np.testing.assert_allclose(sample.disparity[:, 10:], 2.5, rtol=1e-3)
    assert not sample.non_occluded[:, :20].any() and sample.non_occluded[:, 20:].all()
    assert sample.image.shape == (40, 60, 3)


@pytest.mark.parametrize("colour", [False, True])
def test_kitti_2012_stereo(tmp_path: Path, colour: bool) -> None:
    left, right = ("colored_0", "colored_1") if colour else ("image_0", "image_1")
    names = ("P2", "P3") if colour else ("P0", "P1")
    for name in (left, right, "disp_occ", "disp_noc", "calib"):
        (tmp_path / name).mkdir()
    disparity = np.full((40, 60), 5 * 256, np.uint16)
    for name in ("disp_occ", "disp_noc"):
        cv2.imwrite(str(tmp_path / name / "000027_10.png"), disparity)
    picture = np.zeros((40, 60, 3) if colour else (40, 60), np.uint8)
    for name in (left, right):
        cv2.imwrite(str(tmp_path / name / "000027_10.png"), picture)
    text = (
        f"{names[0]}: 100 0 30 0 0 100 20 0 0 0 1 0\n{names[1]}: 100 0 30 -50 0 100 20 0 0 0 1 0\n"
    )
    (tmp_path / "calib" / "000027.txt").write_text(text)
    sample = open_depth("kitti-stereo", tmp_path)[0]
    np.testing.assert_allclose(sample.depth, 100 * 0.5 / 5)
    assert sample.image.shape == picture.shape


@pytest.mark.parametrize("pfm", [False, True])
def test_middlebury(tmp_path: Path, pfm: bool) -> None:
    scene = tmp_path / "Piano"
    scene.mkdir()
    for name in ("im0.png", "im1.png"):
        cv2.imwrite(str(scene / name), np.zeros((20, 30, 3), np.uint8))
    disparity = np.full((20, 30), 10.0, np.float32)
    disparity[:5] = 20.0
    disparity[0, 0] = np.inf
    if pfm:
        rows = disparity[::-1].astype("<f4").tobytes()  # PFM counts rows from below
        (scene / "disp0GT.pfm").write_bytes(b"Pf\n30 20\n-1.0\n" + rows)
    else:
        coded = np.where(np.isfinite(disparity), disparity * 256, 0).astype(np.uint16)
        cv2.imwrite(str(scene / "disp0.png"), coded)
    mask = np.full((20, 30), 255, np.uint8)
    mask[:, :4] = 128
    cv2.imwrite(str(scene / "mask0nocc.png"), mask)
    (scene / "calib.txt").write_text(
        "cam0=[500 0 15; 0 500 10; 0 0 1]\ncam1=[500 0 45; 0 500 10; 0 0 1]\ndoffs=30\n"
        "baseline=200\nwidth=30\nheight=20\nndisp=64\n"
    )
    sample = open_depth("middlebury", tmp_path)[0]
    assert sample.pair is not None and sample.pair.cx_difference == 30
    assert np.isnan(sample.depth[0, 0])
    np.testing.assert_allclose(sample.depth[10:], 0.2 * 500 / (10 + 30), rtol=1e-6)
    np.testing.assert_allclose(sample.depth[1:5], 0.2 * 500 / (20 + 30), rtol=1e-6)
    assert sample.non_occluded.sum() == 20 * 26


def test_kitti_lidar(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "000004_left.png"), np.zeros((20, 30, 3), np.uint8))
    # lidar: x forward, y left, z up. Behind, beside, and two on one pixel
    cloud = np.array([[10, 0, 0], [12, 0, 0], [-10, 0, 0], [10, 5, 0], [10, -0.5, 0.25]])
    counts = np.rint(cloud / 0.004).astype(np.int16)
    np.savez(tmp_path / "000004_lidar.npz", **dict(zip("xyz", counts.T, strict=True)))
    camera_from_lidar = [[0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    calibration = {
        "image_size": [30, 20],
        "K_half": [[20, 0, 15], [0, 20, 10], [0, 0, 1]],
        "R_rect": np.eye(3).tolist(),
        "cam0_from_lidar": camera_from_lidar,
    }
    (tmp_path / "calib.json").write_text(json.dumps(calibration))
    sample = open_depth("kitti-lidar", tmp_path)[0]
    known = np.argwhere(np.isfinite(sample.depth))
    # 0.5 m right, 0.25 m up at 10 m: one pixel right, half a pixel up (rounded to even)
    assert known.tolist() == [[10, 5], [10, 15], [10, 16]]
    assert sample.depth[10, 15] == pytest.approx(10.0), "the nearer of two"
    assert sample.pair is None and sample.disparity is None


def test_kitti_depth_benchmark(tmp_path: Path) -> None:
    stem = "2011_09_26_drive_0002_sync_{}_0000000005_image_02"
    for name in ("image", "groundtruth_depth", "intrinsics"):
        (tmp_path / name).mkdir()
    image = stem.format("image")
    cv2.imwrite(str(tmp_path / "image" / f"{image}.png"), np.zeros((20, 30, 3), np.uint8))
    truth = np.zeros((20, 30), np.uint16)
    truth[3, 4] = 12 * 256
    name = stem.format("groundtruth_depth")
    cv2.imwrite(str(tmp_path / "groundtruth_depth" / f"{name}.png"), truth)
    (tmp_path / "intrinsics" / f"{image}.txt").write_text("20 0 15 0 20 10 0 0 1")
    sample = open_depth("kitti-lidar", tmp_path)[0]
    assert np.isfinite(sample.depth).sum() == 1 and sample.depth[3, 4] == 12.0
    assert sample.camera.fx == 20


# KITTI raw


def test_kitti_raw_with_two_drives(tmp_path: Path) -> None:
    for drive, count in (("drive_0001", 3), ("drive_0002", 2)):
        data = tmp_path / "2011_09_26" / f"2011_09_26_{drive}_sync" / "velodyne_points" / "data"
        data.mkdir(parents=True)
        for k in range(count):
            np.full((4, 4), k + 1, "<f4").tofile(data / f"{k:010d}.bin")
    dataset = KittiRaw(tmp_path)
    assert len(dataset) == 3
    assert [sample.name for sample in dataset] == [
        "2011_09_26_drive_0001_sync_000000",
        "2011_09_26_drive_0001_sync_000001",
        "2011_09_26_drive_0002_sync_000000",
    ]
    sample = dataset[1]
    assert sample.source.points[0, 0] == 2 and sample.target.points[0, 0] == 3
    assert sample.flow is None and not sample.prepared
    third = dataset.sweep(0, ahead=2)
    assert third is not None and third.points[0, 0] == 3
    assert dataset.sweep(1, ahead=2) is None


# the samples themselves


def test_samples_check_themselves() -> None:
    cloud = PointCloud(points(4))
    valid = np.ones(4, bool)
    with pytest.raises(InputError, match="flow has 3 rows for 4 points"):
        FlowSample("a", cloud, cloud, np.zeros((3, 3), np.float32), valid)
    with pytest.raises(InputError, match="a: empty cloud"):
        FlowSample("a", cloud, PointCloud(points(0)), None, valid)
    flow = np.full((4, 3), np.nan, np.float32)
    with pytest.raises(InputError, match="true flow has NaN"):
        FlowSample("a", cloud, cloud, flow, valid)
    assert FlowSample("a", cloud, cloud, flow, ~valid).prepared
    camera = CameraModel(4, 3, 1.0, 1.0, 2.0, 1.5)
    with pytest.raises(InputError, match="b: depth is 5x3 but the camera is 4x3"):
        DepthSample(
            "b",
            np.zeros((3, 4), np.uint8),
            camera,
            np.zeros((3, 5), np.float32),
            None,
            None,
            np.zeros((3, 4), bool),
        )
