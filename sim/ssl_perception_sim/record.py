"""``ssl-perception simulate``: a world's sensors and its truth, as a bag.

| topic | what |
|---|---|
| ``points`` | PointCloud2 x y z time, each point in the lidar's axes at its own time |
| ``left/image_rect``, ``right/image_rect`` + ``camera_info`` | the stereo pair |
| ``odom`` | Odometry as a robot has it: it drifts |
| ``truth/scene_flow`` | the points again, with their true velocity over ground |
| ``truth/labels`` | PointCloud2, same order: category, ground, object_id |
| ``truth/depth`` | Image 32FC1, m, of the left camera; NaN for the sky |
| ``truth/category``, ``truth/object_id`` | Images mono8 and mono16 |
| ``truth/odom`` | where the vehicle really is |
| ``tf_static`` | from ``base_link`` to ``lidar`` and ``left_optical_frame`` |

A message's bag time is when it arrives: a sweep at the end of its turn, late ones late.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from ssl_perception.errors import InputError
from ssl_perception.io import images, point_cloud2
from ssl_perception.io.output import OutputBag
from ssl_perception.types import DepthMap, Odometry, SceneFlow
from ssl_perception_sim import worlds
from ssl_perception_sim.camera import Frame
from ssl_perception_sim.lidar import Sweep
from ssl_perception_sim.motion import transform
from ssl_perception_sim.world import World

EPOCH_NS = 1_700_000_000 * 10**9  # bag time of world time 0: any fixed date

_LABELS = np.dtype([("object_id", "<u2"), ("category", "u1"), ("ground", "u1")])
_LABEL_FIELDS = (
    point_cloud2.PointField("object_id", 0, 4),
    point_cloud2.PointField("category", 2, 2),
    point_cloud2.PointField("ground", 3, 2),
)


class SensorBag(OutputBag):
    """A bag whose messages bear the time at which they arrive, not that of their stamp.

    Attributes:
        arrival_ns: bag time of what is written next.
    """

    arrival_ns = EPOCH_NS

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Append a message at ``arrival_ns``."""
        super().write(topic, self.arrival_ns, message)

    def mounts(self, poses: dict[str, NDArray[np.float64]]) -> None:
        """``tf_static``: (4, 4) ``base_link`` from each named frame."""
        types = self._types
        transforms = []
        for frame, pose in poses.items():
            x, y, z = pose[:3, 3].tolist()
            quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
            transforms.append(
                types["geometry_msgs/msg/TransformStamped"](
                    self._header(self.arrival_ns, "base_link"),
                    frame,
                    types["geometry_msgs/msg/Transform"](
                        types["geometry_msgs/msg/Vector3"](x, y, z),
                        types["geometry_msgs/msg/Quaternion"](*quaternion),
                    ),
                )
            )
        self.write(
            "tf_static", EPOCH_NS, self.message("tf2_msgs/msg/TFMessage", transforms=transforms)
        )


def stamp_ns(seconds: float) -> int:
    """Bag time of a world time."""
    return EPOCH_NS + round(seconds * 1e9)


def true_flow(world: World, sweep: Sweep, interval: float) -> SceneFlow:
    """The flow over ground of a sweep's points, in the sensor's axes at the stamp."""
    stamp = sweep.cloud.stamp
    shift = world.scene.displacement(sweep.local, sweep.body, stamp, stamp + interval)
    flow = (shift @ sweep.world_from_sensor[:3, :3]).astype(np.float32)
    return SceneFlow(flow, sweep.moving, np.ones(len(flow), np.float32), interval)


def write_sweep(bag: SensorBag, world: World, sweep: Sweep) -> None:
    """A sweep and its truth."""
    assert world.lidar is not None
    ns = stamp_ns(sweep.cloud.stamp)
    bag.cloud("points", ns, point_cloud2.encode_points(sweep.cloud))
    flow = true_flow(world, sweep, world.lidar.period)
    bag.cloud("truth/scene_flow", ns, point_cloud2.encode_flow(sweep.cloud, flow))
    labels = np.zeros(len(sweep.cloud), _LABELS)
    labels["object_id"], labels["category"] = sweep.object_id, sweep.category
    labels["ground"] = sweep.ground
    packed = point_cloud2.PackedCloud(
        sweep.cloud.frame, _LABEL_FIELDS, 4, labels.view(np.uint8), len(labels), True
    )
    bag.cloud("truth/labels", ns, packed)


