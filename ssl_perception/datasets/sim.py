"""Bags of ``ssl-perception simulate``, read with their exact truth.

Flow: consecutive sweeps, motion inside a sweep and ego motion taken out with the true pose, ground
out by its label, in the axes of the body at the target's stamp (z = 0 on the road). Depth: each
stereo pair with its rendered depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from ssl_perception.config import CameraConfig
from ssl_perception.datasets.samples import (
    DYNAMIC_SPEED,
    DepthDataset,
    DepthSample,
    FlowDataset,
    FlowSample,
)
from ssl_perception.errors import InputError
from ssl_perception.io import images, odometry, point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.bag_reader import BagReader
from ssl_perception.io.camera import StereoCamera
from ssl_perception.types import PointCloud

CATEGORY_NAMES = ("NONE", "", "", "", "CAR", "TRUCK", "BUS", "CYCLIST", "PEDESTRIAN")
FIRST_FOREGROUND, LAST_FOREGROUND = 4, 8
FLOW_TOPICS = ("/points", "/truth/scene_flow", "/truth/labels", "/truth/odom", "/tf_static")
DEPTH_TOPICS = (
    "/left/image_rect",
    "/right/image_rect",
    "/left/camera_info",
    "/right/camera_info",
    "/truth/depth",
)
LAYOUT = "not a bag of `ssl-perception simulate`: it lacks"
EXPECTED = "expected a bag of `ssl-perception simulate` (.mcap)"

Pose = NDArray[np.float64]


class _Bag:
    """Messages by topic and time."""

    def __init__(self, path: Path, topics: tuple[str, ...]) -> None:
        self.path = path
        with self._reader() as reader:
            have = {connection.topic for connection in reader.connections}
        missing = [topic for topic in topics if topic not in have]
        if missing:
            raise InputError(f"{path}: {LAYOUT} {', '.join(missing)}")

    def _reader(self) -> BagReader:
        try:
            return BagReader(self.path)
        except Exception as error:  # rosbags raises whatever its parsers meet
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self.path}: {EXPECTED}: {reason}") from None

    def read(
        self, *topics: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[Any]:
        """(topic, bag time ns, message) of the topics within [start, stop) of bag time."""
        try:
            with self._reader() as reader:
                wanted = [c for c in reader.connections if c.topic in topics]
                for connection, time, raw in reader.messages(wanted, start, stop):
                    message = typestore().deserialize_cdr(raw, connection.msgtype)
                    yield connection.topic, time, message
        except InputError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{self.path}: not a readable recording: {reason}") from None

    def times(self, topic: str) -> list[int]:
        """Bag times of a topic's messages."""
        return [time for _, time, _ in self.read(topic)]

    def at(self, time: int, *topics: str) -> dict[str, Any]:
        """The topics' messages of one bag time."""
        found = {
            topic: message for topic, _, message in self.read(*topics, start=time, stop=time + 1)
        }
        if len(found) < len(topics):
            lost = sorted(set(topics) - set(found))
            raise InputError(f"{self.path}: {', '.join(lost)} missing at {time * 1e-9:.3f} s")
        return found


