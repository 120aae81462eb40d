"""Real recordings: what comes out is what their READMEs say is in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_perception.datasets import open_depth, open_flow
from ssl_perception.io.open_log import open_log
from ssl_perception.types import PointCloud, StereoPair


def test_lidar_bag(data: Path) -> None:
    bag = data / "ros2_bags_reencoded" / "vlp16_points_mcap"
    for path in (bag, bag / "vlp16_points_mcap.mcap"):
        log = open_log(path)
        recorded = list(log)
        assert len(log) == len(recorded) == 4
        sweeps = list(open_log(data / "lidar_vlp16_rosbag"))
        assert len(sweeps) == 4
        for frame, sweep in zip(recorded, sweeps, strict=True):
            assert isinstance(frame.value, PointCloud) and isinstance(sweep.value, PointCloud)
            assert frame.value.frame == "velodyne"
            assert frame.topic == "/velodyne_points"
            # the .npz holds its stamp as a float64 epoch, which is good to 240 ns
            assert abs(frame.stamp_ns - sweep.stamp_ns) <= 240
            np.testing.assert_array_equal(frame.value.points, sweep.value.points)
            assert frame.value.time is not None and sweep.value.time is not None
            np.testing.assert_allclose(frame.value.time, sweep.value.time, atol=1e-7)
            assert frame.value.time.min() >= 0 and frame.value.time.max() < 0.11
    assert recorded[0].stamp_ns == 1_673_400_471_737_763_166


def test_stereo_bag_is_the_sequence_it_was_made_from(data: Path) -> None:
    bag = data / "ros2_bags_reencoded" / "kitti_stereo_db3"
    sequence = list(open_log(data / "stereo_seq_kitti_a"))
    assert len(sequence) == 51
    for path in (bag, bag / "kitti_stereo_db3.db3"):
        log = open_log(path)
        recorded = list(log)
        assert len(log) == len(recorded) == 10
        assert log.unpaired == 0
        for frame, original in zip(recorded, sequence, strict=False):
            pair, want = frame.value, original.value
            assert isinstance(pair, StereoPair) and isinstance(want, StereoPair)
            assert frame.stamp_ns == original.stamp_ns + 1_300_000_000_000_000_000
            np.testing.assert_array_equal(pair.left, want.left)
            np.testing.assert_array_equal(pair.right, want.right)
            assert pair.camera == want.camera
            assert pair.baseline == pytest.approx(0.53715, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "count", "least", "most"),
    [
        ("lidar_seq_kitti_city", 10, 115_000, 121_000),
        ("lidar_seq_kitti_road", 8, 122_000, 125_000),
    ],
)
def test_lidar_sequences(data: Path, name: str, count: int, least: int, most: int) -> None:
    log = open_log(data / name)
    assert len(log) == count
    for k, frame in enumerate(log):
        assert isinstance(frame.value, PointCloud)
        assert frame.stamp_ns == k * 100_000_000
        assert least - 1000 <= len(frame.value) <= most + 1000
        # a Velodyne 1.73 m above the road sees it there
        height = frame.value.points[:, 2]
        assert np.median(height[height < -1.4]) == pytest.approx(-1.7, abs=0.25)


def test_argoverse_pair_is_the_reference_protocol(data: Path) -> None:
    """Counts and zero-flow errors of the first study of this pair, to its last printed digit."""
    dataset = open_flow("pair", data / "lidar_flow_av2_7fab2350")
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample.prepared
    assert (len(sample.source), len(sample.target)) == (78_506, 78_784)
    assert sample.interval == pytest.approx(0.100196, abs=1e-6)
    assert sample.flow is not None
    assert sample.dynamic is not None and sample.foreground is not None
    error = np.linalg.norm(sample.flow, axis=1)
    parts = (
        sample.foreground & sample.dynamic,
        sample.foreground & ~sample.dynamic,
        ~sample.foreground,
    )
    assert [int(part.sum()) for part in parts] == [1_819, 6_775, 69_912]
    means = [float(error[part].mean()) for part in parts]
    assert means == pytest.approx([0.674, 0.0061, 0.0008], abs=5e-4)
    assert np.mean(means) == pytest.approx(0.227, abs=5e-4)
    # two lidars, half a turn apart
    assert sample.source.time is not None and np.ptp(sample.source.time) > 0.1


def test_unlabelled_pair(data: Path) -> None:
    sample = open_flow("pair", data / "lidar_pair_av2_unlabelled")[0]
    assert sample.flow is None and sample.name == "lidar_pair_av2_unlabelled"


def test_kitti_stereo(data: Path) -> None:
    dataset = open_depth("kitti-stereo", data / "stereo_gt_kitti2012")
    samples = {dataset[k].name: dataset[k] for k in range(len(dataset))}
    assert set(samples) == {"000027", "000174"}
    for name, size, fx, labelled, nearest, furthest in (
        ("000027", (1241, 376), 718.856, 0.299, 94.6, 4.8),
        ("000174", (1226, 370), 707.0912, 0.305, 118.9, 4.4),
    ):
        sample = samples[name]
        assert (sample.camera.width, sample.camera.height) == size
        assert sample.camera.fx == fx
        assert sample.pair is not None and sample.disparity is not None
        assert sample.pair.baseline == pytest.approx(0.5372, abs=1e-4)
        assert np.isfinite(sample.disparity).mean() == pytest.approx(labelled, abs=1e-3)
        assert np.nanmax(sample.disparity) == pytest.approx(nearest, abs=0.05)
        assert np.nanmin(sample.disparity) == pytest.approx(furthest, abs=0.05)
        known = np.isfinite(sample.depth)
        np.testing.assert_allclose(
            sample.depth[known] * sample.disparity[known], fx * sample.pair.baseline, rtol=1e-5
        )


def test_middlebury(data: Path) -> None:
    dataset = open_depth("middlebury", data / "stereo_gt_middlebury")
    samples = [dataset[k] for k in range(len(dataset))]
    assert [sample.name for sample in samples] == ["Adirondack", "Motorcycle", "Piano", "Teddy"]
    for sample in samples:
        assert sample.pair is not None
        assert 0.94 <= np.isfinite(sample.depth).mean() <= 0.997
        assert 1.0 < np.nanmin(sample.depth) < np.nanmax(sample.depth) < 5.0, "indoor, metres"
    assert samples[0].camera.fx == 1038.018
    assert samples[0].pair is not None
    assert samples[0].pair.baseline == pytest.approx(0.176252)


def test_kitti_lidar_lands_on_the_picture(data: Path) -> None:
    dataset = open_depth("kitti-lidar", data / "cam_lidar_kitti")
    assert len(dataset) == 5
    for k in range(5):
        sample = dataset[k]
        assert sample.image.shape == (187, 621, 3)
        assert 0.12 < np.isfinite(sample.depth).mean() < 0.14
        # straight ahead at the bottom lies the road, 1.65 m below the camera
        rows = np.arange(160, 187)[:, None]
        road = sample.camera.fy * 1.65 / (rows - sample.camera.cy)
        ratio = sample.depth[160:, 200:420] / road
        assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.03)
        assert np.nanpercentile(np.abs(ratio - 1), 90) < 0.04
