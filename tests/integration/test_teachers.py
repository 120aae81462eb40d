"""Any range sensor teaches: the whole pipeline from a depth image, and from a lidar."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rosbags.rosbag2 import Reader

from ssl_perception.commands.replay import run_replay
from ssl_perception.config import Config, from_dict
from ssl_perception.depth.result import DepthResult
from ssl_perception.errors import InputError
from ssl_perception.io import images
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.cue_status import CueStatus
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.point_cloud2 import encode_points
from ssl_perception.pipeline import DepthPipeline, Perception
from ssl_perception.types import CameraImage, CameraModel, Cue, PointCloud

CAMERA = CameraModel(160, 120, 104.0, 104.0, 79.5, 59.5, "left_optical_frame")
LEARNER = {"prior": "none", "batch": 2, "save_seconds": 0.3, "memory": {"frames": 16}}
SETTINGS = {"learner": LEARNER, "student": {"max_novelty": 2.0, "exclude": 0.0}}
FRAMES = 6
NOISE = np.random.default_rng(0).integers(0, 256, (120, 200), np.uint8)


def config(source: str, **more: object) -> Config:
    return from_dict({**SETTINGS, "teacher": {"source": source}, **more})


def grey(k: int) -> np.ndarray:
    return NOISE[:, 3 * k : 3 * k + 160].copy()


def deep(k: int) -> np.ndarray:
    """A wall 3 m away, its lower half 1.5 m; noise of a millimetre."""
    depth = np.full((120, 160), 3.0, np.float32)
    depth[60:] = 1.5
    noise = np.random.default_rng(k).normal(0, 1e-3, depth.shape)
    return np.asarray(depth + noise, np.float32)


def room(k: int) -> PointCloud:
    """A closed room of 12 by 12 m about a lidar 1.5 m above its floor, that stands in it."""
    azimuth, down = np.meshgrid(np.arange(-np.pi, np.pi, 0.01), np.arange(-0.5, 0.3, 0.01))
    ray = np.stack([np.cos(azimuth), np.sin(azimuth), np.tan(down)], -1).reshape(-1, 3)
    to_wall = 6.0 / np.abs(ray[:, :2]).max(axis=1)
    to_floor = np.where(ray[:, 2] < 0, -1.5 / np.minimum(ray[:, 2], -1e-6), np.inf)
    points = ray * np.minimum(to_wall, to_floor)[:, None]
    points += np.random.default_rng(k).normal(0, 0.005, points.shape)
    return PointCloud(points.astype(np.float32), None, 0.1 * k, "lidar")


def learns(results: list[DepthResult], cue: Cue) -> None:
    """Every frame is valid and learnt, and the student answers once there is a model."""
    for result in results:
        assert result.stereo.valid and result.stereo.cue is cue, result.stereo.reason
        assert result.label is not None and np.isfinite(result.label).mean() > 0.3
        assert result.learnt is not None
    assert results[-1].mono is not None and results[-1].mono.generation is not None


def test_learns_from_a_depth_image() -> None:
    with Perception(config("depth"), learn=True) as perception:
        results = [
            perception.image(CameraImage(grey(k), CAMERA, 0.1 * k, deep(k))) for k in range(FRAMES)
        ]
        learns(results, Cue.DEPTH)
        assert np.nanmin(results[-1].scan.ranges) == pytest.approx(1.5, abs=0.05)
        nothing = np.zeros_like(deep(0))
        broken = perception.image(CameraImage(grey(FRAMES), CAMERA, 0.1 * FRAMES, nothing))
    assert not broken.stereo.valid and broken.learnt is None
    assert np.isnan(broken.scan.ranges).all(), "nothing is known, so nothing is free"


def lidar_room() -> Config:
    """The camera 10 cm ahead of the lidar and 20 cm below it."""
    mount = {"x": 0.1, "z": -0.2}
    lidar = {"source": "lidar", "lidar": {"beam_gap": 0.012}}
    ground = {"sensor_height": 1.5}
    return from_dict({**SETTINGS, "teacher": lidar, "camera_mount": mount, "ground": ground})


def test_learns_from_a_lidar_that_claims_no_free_space_between_its_beams() -> None:
    settings = lidar_room()
    with Perception(settings, learn=True) as perception:
        results = []
        for k in range(FRAMES):
            perception.sweep(room(k))
            results.append(perception.image(CameraImage(grey(k), CAMERA, 0.1 * k)))
        learns(results, Cue.LIDAR)
        centre = np.nanmedian(results[-1].stereo.depth[25:35, 30:50])
        assert centre == pytest.approx(5.9, abs=0.05), "the wall, from the camera"
        late = perception.image(CameraImage(grey(FRAMES), CAMERA, 0.1 * FRAMES + 1.0))
    assert not late.stereo.valid and late.stereo.reason.startswith("sweep too old: 1.1")
    assert late.learnt is None and np.isnan(late.scan.ranges).all()
    # without the sweep's own scan nothing beyond `scan.near` is claimed of what the image shows
    alone = DepthPipeline(settings)
    teacher = perception.depth.teacher
    alone.teacher = teacher
    perception.depth.teacher.add(room(20), np.zeros(6))  # type: ignore[attr-defined]
    answer = alone.process(CameraImage(grey(8), CAMERA, 2.0))
    assert answer.stereo.valid and np.isnan(answer.scan.ranges).all()


def write_log(path: Path, depth: str, lidar: bool) -> None:
    """A camera with a depth camera (``depth``: encoding) and a lidar, for six frames."""
    optical = np.array([[0.0, 0, 1, 0.1], [-1, 0, 0, 0], [0, -1, 0, -0.2], [0, 0, 0, 1]])
    with OutputBag(path) as bag:
        now = 10**18
        bag.mounts("tf_static", now, "lidar", {CAMERA.frame: optical})
        for k in range(FRAMES):
            now = 10**18 + k * 10**8
            if lidar:
                bag.cloud("points", now, encode_points(room(k)))
            bag.camera_info("camera/camera_info", now, CAMERA)
            bag.image("camera/image_rect", now, images.encode(grey(k), "mono8", CAMERA.frame))
            if depth:
                packed = deep(k)
                if depth == "16UC1":
                    packed = np.rint(1000 * packed).astype(np.uint16)
                bag.image(
                    "camera/aligned_depth/image", now + 5_000_000,
                    images.encode(packed, depth, CAMERA.frame),
                )  # fmt: skip


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_replay_learns_from_a_log_with_a_depth_camera(tmp_path: Path, encoding: str) -> None:
    log, out, store = tmp_path / "log.mcap", tmp_path / "out.mcap", tmp_path / "store"
    write_log(log, encoding, lidar=False)
    frames = [r.value for r in open_log(log, teacher="depth")]
    assert len(frames) == FRAMES
    assert isinstance(frames[0], CameraImage) and frames[0].depth is not None
    np.testing.assert_allclose(frames[0].depth, deep(0), atol=6e-4)
    summary = run_replay(
        log, out, config("depth"), None, None, False, tmp_path / "f.json", Console(quiet=True),
        True, store,
    )  # fmt: skip
    assert summary.images == FRAMES and min(summary.valid_depth) == 1.0
    assert json.loads((tmp_path / "f.json").read_text())["depth_messages"] == FRAMES
    assert ModelStore(store).newest() is not None


def test_replay_learns_from_a_log_with_a_lidar(tmp_path: Path) -> None:
    """Where the camera sits is in ``tf_static``; the results are on the topics of stereo."""
    log, out, store = tmp_path / "log.mcap", tmp_path / "out.mcap", tmp_path / "store"
    write_log(log, "", lidar=True)
    settings = lidar_room().model_copy(update={"camera_mount": Config().camera_mount})
    summary = run_replay(
        log, out, settings, None, None, False, None, Console(quiet=True), True, store
    )
    assert (summary.sweeps, summary.images) == (FRAMES, FRAMES) and min(summary.valid_depth) > 0
    assert ModelStore(store).newest() is not None
    told = []
    with Reader(out) as reader:
        assert "/stereo/depth" in reader.topics and "/stereo/disparity" not in reader.topics
        for connection, _, raw in reader.messages():
            if connection.topic == "/stereo/status":
                (status,) = typestore().deserialize_cdr(raw, connection.msgtype).status
                told.append(CueStatus.parse({pair.key: pair.value for pair in status.values}))
    assert [status.source for status in told] == [Cue.LIDAR] * FRAMES
    assert all(status.valid for status in told)


def test_a_log_without_what_the_teacher_needs_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.mcap"
    write_log(log, "", lidar=False)
    with pytest.raises(InputError, match="no depth images; set topics"):
        open_log(log, teacher="depth")
    with pytest.raises(InputError, match="is lidar, but there is no sensor_msgs"):
        open_log(log, teacher="lidar")