def write_frame(bag: SensorBag, frame: Frame) -> None:
    """A stereo pair and its truth."""
    pair = frame.pair
    ns, name = stamp_ns(pair.stamp), pair.camera.frame
    bag.image("left/image_rect", ns, images.encode(pair.left, "bgr8", name))
    bag.camera_info("left/camera_info", ns, pair.camera)
    bag.image("right/image_rect", ns, images.encode(pair.right, "bgr8", name))
    bag.camera_info("right/camera_info", ns, pair.camera, pair.baseline)
    depth = DepthMap(frame.depth, pair.camera, pair.stamp)
    bag.image("truth/depth", ns, images.encode_depth(depth))
    bag.image("truth/category", ns, images.encode(frame.category, "mono8", name))
    bag.image(
        "truth/object_id", ns, images.encode(frame.object_id.astype(np.uint16), "mono16", name)
    )


def _mounts(world: World) -> dict[str, NDArray[np.float64]]:
    poses = {}
    if world.lidar is not None:
        poses["lidar"] = transform(np.eye(3), np.array(world.lidar.mount))
    if world.camera is not None:
        poses["left_optical_frame"] = world.camera.body_from_camera
    return poses


def record(
    world: World, output: Path, seconds: float, console: Console | None = None
) -> dict[str, Any]:
    """Run a world and write all that its sensors give.

    Returns:
        Figures: sweeps, pairs, points, wall seconds.

    Raises:
        InputError: the file can't be written.
    """
    figures = {"sweeps": 0, "pairs": 0, "points": 0, "moving_points": 0}
    started = time.perf_counter()
    with SensorBag(output) as bag, Progress(console=console, transient=True) as progress:
        task = progress.add_task("simulating", total=seconds)
        assert isinstance(bag, SensorBag)
        bag.mounts(_mounts(world))
        for sensors in world.run(seconds):
            for reading in sensors.readings:
                value = reading.value
                bag.arrival_ns = stamp_ns(reading.arrival)
                if isinstance(value, Sweep):
                    write_sweep(bag, world, value)
                    figures["sweeps"] += 1
                    figures["points"] += len(value.cloud)
                    figures["moving_points"] += int(value.moving.sum())
                elif isinstance(value, Frame):
                    write_frame(bag, value)
                    figures["pairs"] += 1
                else:
                    bag.odometry("odom", stamp_ns(value.stamp), value)
                    turn, place = world.vehicle.motion.pose(np.array([value.stamp]))
                    true = Odometry(transform(turn[0], place[0]), value.stamp, "odom", "base_link")
                    bag.odometry("truth/odom", stamp_ns(value.stamp), true)
            progress.update(task, completed=sensors.time)
    return {**figures, "seconds": seconds, "wall_seconds": time.perf_counter() - started}


def run_simulate(
    kind: str, output: Path, seconds: float, seed: int, json_file: Path | None, console: Console
) -> None:
    """The ``simulate`` command.

    Raises:
        InputError: unknown kind of world, or a file that can't be written.
    """
    world = worlds.make(kind, seed, seconds)
    figures = {"kind": kind, "seed": world.seed, **record(world, output, seconds, console)}
    megabytes = output.stat().st_size / 1e6
    console.print(
        f"{output}: {kind}, seed {world.seed}, {seconds:g} s: {figures['sweeps']} sweeps, "
        f"{figures['pairs']} stereo pairs, {megabytes:.0f} MB in {figures['wall_seconds']:.1f} s"
    )
    if json_file:
        try:
            json_file.write_text(json.dumps({**figures, "megabytes": megabytes}, indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{json_file}: {error.strerror or error}") from None
