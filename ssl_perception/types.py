"""The few types that everything speaks: what the sensors give and what perception says of it.

Lengths are metres, times seconds, angles radians, unless a name says otherwise. Frames follow
REP 103 (x forward, y left, z up) and, for cameras, its optical variant (z forward, x right,
y down). Arrays are converted to the stated dtype once, here, and never copied when they already
have it. Instances are immutable: nothing downstream may change what another stage reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_perception.errors import InputError

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]


def _array(value: ArrayLike, dtype: type, shape: tuple[int | None, ...], name: str) -> NDArray:
    array: NDArray = np.asarray(value, dtype=dtype)
    if array.ndim != len(shape) or any(
        want is not None and have != want for have, want in zip(array.shape, shape, strict=True)
    ):
        wanted = "(" + ", ".join("N" if n is None else str(n) for n in shape) + ")"
        raise InputError(f"{name} must have shape {wanted}, not {array.shape}")
    return array


@dataclass(frozen=True, eq=False)
class PointCloud:
    """One lidar sweep, or a part of one.

    Attributes:
        points: (N, 3) float32, metres, in ``frame``.
        time: (N,) float32, when each point was measured, seconds relative to ``stamp``; or None
            where the driver does not say. It may be negative, and may exceed the sweep period.
        stamp: seconds (any epoch; float64).
        frame: name of the coordinate frame.
        origin: (3,) float32, position of the sensor in ``frame``, metres. Rays start here.
        intensity: (N,) float32, strength of the return, in the driver's own unit; None: not read.
        ring: (N,) uint16, which of the sensor's beams; None: not read.

    Raises:
        InputError: on a wrong shape, or a stamp that is NaN or infinite.

    >>> cloud = PointCloud([[5.0, 0.0, 0.0], [0.0, 2.0, 1.0]], stamp=10.0, frame="lidar")
    >>> len(cloud), cloud.points.dtype.name
    (2, 'float32')
    >>> cloud.select(cloud.points[:, 0] > 1.0).points.tolist()
    [[5.0, 0.0, 0.0]]
    """

    points: FloatArray
    time: FloatArray | None = None
    stamp: float = 0.0
    frame: str = ""
    origin: FloatArray = field(default_factory=lambda: np.zeros(3, np.float32))
    intensity: FloatArray | None = None
    ring: NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        _require_stamp(self.stamp, "cloud")
        points = _array(self.points, np.float32, (None, 3), "points")
        object.__setattr__(self, "points", points)
        for name, kind in (("time", np.float32), ("intensity", np.float32), ("ring", np.uint16)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _array(value, kind, (len(points),), name))
        object.__setattr__(self, "origin", _array(self.origin, np.float32, (3,), "origin"))

    def __len__(self) -> int:
        return len(self.points)

    def select(self, keep: NDArray) -> PointCloud:
        """The points that ``keep`` names (boolean mask or indices), all else as it was."""
        time, intensity, ring = (
            None if values is None else values[keep]
            for values in (self.time, self.intensity, self.ring)
        )
        points = self.points[keep]
        return PointCloud(points, time, self.stamp, self.frame, self.origin, intensity, ring)

    def transformed(
        self, new_from_old: NDArray[np.float64], frame: str | None = None
    ) -> PointCloud:
        """The same points, and the sensor's position, in other coordinates.

        Args:
            new_from_old: (4, 4) rigid transform that maps this cloud's frame to the new one.
            frame: name of the new frame; None keeps the name.
        """
        rotation = new_from_old[:3, :3].astype(np.float32)
        shift = new_from_old[:3, 3].astype(np.float32)
        return PointCloud(
            transformed(self.points, new_from_old),
            self.time,
            self.stamp,
            self.frame if frame is None else frame,
            rotation @ self.origin + shift,
            self.intensity,
            self.ring,
        )


def _require_stamp(stamp: float, what: str) -> None:
    if not math.isfinite(stamp):
        raise InputError(f"{what} has the stamp {stamp}; it must be a number of seconds")


def transformed(
    points: FloatArray, new_from_old: NDArray[np.float64], direction: bool = False
) -> FloatArray:
    """(N, 3) points in other coordinates; a ``direction``, such as a velocity, only turns.

    Not as a matrix product: after one the threads of the BLAS spin for 25 ms, on processors that
    the next stage wants.
    """
    rotation = new_from_old[:3, :3].astype(np.float32)
    shift = np.zeros(3, np.float32) if direction else new_from_old[:3, 3].astype(np.float32)
    x, y, z = points.T
    moved = np.empty_like(points)
    for axis in range(3):
        np.multiply(x, rotation[axis, 0], out=moved[:, axis])
        moved[:, axis] += y * rotation[axis, 1]
        moved[:, axis] += z * rotation[axis, 2]
        moved[:, axis] += shift[axis]
    return moved


@dataclass(frozen=True, eq=False)
class SceneFlow:
    """The motion of each point of a source cloud, over ground.

    Attributes:
        flow: (N, 3) float32, metres: displacement of the body that the point lies on, from the
            source's stamp to the target's.
        moving: (N,) bool: the point belongs to something that moves over ground.
        confidence: (N,) float32 in [0, 1]; 0 where nothing is known (no target seen).
        interval: target stamp minus source stamp, seconds; negative when the target is the
            earlier sweep. ``flow / interval`` is the velocity.
        seconds: wall time that the answer took.
        iterations: optimisation steps taken.
        converged: False when a deadline cut the search short.
    """

    flow: FloatArray
    moving: BoolArray
    confidence: FloatArray
    interval: float
    seconds: float = 0.0
    iterations: int = 0
    converged: bool = True

    def __post_init__(self) -> None:
        flow = _array(self.flow, np.float32, (None, 3), "flow")
        object.__setattr__(self, "flow", flow)
        object.__setattr__(self, "moving", _array(self.moving, np.bool_, (len(flow),), "moving"))
        confidence = _array(self.confidence, np.float32, (len(flow),), "confidence")
        object.__setattr__(self, "confidence", confidence)

    @classmethod
    def unknown(cls, points: int, interval: float, seconds: float) -> SceneFlow:
        """Time ran out before anything was known: no motion, confidence 0."""
        still = np.zeros((points, 3), np.float32)
        certain = np.zeros(points, np.float32)
        return cls(still, certain > 0, certain, interval, seconds, converged=False)

    @classmethod
    def still(cls, points: int, interval: float) -> SceneFlow:
        """Nothing moves, with confidence 1: the baseline that is shown beside every method."""
        zero = np.zeros((points, 3), np.float32)
        return cls(zero, np.zeros(points, np.bool_), np.ones(points, np.float32), interval)

    @property
    def velocity(self) -> FloatArray:
        """(N, 3) float32, m/s over ground; NaN where nothing is known (confidence 0)."""
        if self.interval == 0.0:
            return np.full_like(self.flow, np.nan)
        velocity = self.flow / np.float32(self.interval)
        velocity[self.confidence == 0.0] = np.nan
        return velocity


@dataclass(frozen=True)
class CameraModel:
    """A rectified pinhole camera (no distortion left), in pixels.

    A point (X, Y, Z) in the optical frame is seen at ``u = fx X / Z + cx``, ``v = fy Y / Z + cy``.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    frame: str = ""

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise InputError(f"camera size must be positive, not {self.width}x{self.height}")
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if not np.all(np.isfinite(numbers)) or self.fx <= 0 or self.fy <= 0:
            raise InputError(f"camera needs finite fx, fy > 0, cx, cy, not {numbers}")

    def resized(self, width: int, height: int) -> CameraModel:
        """The camera that sees the same view with so many pixels."""
        across, down = width / self.width, height / self.height
        return CameraModel(
            width,
            height,
            self.fx * across,
            self.fy * down,
            (self.cx + 0.5) * across - 0.5,
            (self.cy + 0.5) * down - 0.5,
            self.frame,
        )

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray, NDArray]:
        """Where points are seen: (N,) columns and (N,) rows, px; whole numbers are pixel centres.

        Args:
            points: (N, 3) metres in the optical frame, all before the camera (z > 0).
        """
        x, y, z = points.T
        return self.fx * x / z + self.cx, self.fy * y / z + self.cy


