"""Pairs, written small in their true format, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.datasets.pair import Pairs
from ssl_perception.datasets.samples import DepthSample
from ssl_perception.errors import InputError
from ssl_perception.types import CameraModel, PointCloud
from tests.unit.datasets.clouds import motion, moved, points


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
