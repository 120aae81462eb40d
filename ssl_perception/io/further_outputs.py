"""Outputs for consumers with messages of their own: those that ``outputs.also`` names.

``replay`` writes them into its bag, the nodes publish them.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import FURTHER_OUTPUTS, OutputsConfig
from ssl_perception.errors import InputError
from ssl_perception.io import installed_messages
from ssl_perception.io.files import reason
from ssl_perception.io.output import Output
from ssl_perception.io.scan_encoding import CONSUMERS, WHOLE_CIRCLE, check_sectors, encoded_scan
from ssl_perception.io.spatial_points import depth_points, obstacle_points
from ssl_perception.types import DepthMap, MovingObject, ObstacleScan

TOPICS = {name: name for name in FURTHER_OUTPUTS} | {
    "px4_obstacle_distance": "fmu/in/obstacle_distance"
}
OF_OBJECTS = ("detections", "detected_objects", "tracked_objects")
OF_SCANS = ("px4_obstacle_distance", "obstacle_points")
OF_DEPTH = ("depth_points",)

HEADING_SPEED = 0.5  # m/s; of slower objects it isn't known which end is the front
POSITION_SPREAD, VELOCITY_SPREAD = 0.3, 0.5  # m and m/s, of an object without a covariance
PX4_SECTORS, PX4_UNKNOWN, PX4_BODY_FRD = 72, 65_535, 12
_UNKNOWN_CLASS, _BOX, _SIGN_UNKNOWN, _AVAILABLE = 0, 0, 1, 2  # constants of Autoware's messages


class FurtherOutputs:
    """Makes the messages that are asked for of what the usual outputs are made of.

    Args:
        output: that takes them.
        config: which.
        sectors: of a scan.

    Attributes:
        names: those asked for.

    Raises:
        InputError: a package whose messages are asked for isn't installed, or in a version whose
            messages have other fields, or a scan has more sectors than PX4's message.
    """

    def __init__(self, output: Output, config: OutputsConfig, sectors: int) -> None:
        self.names = frozenset(config.also.split())
        self._output = output
        for name in sorted(self.names):
            installed_messages.require(FURTHER_OUTPUTS[name])
        if "px4_obstacle_distance" in self.names:
            check_sectors("px4", sectors)
        self._try()

    def _try(self) -> None:
        """Make a message of each kind: now is the time to find out that a version differs."""
        nothing, none = np.zeros(3), np.empty(0, np.intp)
        one = MovingObject(0, nothing, nothing, 0.0, nothing, none, 0.0, 0.0)
        for name in self.names & set(OF_OBJECTS):
            self._of_objects(name, 0, "", [one])
        if "px4_obstacle_distance" in self.names:
            self._px4(0, ObstacleScan(np.zeros(1, np.float32), 0.0, 1.0, 0.2, 40.0), WHOLE_CIRCLE)

    def objects(self, stamp_ns: int, frame: str, objects: Iterable[MovingObject]) -> None:
        """``detections``, ``detected_objects``, ``tracked_objects``: of one sweep."""
        seen = list(objects)
        for name in self.names & set(OF_OBJECTS):
            message = self._of_objects(name, stamp_ns, frame, seen)
            self._output.write(TOPICS[name], stamp_ns, message)

    def depth(self, stamp_ns: int, depth: DepthMap) -> None:
        """``depth_points``: one point a pixel, NaN unknown."""
        if "depth_points" in self.names:
            self._output.cloud(TOPICS["depth_points"], stamp_ns, depth_points(depth))

    def scan(self, stamp_ns: int, scan: ObstacleScan, view: float = WHOLE_CIRCLE) -> None:
        """``obstacle_points`` and ``px4_obstacle_distance``.

        Args:
            view: rad, centred ahead, in which directions are looked at; nothing is told of unknown
                sectors beyond it.
        """
        if "obstacle_points" in self.names:
            self._output.cloud(TOPICS["obstacle_points"], stamp_ns, obstacle_points(scan, view))
        if "px4_obstacle_distance" in self.names:
            message = self._px4(stamp_ns, scan, view)
            self._output.write(TOPICS["px4_obstacle_distance"], stamp_ns, message)

    def _of_objects(
        self, name: str, stamp_ns: int, frame: str, objects: Sequence[MovingObject]
    ) -> Any:
        header = self._output.header(stamp_ns, frame)
        if name == "detections":
            found = [self._detection(header, one) for one in objects]
            return self._message(FURTHER_OUTPUTS[name], header=header, detections=found)
        make = self._detected if name == "detected_objects" else self._tracked
        made = [make(one) for one in objects]
        return self._message(FURTHER_OUTPUTS[name], header=header, objects=made)

    # vision_msgs

    def _detection(self, header: Any, one: MovingObject) -> Any:
        make = self._message
        pose = self._pose(one)
        hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id="moving", score=_score(one))
        result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)
        box = make("vision_msgs/msg/BoundingBox3D", center=pose.pose, size=self._size(one))
        kind = "vision_msgs/msg/Detection3D"
        return make(kind, header=header, results=[result], bbox=box, id=str(one.id))

    # autoware_perception_msgs

    def _detected(self, one: MovingObject) -> Any:
        kinematics = self._message(
            "autoware_perception_msgs/msg/DetectedObjectKinematics",
            pose_with_covariance=self._pose(one),
            has_position_covariance=True,
            orientation_availability=_heading(one),
            twist_with_covariance=self._twist(one),
            has_twist=True,
            has_twist_covariance=True,
        )
        return self._autoware("DetectedObject", one, kinematics=kinematics)

    def _tracked(self, one: MovingObject) -> Any:
        make = self._message
        zero = self._vector(0.0, 0.0, 0.0)
        none = make("geometry_msgs/msg/Accel", linear=zero, angular=zero)
        unknown = make("geometry_msgs/msg/AccelWithCovariance", accel=none, covariance=np.zeros(36))
        kinematics = make(
            "autoware_perception_msgs/msg/TrackedObjectKinematics",
            pose_with_covariance=self._pose(one),
            twist_with_covariance=self._twist(one),
            acceleration_with_covariance=unknown,
            orientation_availability=_heading(one),
            is_stationary=False,
        )
        identity = np.frombuffer(uuid.UUID(int=one.id).bytes, np.uint8).copy()
        name = make("unique_identifier_msgs/msg/UUID", uuid=identity)
        return self._autoware("TrackedObject", one, object_id=name, kinematics=kinematics)

    def _autoware(self, kind: str, one: MovingObject, **more: Any) -> Any:
        make, package = self._message, "autoware_perception_msgs/msg"
        unknown = make(f"{package}/ObjectClassification", label=_UNKNOWN_CLASS, probability=1.0)
        footprint = make("geometry_msgs/msg/Polygon", points=[])
        size = self._size(one)
        shape = make(f"{package}/Shape", type=_BOX, footprint=footprint, dimensions=size)
        return make(
            f"{package}/{kind}",
            existence_probability=_score(one),
            classification=[unknown],
            shape=shape,
            **more,
        )

    # px4_msgs

    def _px4(self, stamp_ns: int, scan: ObstacleScan, view: float) -> Any:
        sent = encoded_scan(scan, CONSUMERS["px4"].scan, view)
        assert sent is not None, "it is never silent"
        distances = np.full(PX4_SECTORS, PX4_UNKNOWN, np.uint16)
        known = np.flatnonzero(~np.isnan(sent.ranges))
        centimetres = sent.ranges[known].astype(np.float64) * 100
        distances[known] = np.minimum(centimetres + 1e-6, PX4_UNKNOWN - 1)  # cut off, not rounded
        return self._message(
            FURTHER_OUTPUTS["px4_obstacle_distance"],
            timestamp=stamp_ns // 1000,
            frame=PX4_BODY_FRD,
            sensor_type=0,
            distances=distances,
            increment=math.degrees(sent.angle_increment),
            min_distance=int(sent.range_min * 100),
            max_distance=int(sent.range_max * 100),
            angle_offset=math.degrees(sent.angle_min),
        )

    # parts of messages

    def _message(self, kind: str, **fields: Any) -> Any:
        try:
            return self._output.message(kind, **fields)
        except TypeError as error:  # more, fewer or other fields
            what = reason(error).partition("__init__() ")[2]
            raise InputError(f"{kind} of the installed version isn't known: {what}") from None

    def _vector(self, x: float, y: float, z: float) -> Any:
        return self._message("geometry_msgs/msg/Vector3", x=x, y=y, z=z)

    def _size(self, one: MovingObject) -> Any:
        return self._vector(*(max(0.05, float(side)) for side in one.size))

    def _pose(self, one: MovingObject) -> Any:
        """PoseWithCovariance, of the box's middle in the sweep's frame."""
        make, (x, y, z) = self._message, (float(value) for value in one.centre)
        half = 0.5 * one.yaw
        turned = {"x": 0.0, "y": 0.0, "z": math.sin(half), "w": math.cos(half)}
        orientation = make("geometry_msgs/msg/Quaternion", **turned)
        position = make("geometry_msgs/msg/Point", x=x, y=y, z=z)
        pose = make("geometry_msgs/msg/Pose", position=position, orientation=orientation)
        place, motion = _variances(one)
        speed = math.hypot(*one.velocity[:2])
        yaw = min(motion / max(speed, 1e-3) ** 2, math.pi**2 / 3)  # at most: it may be any
        covariance = np.diag([place, place, place, 0.0, 0.0, yaw]).reshape(-1)
        return make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance)

    def _twist(self, one: MovingObject) -> Any:
        """TwistWithCovariance over ground, along the object's own axes, as Autoware has it."""
        make, (vx, vy, vz) = self._message, (float(value) for value in one.velocity)
        cos, sin = math.cos(one.yaw), math.sin(one.yaw)
        linear = self._vector(cos * vx + sin * vy, cos * vy - sin * vx, vz)
        turning = self._vector(0.0, 0.0, 0.0)
        twist = make("geometry_msgs/msg/Twist", linear=linear, angular=turning)
        _, motion = _variances(one)
        # its rate of turn isn't estimated
        covariance = np.diag([motion, motion, motion, 0.0, 0.0, 1.0]).reshape(-1)
        return make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=covariance)


def _variances(one: MovingObject) -> tuple[float, float]:
    """Of position, m², and velocity, (m/s)², along each axis."""
    if one.covariance is None:
        return POSITION_SPREAD**2, VELOCITY_SPREAD**2
    covariance: NDArray[np.float64] = one.covariance
    return float(covariance[0, 0]), float(covariance[1, 1])


def _heading(one: MovingObject) -> int:
    fast = math.hypot(*one.velocity[:2]) >= HEADING_SPEED
    return _AVAILABLE if fast else _SIGN_UNKNOWN


def _score(one: MovingObject) -> float:
    return min(1.0, max(0.0, float(one.confidence)))