def _check_seen(seen: BoolArray | None, camera: CameraModel) -> None:
    if seen is not None:
        _array(seen, np.bool_, (camera.height, camera.width), "seen")


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Two rectified images taken at one instant: row r of left and right see the same rays.

    Attributes:
        left, right: (H, W) or (H, W, 3) uint8; colour is BGR, as OpenCV has it.
        camera: the left camera; the right one is the same, ``baseline`` to its right.
        baseline: metres, positive.
        stamp: seconds.
        cx_difference: pixels, cx of the right camera minus cx of the left (Middlebury's doffs);
            depth = fx * baseline / (disparity + cx_difference).
        seen: (H, W) bool, pixels of ``left`` that its raw image shows; None: all. A rectified image
            can have corners that the lens never saw.

    Raises:
        InputError: on images of different size, or of another size than the camera's, or a
            baseline that is not positive.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    camera: CameraModel
    baseline: float
    stamp: float = 0.0
    cx_difference: float = 0.0
    seen: BoolArray | None = None

    def __post_init__(self) -> None:
        _require_stamp(self.stamp, "stereo pair")
        for side, image in (("left", self.left), ("right", self.right)):
            if image.dtype != np.uint8 or image.ndim not in (2, 3):
                raise InputError(
                    f"{side} image must be (H, W) or (H, W, 3) uint8, "
                    f"not {image.shape} {image.dtype}"
                )
        if self.left.shape[:2] != self.right.shape[:2]:
            (lh, lw), (rh, rw) = self.left.shape[:2], self.right.shape[:2]
            raise InputError(f"left image is {lw}x{lh} but right image is {rw}x{rh}")
        if self.left.shape[:2] != (self.camera.height, self.camera.width):
            h, w = self.left.shape[:2]
            raise InputError(
                f"images are {w}x{h} but camera_info says {self.camera.width}x{self.camera.height}"
            )
        if not (np.isfinite(self.baseline) and self.baseline > 0):
            raise InputError(
                f"baseline must be positive, not {self.baseline} m "
                "(the right camera_info carries it as P[3] = -fx * baseline)"
            )
        _check_seen(self.seen, self.camera)

    @property
    def image(self) -> NDArray[np.uint8]:
        """The left image: what the student sees, and what the teacher's depth is aligned with."""
        return self.left


@dataclass(frozen=True, eq=False)
class CameraImage:
    """One rectified image, and what a depth camera measured at its pixels.

    Attributes:
        image: (H, W) or (H, W, 3) uint8; colour is BGR, as OpenCV has it.
        camera: that took it.
        stamp: seconds.
        depth: (H, W) float32, metres along the optical axis, aligned with ``image``; what isn't a
            positive number is unknown. None: there is no depth image.
        seen: (H, W) bool, pixels that the raw image shows; None: all.

    Raises:
        InputError: an image or a depth image of another size than the camera's.
    """

    image: NDArray[np.uint8]
    camera: CameraModel
    stamp: float = 0.0
    depth: FloatArray | None = None
    seen: BoolArray | None = None

    def __post_init__(self) -> None:
        _require_stamp(self.stamp, "image")
        if self.image.dtype != np.uint8 or self.image.ndim not in (2, 3):
            raise InputError(
                f"image must be (H, W) or (H, W, 3) uint8, not {self.image.shape} "
                f"{self.image.dtype}"
            )
        size = (self.camera.height, self.camera.width)
        if self.image.shape[:2] != size:
            h, w = self.image.shape[:2]
            raise InputError(f"image is {w}x{h} but camera_info says {size[1]}x{size[0]}")
        _check_seen(self.seen, self.camera)
        if self.depth is None:
            return
        if self.depth.shape != size:
            seen = "x".join(str(n) for n in self.depth.shape[::-1])
            raise InputError(
                f"depth image is {seen} but the image is {size[1]}x{size[0]}: it must be aligned "
                "with the image, pixel by pixel"
            )
        object.__setattr__(self, "depth", _array(self.depth, np.float32, size, "depth"))


class Cue(str, Enum):
    """Which sense a distance comes from."""

    STEREO = "stereo"
    DEPTH = "depth"  # a depth camera
    LIDAR = "lidar"
    MONO = "mono"
    NONE = "none"


class ActiveCue(str, Enum):
    """Which cue obstacle distance comes from; ``STEREO``: the teacher, whichever sensor it is."""

    STEREO = "stereo"
    GUARDED = "mono guarded by stereo"
    MONO = "mono"
    NONE = "none"


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth along the optical axis for each pixel of the left camera.

    Attributes:
        depth: (H, W) float32, metres along z; NaN where unknown.
        camera: the camera it is seen from.
        stamp: seconds.
        cue: where it comes from.
        valid: False when the cue itself says that it can't be trusted for this frame (for
            example stereo before a blank wall). The depths then must not be used as free space
            nor as labels.
        reason: why not, in a few words; empty when valid.
        confidence: (H, W) float32 in [0, 1], or None where the cue gives none.
        novelty: how far the image is from all that a student has learnt; 0 for other cues.
        generation: of the student's model; None for other cues.
        suspect_since: seconds; maps of this cue stamped so or later turn out to be suspect, though
            they were valid at the time: what was learnt from them is to be taken back. Inf: none.
    """

    depth: FloatArray
    camera: CameraModel
    stamp: float = 0.0
    cue: Cue = Cue.STEREO
    valid: bool = True
    reason: str = ""
    confidence: FloatArray | None = None
    novelty: float = 0.0
    generation: int | None = None
    suspect_since: float = float("inf")

    def __post_init__(self) -> None:
        shape = (self.camera.height, self.camera.width)
        object.__setattr__(self, "depth", _array(self.depth, np.float32, shape, "depth"))
        if self.confidence is not None:
            confidence = _array(self.confidence, np.float32, shape, "confidence")
            object.__setattr__(self, "confidence", confidence)

    @property
    def valid_fraction(self) -> float:
        """Share of pixels with a known depth."""
        return float(np.isfinite(self.depth).mean())


@dataclass(frozen=True, eq=False)
class ObstacleScan:
    """Distance to the nearest obstacle per sector, horizontally, around the robot (REP 117).

    Attributes:
        ranges: (S,) float32, metres; -Inf closer than ``range_min``, +Inf nothing up to
            ``range_max``, NaN unknown. Unknown is never free.
        angle_min: angle of the first sector's centre, radians, counter-clockwise from ahead.
        angle_increment: radians from one sector to the next.
        range_min, range_max: metres.
        stamp: seconds.
        frame: the body-like frame (x forward, y left) in which the angles count.
        cue: the cue that it was made from, of several the camera's; ``Cue.NONE``: all is unknown;
            None: not known, as for a scan read from a message.
        closing_speed: (S,) float32, m/s by which the obstacle's distance shrinks, NaN unknown;
            None where no cue measures speeds.
        velocity: of the scan's place over ground in its own axes: m/s ahead, m/s to the left, rad/s
            counter-clockwise; None where it isn't known.
    """

    ranges: FloatArray
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float
    stamp: float = 0.0
    frame: str = ""
    cue: Cue | None = Cue.STEREO
    closing_speed: FloatArray | None = None
    velocity: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", _array(self.ranges, np.float32, (None,), "ranges"))
        if self.closing_speed is not None:
            shape = (len(self.ranges),)
            speed = _array(self.closing_speed, np.float32, shape, "closing_speed")
            object.__setattr__(self, "closing_speed", speed)

    @property
    def angles(self) -> FloatArray:
        """(S,) float32, the sectors' centres, radians."""
        steps = np.arange(len(self.ranges), dtype=np.float32)
        return np.float32(self.angle_min) + steps * np.float32(self.angle_increment)


