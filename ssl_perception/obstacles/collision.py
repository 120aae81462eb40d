"""Time to collision: when what is seen meets the robot, if all goes on as it goes now.

The robot keeps its speed and its yaw rate, so its path is an arc; every point keeps its velocity
over ground. In the robot's axes a point at ``p`` with velocity ``v`` is at

    q(t) = R(-w t) (p + v t - c(t)),    c(t) = integral of R(w s) u ds from 0 to t

for the robot's velocity ``u`` and yaw rate ``w``. The first time at which it enters the robot's
box counts. No clusters and no tracks are needed: a point knows its own velocity, and walls are
points like others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ssl_perception.config import Collision
from ssl_perception.flow.online import SweepFlow
from ssl_perception.types import FloatArray

CLOSE = 0.001  # m from the box that count as having entered it
LEAST_STEP = 0.0005  # s


def time_to_collision(result: SweepFlow, options: Collision) -> float:
    """Seconds until enough of the sweep's points have met the robot.

    Args:
        result: what the online runtime made of a raw sweep.
        options: the robot's box about the lidar, the horizon, and how many points are enough.

    Returns:
        +Inf: nothing that is seen is on a collision course within the horizon (it says nothing of
        what isn't seen). NaN: not known, for want of ego motion or of any known point.
    """
    motion = result.current_from_previous
    if motion is None or result.reset:
        return math.nan
    interval = -result.flow.interval
    # the sensor came from where its last origin is now, and turned against that frame's turning
    velocity = -motion[:3, 3] / interval
    yaw_rate = -math.atan2(motion[1, 0], motion[0, 0]) / interval
    known = result.flow.confidence > 0.0
    if not known.any():
        return math.nan
    known &= ~result.ground
    return first_contact(
        result.cloud.points[known],
        result.flow.velocity[known],
        velocity,
        yaw_rate,
        options,
        result.cloud.origin,
    )


def first_contact(
    points: FloatArray,
    velocity: FloatArray,
    robot_velocity: NDArray[np.float64],
    yaw_rate: float,
    options: Collision,
    origin: NDArray[np.floating] | None = None,
) -> float:
    """Time at which the ``options.min_points``-th point has entered the robot's box, s.

    Args:
        points: (N, 3) m, in the robot's axes (x ahead, y left, z up).
        velocity: (N, 3) m/s over ground, in the same axes.
        robot_velocity: (3,) m/s over ground, in the same axes.
        yaw_rate: rad/s, counter-clockwise.
        origin: (3,) m, what the box is placed about; None: (0, 0, 0).

    Returns:
        +Inf when fewer points enter within ``options.horizon``. Points that are inside at once, or
        within ``options.own`` of the box, are the robot's own.
    """
    times = _entries(
        np.ascontiguousarray(points, np.float32),
        np.ascontiguousarray(velocity, np.float32),
        np.zeros(3) if origin is None else np.asarray(origin, np.float64),
        np.asarray(robot_velocity, np.float64),
        float(yaw_rate),
        np.array([-options.rear, -options.width / 2, -options.below]),
        np.array([options.front, options.width / 2, options.above]),
        options.horizon,
        options.own,
        options.min_speed,
    )
    if len(times) < options.min_points:
        return math.inf
    return float(np.partition(times, options.min_points - 1)[options.min_points - 1])


@njit(cache=True, nogil=True)
def _entries(
    points: FloatArray,
    velocity: FloatArray,
    origin: NDArray[np.float64],
    robot: NDArray[np.float64],
    yaw_rate: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    horizon: float,
    own: float,
    min_speed: float,
) -> NDArray[np.float64]:
    """The times at which points enter the box, of those that do."""
    times = np.empty(len(points))
    found = 0
    speed = math.hypot(robot[0], robot[1])
    reach = max(math.hypot(low[0], low[1]), math.hypot(high[0], high[1]))
    swing = abs(yaw_rate) * reach
    bend = 0.5 * abs(yaw_rate) * speed * horizon * horizon
    for n in range(len(points)):
        x, y = points[n, 0] - origin[0], points[n, 1] - origin[1]
        vx, vy, vz = velocity[n, 0], velocity[n, 1], velocity[n, 2] - robot[2]
        z = points[n, 2] - origin[2]
        if min(z, z + vz * horizon) > high[2] or max(z, z + vz * horizon) < low[2]:
            continue
        # at rest ego motion is noise: what comes nearer as slowly as that doesn't count
        relative = math.hypot(vx - robot[0], vy - robot[1]) + swing
        if relative < min_speed:
            continue
        # the straight relative path, and how far the arc may be off it
        ux, uy = vx - robot[0], vy - robot[1]
        square = ux * ux + uy * uy
        when = min(max(-(x * ux + y * uy) / square, 0.0), horizon) if square > 0.0 else 0.0
        if math.hypot(x + ux * when, y + uy * when) > reach + bend:
            continue
        # the robot's velocity turns meanwhile, the point's doesn't
        fastest = relative + speed * min(abs(yaw_rate) * horizon, 2.0)
        time = _gap(x, y, low, high) / fastest
        if time * fastest <= own:
            continue
        while time < horizon:
            turn = yaw_rate * time
            if abs(turn) < 1e-6:
                c, s, along, aside = 1.0, turn, time, 0.5 * turn * time
            else:
                c, s = math.cos(turn), math.sin(turn)
                along, aside = s / yaw_rate, (1.0 - c) / yaw_rate
            east = x + vx * time - (along * robot[0] - aside * robot[1])
            north = y + vy * time - (aside * robot[0] + along * robot[1])
            gap = _gap(c * east + s * north, c * north - s * east, low, high)
            if gap < CLOSE and low[2] <= z + vz * time <= high[2]:
                times[found] = time
                found += 1
                break
            # nothing can happen before the gap is closed at full speed
            time += max(gap / fastest, LEAST_STEP)
    return times[:found]


@njit(cache=True, nogil=True)
def _gap(ahead: float, left: float, low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """Horizontal distance from the box, m."""
    x = max(low[0] - ahead, 0.0, ahead - high[0])
    y = max(low[1] - left, 0.0, left - high[1])
    return math.hypot(x, y)
