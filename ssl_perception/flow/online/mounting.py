"""How the lidar is mounted, as the ground itself shows: height above it, tilt, upside down or not.

The ground is the plane near the sensor that carries most returns and has next to none beyond it: a
wall stands too steep, a ceiling or a canopy carries less or is the second choice. It is searched by
RANSAC (Fischler & Bolles 1981) among planes that ``MAX_TILT`` allows, right way up or upside down,
and fitted by least squares. One sweep may see a kerb, a ramp, a lorry's side: the median of the
last estimates counts.

Ground segmentation, heights and size limits need level axes. So sweeps are levelled, by a rotation
about the frame's origin, where the tilt found is more than ``LEVEL``; else nothing is touched.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.config import LidarMountConfig
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray, MovingObject

LEVEL = np.deg2rad(2.0)  # tilts so small are left alone
MAX_TILT = np.deg2rad(30.0)  # of the ground against the mount as set, or against it upside down
NEAR, FAR = 0.3, 20.0  # m from the sensor between which the ground is looked for
THICKNESS = 0.08  # m from the plane that are on it
BEYOND = 0.3  # m below it that no ground is
LEAST_HEIGHT = 0.1  # m; nearer planes are the robot's own deck
SAMPLE = 1600  # points that vote ...
FIRST = 160  # ... of which so many decide whether the others are asked
TRIALS = 1000  # triples drawn; a tenth of them spans a plane that may be ground
UPSIDE_DOWN = 1.5  # times the votes that the right way up must be beaten by
LEAST_POINTS = 50
ENOUGH = 0.08  # of the votes: so much is surely ground
SURE = 0.5  # confidence below which an estimate doesn't count
MEMORY = 11  # estimates
SETTLED = 5  # estimates that must agree before a setting is called wrong
RARELY = 10  # sweeps from one estimate to the next, once there are MEMORY
WRONG_HEIGHT, WRONG_SHARE = 0.2, 0.15  # m, and share of the setting, by which a height is wrong

Turn = NDArray[np.float64]  # (3, 3) rotation


@dataclass(frozen=True, eq=False)
class Mounting:
    """What one sweep shows.

    Attributes:
        up: (3,) unit vector away from the ground, in the sensor's axes.
        height: m from the ground to the sensor.
        confidence: in [0, 1]; 0 where no plane can be the ground.
    """

    up: NDArray[np.float64]
    height: float
    confidence: float

    @property
    def upside_down(self) -> bool:
        """Whether the sensor's z points towards the ground."""
        return bool(self.up[2] < 0.0)

    @property
    def angles(self) -> tuple[float, float]:
        """Roll and pitch of the sensor, rad (REP 103: nose down is positive)."""
        x, y, z = self.up
        return float(np.arctan2(y, z)), float(np.arctan2(-x, np.hypot(y, z)))


UNKNOWN = Mounting(np.array([0.0, 0.0, 1.0]), 0.0, 0.0)