@dataclass(frozen=True, eq=False)
class Odometry:
    """Where the robot says it is.

    Attributes:
        world_from_body: (4, 4) float64 rigid transform.
        stamp: seconds.
        frame, child_frame: names of world and body frame.
    """

    world_from_body: NDArray[np.float64]
    stamp: float = 0.0
    frame: str = ""
    child_frame: str = ""

    def __post_init__(self) -> None:
        _require_stamp(self.stamp, "odometry")
        pose = _array(self.world_from_body, np.float64, (4, 4), "world_from_body")
        if not np.isfinite(pose).all():
            raise InputError("odometry pose has NaN or infinite numbers")
        object.__setattr__(self, "world_from_body", pose)


@dataclass(frozen=True, eq=False)
class MovingObject:
    """A moving object in the frame and at the stamp of the newest sweep.

    Attributes:
        id: the same from sweep to sweep; never used twice.
        centre: (3,) middle of the box around its points, metres.
        size: (3,) length along ``yaw``, width, height, metres.
        yaw: heading, radians about z, counter-clockwise from x.
        velocity: (3,) m/s over ground, in the axes of the frame.
        points: (n,) which points of the sweep it is made of.
        age: seconds since it was first seen moving.
        confidence: in [0, 1]; grows with every sweep that agrees with the ones before.
        covariance: (2, 2) of position, m, and velocity, m/s, the same along x and y; None: not
            known.
    """

    id: int
    centre: NDArray[np.float64]
    size: NDArray[np.float64]
    yaw: float
    velocity: NDArray[np.float64]
    points: NDArray[np.intp]
    age: float
    confidence: float
    covariance: NDArray[np.float64] | None = None
