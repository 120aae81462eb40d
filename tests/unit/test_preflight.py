"""``doctor LOG``: what is wrong with a log's sensors, by name; a good log is not blamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ssl_perception import cli
from ssl_perception.io import images
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import encode_points
from ssl_perception.preflight import camera_doubts
from ssl_perception.types import CameraModel, Odometry, PointCloud

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
RNG = np.random.default_rng(2)
CAMERA = CameraModel(320, 240, 200.0, 200.0, 160.0, 120.0, "left_camera_optical")
BASELINE = 0.1


def street() -> np.ndarray:
    """Ground and walls of a yard around a lidar 1.73 m up: (N, 3) m."""
    ground = np.column_stack([RNG.uniform(-25, 25, (5000, 2)), np.full(5000, -1.73)])
    walls = RNG.uniform((-25, -0.05, -1.73), (25, 0.05, 3), (5000, 3))
    walls[:, 1] += np.where(np.arange(5000) % 2, 14.0, -11.0)
    ends = RNG.uniform((-0.05, -11, -1.73), (0.05, 14, 3), (3000, 3))
    ends[:, 0] += np.where(np.arange(3000) % 2, 22.0, -25.0)
    return np.concatenate([ground, walls, ends])


STREET = street()


def lidar_log(
    path: Path,
    points: np.ndarray = STREET,
    period: float = 0.1,
    times: float = 0.0,
    speed: float = 0.0,
    told: float | None = None,
) -> Path:
    """Twenty sweeps at ``speed`` m/s, of points whose times span ``times`` s; odometry tells of
    another speed."""
    with OutputBag(path) as bag:
        for k in range(20):
            stamp = START + round(k * period * SECOND)
            noise = RNG.normal(0, 0.01, points.shape)
            seen = (points + noise - (speed * k * period, 0, 0)).astype(np.float32)
            time = RNG.uniform(0, times, len(points)).astype(np.float32) if times else None
            if told is not None:
                for later in range(0, SECOND // 10, SECOND // 50):
                    pose = np.eye(4)
                    pose[0, 3] = told * (k * period + later / SECOND)
                    odometry = Odometry(pose, (stamp + later) * 1e-9, "odom", "base_link")
                    bag.odometry("odom", stamp + later, odometry)
            bag.cloud("points", stamp, encode_points(PointCloud(seen, time, frame="lidar")))
    return path


def texture(seed: int) -> np.ndarray:
    """(256, 336) uint8, smooth enough for sub-pixel matching."""
    noise = np.random.default_rng(seed).integers(0, 256, (256, 336), dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2).astype(np.float32)
    return np.clip((smooth - 128) * 4 + 128, 0, 255).astype(np.uint8)


def stereo_log(
    path: Path,
    late: float = 0.0,
    rows: int = 0,
    camera: CameraModel = CAMERA,
    baseline: float = BASELINE,
) -> Path:
    """Eight pairs of a wall full of texture at 1.25 m; the right images ``late`` s after the left
    ones, ``rows`` px higher."""
    frame = camera.frame
    with OutputBag(path) as bag:
        bag.camera_info("left/camera_info", START, camera)
        bag.camera_info("right/camera_info", START, camera, baseline)
        for k in range(8):
            wall, stamp = texture(k), START + k * SECOND // 10
            left, right = wall[8:-8, :320], wall[8 + rows : 248 + rows, 16:]
            bag.image("left/image_rect", stamp, images.encode(left, "mono8", frame))
            after = stamp + round(late * SECOND)
            bag.image("right/image_rect", after, images.encode(right, "mono8", frame))
    return path


def doctor(log: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and what it found."""
    figures = log.with_suffix(".json")
    code = 0
    try:
        cli.main(["doctor", str(log), "--json", str(figures), *options])
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    return code, json.loads(figures.read_text())


def test_a_good_lidar_is_fit(tmp_path: Path) -> None:
    code, found = doctor(lidar_log(tmp_path / "log.mcap", speed=5.0, told=5.0, times=0.1))
    assert (code, found["findings"], found["fit"]) == (0, [], True)
    assert found["figures"]["lidar_height_m"] == pytest.approx(1.73, abs=0.03)
    points = next(stream for stream in found["streams"] if stream["topic"] == "/points")
    assert points["hz"] == pytest.approx(10.0) and points["messages"] == 20


def test_good_stereo_is_fit(tmp_path: Path) -> None:
    code, found = doctor(stereo_log(tmp_path / "log.mcap"))
    assert (code, found["findings"]) == (0, [])
    assert abs(found["figures"]["row_offset_px"]) < 0.1


UPSIDE_DOWN = Rotation.from_euler("X", 180, degrees=True).as_matrix()
LIDAR_FAULTS: dict[str, dict[str, Any]] = {
    "(upside down): set lidar_mount.roll": {"points": STREET @ UPSIDE_DOWN},
    "1.33 m below the lidar, not 1.73 m": {"points": STREET + np.array([0, 0, 0.4])},
    "are they in millimetres": {"points": np.concatenate([1000 * STREET, STREET[:500]])},
    "odometry and sweeps disagree: it says 3.0 m/s": {"speed": 5.0, "told": 3.0},
    "times of the points span 0.3 s, sweeps come every 0.1 s": {"times": 0.3},
    "at least 2 Hz are needed": {"period": 0.7},
}


@pytest.mark.parametrize("line", LIDAR_FAULTS)
def test_faults_of_a_lidar(line: str, tmp_path: Path) -> None:
    log = lidar_log(tmp_path / "log.mcap", **LIDAR_FAULTS[line])
    code, found = doctor(log, "--seconds", "20")
    assert code == 1 and not found["fit"]
    assert any(line in f"{one['wrong']}" for one in found["findings"]), found["findings"]
    assert all(one["mend"] for one in found["findings"])


STEREO_FAULTS: dict[str, dict[str, Any]] = {
    "right images are stamped +30.0 ms after left ones: no pairs": {"late": 0.03},
    "right images are stamped +1.5 ms after left ones": {"late": 0.0015},
    "frames refused, most for: rows don't line up": {"rows": 1},
    "baseline is 100 m": {"baseline": 100.0},
    "is a field of view of 177 degrees": {
        "camera": CameraModel(320, 240, 4.0, 4.0, 160.0, 120.0, "left_camera_optical")
    },
}


@pytest.mark.parametrize("line", STEREO_FAULTS)
def test_faults_of_a_stereo_camera(line: str, tmp_path: Path) -> None:
    code, found = doctor(stereo_log(tmp_path / "log.mcap", **STEREO_FAULTS[line]))
    assert code == 1
    assert any(line in one["wrong"] for one in found["findings"]), found["findings"]


def test_calibrations_of_real_cameras_are_not_blamed() -> None:
    kitti = CameraModel(1242, 375, 721.5, 721.5, 609.6, 172.9)
    euroc = CameraModel(752, 480, 435.2, 435.2, 367.4, 252.2)
    wide = CameraModel(640, 480, 190.0, 190.0, 320.0, 240.0)
    for camera, baseline in ((kitti, 0.54), (euroc, 0.11), (wide, 0.05)):
        assert camera_doubts(camera, baseline) == []
    assert camera_doubts(CameraModel(640, 480, 400.0, 300.0, 20.0, 240.0), 0.1) != []


def test_a_log_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["doctor", str(tmp_path / "absent.mcap")])
    assert stopped.value.code == 2
    assert "no such file" in capsys.readouterr().err