def estimate_mounting(rays: FloatArray, level: Turn | None = None, seed: int = 0) -> Mounting:
    """Find the ground in one sweep.

    Args:
        rays: (N, 3) m, seen from the sensor.
        level: (3, 3) turns the sensor's axes to those that are level by the settings; None: its own
            axes are.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    some = rng.permutation(_sample(rays, max(len(rays) // (4 * SAMPLE), 1)))
    if len(some) < LEAST_POINTS:
        return UNKNOWN
    axis = np.array([0.0, 0.0, 1.0]) if level is None else level[2]
    triples = rng.integers(0, len(some), (TRIALS, 3))
    best = _search(some, triples, axis, np.cos(MAX_TILT))
    upright, inverted = best[0], best[1]
    chosen = inverted if inverted[4] > UPSIDE_DOWN * max(upright[4], 0.0) else upright
    if chosen[4] <= 0.0:
        return UNKNOWN
    up, height = chosen[:3], float(chosen[3])
    for _ in range(3):
        on, _, middle, moments = _fit(some, up, height)
        if on < LEAST_POINTS / 2:
            return UNKNOWN
        spread, axes = np.linalg.eigh(moments)
        up = np.ascontiguousarray(axes[:, 0] * np.sign(axes[:, 0] @ up))
        height = float(-middle @ up)
    on, beyond, _, _ = _fit(some, up, height)
    line = spread[1] < (2.0 * THICKNESS) ** 2
    steep = abs(up @ axis) < np.cos(MAX_TILT)  # the fit has turned to a wall
    if line or steep or height < LEAST_HEIGHT:
        return UNKNOWN
    share = on / len(some)
    return Mounting(up, height, min(share / ENOUGH, 1.0) * on / (on + beyond))


@kernel
def _sample(rays: FloatArray, stride: int) -> NDArray[np.float64]:
    """(n, 3) at most SAMPLE points near enough, drawn by their distance: rings lie the denser the
    nearer they are, and all ground is to weigh alike."""
    total = np.empty(len(rays) // stride + 1)
    near = np.empty(len(total), np.intp)
    count, weight = 0, 0.0
    for p in range(0, len(rays), stride):
        away = np.sqrt(rays[p, 0] ** 2 + rays[p, 1] ** 2 + rays[p, 2] ** 2)
        if NEAR < away < FAR:
            weight += away
            total[count], near[count] = weight, p
            count += 1
    some = np.empty((min(count, SAMPLE), 3))
    at = 0
    for k in range(len(some)):
        if count > SAMPLE:
            while total[at] < (k + 0.5) / SAMPLE * weight:
                at += 1
        else:
            at = k
        for axis in range(3):
            some[k, axis] = rays[near[at], axis]
    return some


@kernel
def _fit(
    points: NDArray[np.float64], up: NDArray[np.float64], height: float
) -> tuple[int, int, NDArray[np.float64], NDArray[np.float64]]:
    """Points on a plane and beyond it; middle (3,) and covariance (3, 3) of those on it."""
    on = beyond = 0
    middle, moments = np.zeros(3), np.zeros((3, 3))
    for p in range(len(points)):
        away = points[p, 0] * up[0] + points[p, 1] * up[1] + points[p, 2] * up[2] + height
        if away < -BEYOND:
            beyond += 1
        elif abs(away) < THICKNESS:
            on += 1
            for a in range(3):
                middle[a] += points[p, a]
                for b in range(3):
                    moments[a, b] += points[p, a] * points[p, b]
    middle /= max(on, 1)
    moments /= max(on, 1)
    for a in range(3):
        for b in range(3):
            moments[a, b] -= middle[a] * middle[b]
    return on, beyond, middle, moments


@kernel
def _search(
    points: NDArray[np.float64],
    triples: NDArray[np.int64],
    axis: NDArray[np.float64],
    least: float,
) -> NDArray[np.float64]:
    """The best plane right way up, and upside down: (2, 5) normal, height, votes (-1: none)."""
    best = np.full((2, 5), -1.0)
    for t in range(len(triples)):
        a, b, c = points[triples[t, 0]], points[triples[t, 1]], points[triples[t, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(x * x + y * y + z * z)
        if length < 0.1:
            continue
        x, y, z = x / length, y / length, z / length
        height = -(a[0] * x + a[1] * y + a[2] * z)
        if height < 0.0:  # the normal points from the plane to the sensor
            x, y, z, height = -x, -y, -z, -height
        along = x * axis[0] + y * axis[1] + z * axis[2]
        if abs(along) < least or height < LEAST_HEIGHT:
            continue
        side = 0 if along > 0.0 else 1
        votes = 0.0
        for p in range(len(points)):
            if p == FIRST and votes * len(points) < 0.7 * FIRST * best[side, 4]:
                break
            away = points[p, 0] * x + points[p, 1] * y + points[p, 2] * z + height
            if away < -BEYOND:
                votes -= 1.0
            elif abs(away) < THICKNESS:
                votes += 1.0
        if votes > best[side, 4]:
            best[side, 0], best[side, 1], best[side, 2] = x, y, z
            best[side, 3], best[side, 4] = height, votes
    return best


class MountingEstimate:
    """The mounting over the sweeps; start with the settings, go by what the ground shows.

    Args:
        sensor_height: m as set; 0: not set.
        mount: as set.

    Attributes:
        level: (3, 3) turns the sensor's axes to level ones, x staying ahead; None: they are level.
        found: median of the last estimates; None: no ground seen yet.
        doubt: empty, or which setting seems wrong, in one line that stays the same.
    """

    def __init__(self, sensor_height: float, mount: LidarMountConfig | None = None) -> None:
        self._set_height = sensor_height
        mount = mount or LidarMountConfig()
        self._mount = Rotation.from_euler("YX", (mount.pitch, mount.roll)).as_matrix()
        self.reset()

    def reset(self) -> None:
        """Back to the settings."""
        stated = np.arccos(np.clip(self._mount[2, 2], -1.0, 1.0)) > LEVEL
        self.level: Turn | None = self._mount if stated else None
        self.found: Mounting | None = None
        self.doubt = ""
        self._estimates: deque[Mounting] = deque(maxlen=MEMORY)
        self._sweeps = 0

    @property
    def height(self) -> float:
        """m as set, else as found; 0: neither."""
        return self._set_height or (self.found.height if self.found else 0.0)

    def add(self, rays: FloatArray) -> None:
        """Look at a sweep: at each of the first ones, then at one of some; (N, 3) m, seen from the
        sensor, the robot's own points left out."""
        due = len(self._estimates) < MEMORY and self._sweeps < 5 * MEMORY
        if due or self._sweeps % RARELY == 0:
            seen = estimate_mounting(rays, self._mount, self._sweeps)
            if seen.confidence >= SURE:
                self._estimates.append(seen)
                self._settle()
        self._sweeps += 1

    def _settle(self) -> None:
        up = np.median([seen.up for seen in self._estimates], axis=0)
        up /= np.linalg.norm(up)
        heights = [seen.height for seen in self._estimates]
        confidence = float(np.median([seen.confidence for seen in self._estimates]))
        self.found = Mounting(up, float(np.median(heights)), confidence)
        now = np.eye(3) if self.level is None else self.level
        if now[2] @ up < np.cos(LEVEL):
            self.level = _levelling(up, self._mount)
        if len(self._estimates) >= SETTLED:
            self._compare(self.found)

    def _compare(self, found: Mounting) -> None:
        wrong = []
        off = abs(found.height - self._set_height)
        if self._set_height and off > max(WRONG_HEIGHT, WRONG_SHARE * self._set_height):
            wrong.append(
                f"ground seems to be {found.height:.2f} m below the lidar, not "
                f"{self._set_height:.2f} m: set ground.sensor_height"
            )
        if self._mount[2] @ found.up < np.cos(2.0 * LEVEL):
            roll, pitch = found.angles
            wrong.append(
                f"lidar seems to be mounted with roll {roll:.2f} and pitch {pitch:.2f} rad"
                f"{' (upside down)' if found.upside_down else ''}: set lidar_mount.roll, .pitch"
            )
        if not wrong or not self.doubt:
            self.doubt = "; ".join(wrong)


def _levelling(up: NDArray[np.float64], mount: Turn) -> Turn:
    """(3, 3) the least turn after the mount (and half a roll, if it is upside down) to level."""
    start = mount if mount[2] @ up > 0.0 else np.diag([1.0, -1.0, -1.0]) @ mount
    seen = start @ up
    axis = np.cross(seen, [0.0, 0.0, 1.0])
    sine = float(np.linalg.norm(axis))
    if sine < 1e-9:
        return start
    angle = np.arctan2(sine, seen[2])
    turn: Turn = Rotation.from_rotvec(axis / sine * angle).as_matrix() @ start
    return turn


def turned_back(seen: MovingObject, level: Turn) -> MovingObject:
    """An object found in level axes, in the sensor's own; its ``size`` stays that of the upright
    box."""
    ahead = level.T @ (np.cos(seen.yaw), np.sin(seen.yaw), 0.0)
    return replace(
        seen,
        centre=level.T @ seen.centre,
        yaw=float(np.arctan2(ahead[1], ahead[0])),
        velocity=level.T @ seen.velocity,
    )
