"""What a world's sensors say, topic by topic; the same into a bag and onto live topics.

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
| ``tf_static`` | from ``base_link`` to ``lidar``, ``left_optical_frame`` and ``left_frame`` |
"""

from __future__ import annotations

import numpy as np

from ssl_perception.io import images, point_cloud2
from ssl_perception.io.output import Output
from ssl_perception.types import DepthMap, Odometry, SceneFlow
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.sensors.lidar import Sweep
from ssl_perception_sim.world.motion import transform
from ssl_perception_sim.world.world import Reading, World

EPOCH_NS = 1_700_000_000 * 10**9  # stamp of world time 0: any fixed date

_LABELS = np.dtype([("object_id", "<u2"), ("category", "u1"), ("ground", "u1")])
_LABEL_FIELDS = (
    point_cloud2.PointField("object_id", 0, 4),
    point_cloud2.PointField("category", 2, 2),
    point_cloud2.PointField("ground", 3, 2),
)


def stamp_ns(seconds: float) -> int:
    """Stamp of a world time."""
    return EPOCH_NS + round(seconds * 1e9)


def topic_types(world: World, truth: bool = True) -> dict[str, str]:
    """The topics that a world writes to, with their message types."""
    cloud, image = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Image"
    info, odometry = "sensor_msgs/msg/CameraInfo", "nav_msgs/msg/Odometry"
    types = {"tf_static": "tf2_msgs/msg/TFMessage", "odom": odometry}
    true = {"truth/odom": odometry}
    if world.lidar is not None:
        types["points"] = cloud
        true |= {"truth/scene_flow": cloud, "truth/labels": cloud}
    if world.camera is not None:
        for side in ("left", "right"):
            types |= {f"{side}/camera_info": info, f"{side}/image_rect": image}
        true |= {f"truth/{what}": image for what in ("depth", "category", "object_id")}
    return types | true if truth else types


def write_reading(output: Output, world: World, reading: Reading, truth: bool = True) -> None:
    """What a sensor gave; with ``truth`` what it should have seen as well."""
    value = reading.value
    if isinstance(value, Sweep):
        _write_sweep(output, world, value, truth)
    elif isinstance(value, Frame):
        _write_frame(output, value, truth)
    else:
        output.odometry("odom", stamp_ns(value.stamp), value)
        if truth:
            turn, place = world.vehicle.motion.pose(np.array([value.stamp]))
            true = Odometry(transform(turn[0], place[0]), value.stamp, "odom", "base_link")
            output.odometry("truth/odom", stamp_ns(value.stamp), true)


def write_mounts(output: Output, world: World) -> None:
    """``tf_static``: where the sensors sit."""
    poses = {}
    if world.lidar is not None:
        poses["lidar"] = world.lidar.vehicle_from_lidar
    if world.camera is not None:
        poses["left_optical_frame"] = world.camera.body_from_camera
        poses["left_frame"] = transform(np.eye(3), world.camera.body_from_camera[:3, 3])  # level
    output.mounts("tf_static", EPOCH_NS, "base_link", poses)


def true_flow(world: World, sweep: Sweep, interval: float) -> SceneFlow:
    """The flow over ground of a sweep's points, in the sensor's axes at the stamp."""
    stamp = sweep.cloud.stamp
    shift = world.scene.displacement(sweep.local, sweep.body, stamp, stamp + interval)
    flow = (shift @ sweep.world_from_sensor[:3, :3]).astype(np.float32)
    return SceneFlow(flow, sweep.moving, np.ones(len(flow), np.float32), interval)


def _write_sweep(output: Output, world: World, sweep: Sweep, truth: bool) -> None:
    assert world.lidar is not None
    ns = stamp_ns(sweep.cloud.stamp)
    output.cloud("points", ns, point_cloud2.encode_points(sweep.cloud))
    if not truth:
        return
    flow = true_flow(world, sweep, world.lidar.period)
    output.cloud("truth/scene_flow", ns, point_cloud2.encode_flow(sweep.cloud, flow))
    labels = np.zeros(len(sweep.cloud), _LABELS)
    labels["object_id"], labels["category"] = sweep.object_id, sweep.category
    labels["ground"] = sweep.ground
    packed = point_cloud2.PackedCloud(
        sweep.cloud.frame, _LABEL_FIELDS, 4, labels.view(np.uint8), len(labels), True
    )
    output.cloud("truth/labels", ns, packed)


def _write_frame(output: Output, frame: Frame, truth: bool) -> None:
    pair = frame.pair
    ns, name = stamp_ns(pair.stamp), pair.camera.frame
    # cameras first: who subscribes late must not wait for the second pair
    output.camera_info("left/camera_info", ns, pair.camera)
    output.camera_info("right/camera_info", ns, pair.camera, pair.baseline)
    output.image("left/image_rect", ns, images.encode(pair.left, "bgr8", name))
    output.image("right/image_rect", ns, images.encode(pair.right, "bgr8", name))
    if not truth:
        return
    depth = DepthMap(frame.depth, pair.camera, pair.stamp)
    output.image("truth/depth", ns, images.encode_depth(depth))
    output.image("truth/category", ns, images.encode(frame.category, "mono8", name))
    output.image(
        "truth/object_id", ns, images.encode(frame.object_id.astype(np.uint16), "mono16", name)
    )