class SimulatedFlow(FlowDataset):
    """Pairs of consecutive sweeps. ``max_range`` and ``margin`` in metres."""

    name = "sim"

    def __init__(self, path: Path, max_range: float = 50.0, margin: float = 1.5) -> None:
        self.max_range, self.margin = max_range, margin
        self._bag = _Bag(path, FLOW_TOPICS)
        poses = [odometry.decode(m) for _, _, m in self._bag.read("/truth/odom")]
        if len(poses) < 2:
            raise InputError(f"{path}: fewer than two poses in /truth/odom")
        poses.sort(key=lambda pose: pose.stamp)
        matrices = np.stack([pose.world_from_body for pose in poses])
        self._stamps = np.array([pose.stamp for pose in poses])
        self._positions = matrices[:, :3, 3]
        self._turns = Slerp(self._stamps, Rotation.from_matrix(matrices[:, :3, :3]))
        self._mount = self._body_from_lidar()
        times = sorted(self._bag.times("/points"))
        # the path is known from its first pose on; a sweep before that has no truth to stand on
        covered = [t for t in times if t * 1e-9 - 0.11 >= self._stamps[0]]
        self._pairs = list(pairwise(covered))
        if not self._pairs:
            raise InputError(f"{path}: fewer than two sweeps with known poses")

    def _body_from_lidar(self) -> Pose:
        for _, _, message in self._bag.read("/tf_static"):
            for mount in message.transforms:
                if mount.child_frame_id == "lidar":
                    t, q = mount.transform.translation, mount.transform.rotation
                    pose = np.eye(4)
                    pose[:3, 3] = t.x, t.y, t.z
                    pose[:3, :3] = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
                    return pose
        raise InputError(f"{self._bag.path}: {LAYOUT} the lidar's mount in /tf_static")

    def __len__(self) -> int:
        return len(self._pairs)

    def _read(self, k: int) -> FlowSample:
        first, second = self._pairs[k]
        start = self._bag.at(first, "/points", "/truth/scene_flow", "/truth/labels")
        end = self._bag.at(second, "/points", "/truth/labels")
        source, target = point_cloud2.decode(start["/points"]), point_cloud2.decode(end["/points"])
        truth = point_cloud2.decode_flow(start["/truth/scene_flow"])
        category, ground = _labels(start["/truth/labels"], len(source))
        _, target_ground = _labels(end["/truth/labels"], len(target))
        if len(truth.velocity) != len(source):
            raise InputError(f"{self._bag.path}: true flow and points differ in number")

        frame = self._poses(np.array([target.stamp]))
        seen, origin = self._placed(source, frame)
        aim, target_origin = self._placed(target, frame)
        interval = target.stamp - source.stamp
        (turn,), _ = self._poses(np.array([source.stamp]))
        to_frame = frame[0][0].T @ turn @ self._mount[:3, :3]
        flow = (truth.velocity * interval) @ to_frame.T.astype(np.float32)

        keep = ~ground & (np.abs(seen[:, :2]).max(axis=1) <= self.max_range)
        near = ~target_ground & (np.abs(aim[:, :2]).max(axis=1) <= self.max_range + self.margin)
        flow, category = flow[keep], category[keep]
        foreground = (category >= FIRST_FOREGROUND) & (category <= LAST_FOREGROUND)
        whole = PointCloud(seen, source.time, source.stamp, "base_link", origin)
        aimed = PointCloud(aim, target.time, target.stamp, "base_link", target_origin)
        return FlowSample(
            name=f"{self._bag.path.stem}_{k:05d}",
            source=whole.select(keep),
            target=aimed.select(near),
            flow=flow,
            valid=np.ones(len(flow), np.bool_),
            dynamic=np.linalg.norm(flow, axis=1) >= DYNAMIC_SPEED * interval,
            foreground=foreground,
            category=np.where(foreground, category, 0).astype(np.uint8),
            category_names=CATEGORY_NAMES,
        )

    def _poses(self, stamps: NDArray[np.float64]) -> tuple[Pose, Pose]:
        """Rotations (C, 3, 3) and positions (C, 3) of the body; held at both ends of the log."""
        inside = np.clip(stamps, self._stamps[0], self._stamps[-1])
        positions = np.stack(
            [np.interp(inside, self._stamps, self._positions[:, axis]) for axis in range(3)], axis=1
        )
        return self._turns(inside).as_matrix(), positions

    def _placed(
        self, cloud: PointCloud, frame: tuple[Pose, Pose]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Points (each from its own time) and sensor origin in the body's axes at ``frame``."""
        assert cloud.time is not None
        times, column = np.unique(cloud.time, return_inverse=True)
        turns, places = self._poses(cloud.stamp + np.append(times, 0.0).astype(float))
        (base,), (zero,) = frame
        turns, places = base.T @ turns, (places - zero) @ base
        body = cloud.points @ self._mount[:3, :3].T + self._mount[:3, 3]
        points = np.einsum("nij,nj->ni", turns[column], body) + places[column]
        origin = turns[-1] @ self._mount[:3, 3] + places[-1]
        return points.astype(np.float32), origin.astype(np.float32)


def _labels(message: Any, count: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Category (N,) and ground (N,) of a label cloud."""
    data = np.frombuffer(message.data, np.uint8)
    if message.point_step != 4 or len(data) != 4 * count:
        raise InputError(f"label cloud holds {len(data)} bytes for {count} points of 4")
    rows = data.reshape(count, 4)
    return rows[:, 2].copy(), rows[:, 3] != 0


class SimulatedDepth(DepthDataset):
    """Stereo pairs with rendered depth."""

    name = "sim"

    def __init__(self, path: Path) -> None:
        self._bag = _Bag(path, DEPTH_TOPICS)
        self._camera = StereoCamera(*DEPTH_TOPICS[:2], CameraConfig())
        self._times = sorted(self._bag.times("/truth/depth"))
        if not self._times:
            raise InputError(f"{path}: no depth in it")

    def __len__(self) -> int:
        return len(self._times)

    def _read(self, k: int) -> DepthSample:
        found = self._bag.at(self._times[k], *DEPTH_TOPICS)
        stamp = point_cloud2.stamp_ns(found["/left/image_rect"].header.stamp) * 1e-9
        left, right, left_info, right_info, true_depth = (found[topic] for topic in DEPTH_TOPICS)
        pair = self._camera.read(left, right, left_info, right_info, stamp)
        depth = images.decode_depth(true_depth)
        disparity = np.float32(pair.camera.fx * pair.baseline) / depth
        return DepthSample(
            name=f"{self._bag.path.stem}_{k:05d}",
            image=pair.left,
            camera=pair.camera,
            depth=depth,
            pair=pair,
            disparity=disparity,
            non_occluded=_seen_by_both(disparity),
            ground_truth="simulator",
        )


def _seen_by_both(disparity: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of the left image that nothing nearer hides from the right camera.

    From the left view alone: sweeping from the right, a pixel is hidden if one to its right lands
    at or left of it in the right image.
    """
    columns = np.arange(disparity.shape[1], dtype=np.float32)
    landing = np.where(np.isfinite(disparity), columns - disparity, np.inf)
    leftmost = np.minimum.accumulate(landing[:, ::-1], axis=1)[:, ::-1]
    beyond = np.full_like(landing, np.inf)
    beyond[:, :-1] = leftmost[:, 1:]
    return np.isfinite(disparity) & (landing > -0.5) & (landing < beyond + 0.5)
