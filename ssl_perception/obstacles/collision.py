"""Time to collision: when an obstacle meets the robot, assuming constant velocity.

The robot keeps its speed and its yaw rate, so its path is an arc; every point keeps its velocity
over ground. In the robot's axes a point at ``p`` with velocity ``v`` is at

    q(t) = R(-w t) (p + v t - c(t)),    c(t) = integral of R(w s) u ds from 0 to t

for the robot's velocity ``u`` and yaw rate ``w``. The first time at which it enters the robot's
box, or comes within the margin about it, counts. No clusters and no tracks are needed: a point
knows its own velocity, and walls are points like others. A point of unknown motion is taken to
stand still: what is near, far or new is an obstacle all the same.

What lies inside the box, right above or below it, or beside it by no more than ``own``, is the
robot itself, as is what lies in ``online.vehicle``; nothing else ahead of or behind it is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import CollisionConfig
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import BoolArray, FloatArray

NO_FOOTPRINT = (
    "time to collision is unknown: footprint not set "
    "(collision.front, .rear, .width, .below, .above)"
)
CLOSE = 0.001  # m from the box that count as having entered it
LEAST_STEP = 0.0005  # s
MAX_STEPS = 5_000_000  # of all points together; some tenths of a second
AROUND = 0.01  # m of margin where the distance from the robot's turning centre decides


def time_to_collision(result: SweepFlow, options: CollisionConfig) -> float:
    """Seconds until enough of the sweep's points have met the robot.

    Args:
        result: what the online runtime made of a raw sweep.
        options: the robot's box about the lidar, the horizon, and how many points are enough.

    Returns:
        +Inf: nothing that is seen is on a collision course within the horizon (it says nothing of
        what isn't seen). NaN: not known, for want of the robot's box, of ego motion, of any known
        point, because a deadline cut the search for moving objects short, or because the motion is
        too fast to be integrated in the steps allowed.
    """
    motion = result.current_from_previous
    if not options.has_footprint or motion is None or result.reset:
        return math.nan
    if not result.flow.confidence.any():
        return math.nan
    interval = -result.flow.interval
    if result.level is not None:  # the box stands upright
        turn = np.eye(4)
        turn[:3, :3] = result.level
        motion = turn @ motion @ turn.T
    # the sensor came from where its last origin is now, and turned against that frame's turning
    time = first_contact(
        result.cloud.points,
        result.flow.velocity,
        -motion[:3, 3] / interval,
        -math.atan2(motion[1, 0], motion[0, 0]) / interval,
        options,
        result.cloud.origin,
        result.ground if result.own is None else result.ground | result.own,
        result.level,
    )
    return math.nan if time == math.inf and not result.flow.converged else time


def first_contact(
    points: FloatArray,
    velocity: FloatArray,
    robot_velocity: NDArray[np.float64],
    yaw_rate: float,
    options: CollisionConfig,
    origin: NDArray[np.floating] | None = None,
    ground: BoolArray | None = None,
    level: NDArray[np.floating] | None = None,
) -> float:
    """Time at which the ``options.min_points``-th point has entered the robot's box, s.

    Args:
        points: (N, 3) m.
        velocity: (N, 3) m/s over ground; NaN, unknown, is taken for zero.
        robot_velocity: (3,) m/s over ground, in the robot's axes (x ahead, y left, z up).
        yaw_rate: rad/s, counter-clockwise.
        origin: (3,) m, what the box is placed about, in the points' axes; None: (0, 0, 0).
        ground: (N,) points that are no obstacles; None: all are.
        level: (3, 3) turns the points' axes to the robot's; None: they are the same.

    Returns:
        0 when that many are within ``options.margin`` already and come nearer. +Inf when fewer
        enter within ``options.horizon``; NaN when it takes points to make them enough that come
        nearer at less than ``options.min_speed``, where the robot's motion isn't finite, and where
        ``MAX_STEPS`` don't suffice. Points inside the box are the robot's own.
    """
    if not (np.isfinite(robot_velocity).all() and math.isfinite(yaw_rate)):
        return math.nan
    times, slow, complete = _entries(
        np.ascontiguousarray(points, np.float32),
        np.ascontiguousarray(velocity, np.float32),
        np.zeros(len(points), np.bool_) if ground is None else ground,
        np.zeros(3) if origin is None else np.asarray(origin, np.float64),
        np.eye(3) if level is None else np.ascontiguousarray(level, np.float64),
        np.asarray(robot_velocity, np.float64),
        float(yaw_rate),
        np.array([-options.rear, -options.width / 2, -options.below]),
        np.array([options.front, options.width / 2, options.above]),
        options.margin,
        options.own,
        options.horizon,
        options.min_speed,
    )
    if not complete:
        return math.nan
    if len(times) >= options.min_points:
        return float(np.partition(times, options.min_points - 1)[options.min_points - 1])
    return math.nan if len(times) + slow >= options.min_points else math.inf


@kernel
def _entries(
    points: FloatArray,
    velocity: FloatArray,
    ground: BoolArray,
    origin: NDArray[np.float64],
    level: NDArray[np.float64],
    robot: NDArray[np.float64],
    yaw_rate: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    margin: float,
    own: float,
    horizon: float,
    min_speed: float,
) -> tuple[NDArray[np.float64], int, bool]:
    """The times at which points come within the margin, of those that do; how many slow ones do;
    and whether all points were followed to the horizon."""
    times = np.empty(len(points))
    found = slow = steps = 0
    speed = math.hypot(robot[0], robot[1])
    reach = math.hypot(max(-low[0], high[0]) + margin, max(-low[1], high[1]) + margin)
    swing = abs(yaw_rate) * reach
    bend = 0.5 * abs(yaw_rate) * speed * horizon * horizon
    # a static point keeps its distance from the robot's centre of rotation
    turns = abs(yaw_rate) > 1e-6
    centre_x = -robot[1] / yaw_rate if turns else 0.0
    centre_y = robot[0] / yaw_rate if turns else 0.0
    inner = _gap(centre_x, centre_y, low, high, margin) - AROUND
    inner = max(inner, 0.0) ** 2
    outer = AROUND + math.hypot(
        max(abs(low[0] - margin - centre_x), abs(high[0] + margin - centre_x)),
        max(abs(low[1] - margin - centre_y), abs(high[1] + margin - centre_y)),
    )
    outer = outer**2
    near = (reach + bend) ** 2
    for n in range(len(points)):
        if ground[n]:
            continue
        east, north = points[n, 0] - origin[0], points[n, 1] - origin[1]
        up = points[n, 2] - origin[2]
        x = level[0, 0] * east + level[0, 1] * north + level[0, 2] * up
        y = level[1, 0] * east + level[1, 1] * north + level[1, 2] * up
        z = level[2, 0] * east + level[2, 1] * north + level[2, 2] * up
        east, north, up = velocity[n, 0], velocity[n, 1], velocity[n, 2]
        vx = vy = vz = 0.0
        still = math.isnan(east) or (east == 0.0 and north == 0.0 and up == 0.0)
        if not still:
            vx = level[0, 0] * east + level[0, 1] * north + level[0, 2] * up
            vy = level[1, 0] * east + level[1, 1] * north + level[1, 2] * up
            vz = level[2, 0] * east + level[2, 1] * north + level[2, 2] * up
        vz -= robot[2]
        if min(z, z + vz * horizon) > high[2] or max(z, z + vz * horizon) < low[2]:
            continue
        # the straight relative path, and how far the arc may be off it
        ux, uy = vx - robot[0], vy - robot[1]
        square = ux * ux + uy * uy
        when = min(max(-(x * ux + y * uy) / square, 0.0), horizon) if square > 0.0 else 0.0
        if (x + ux * when) ** 2 + (y + uy * when) ** 2 > near:
            continue
        if turns and still:
            away = (x - centre_x) ** 2 + (y - centre_y) ** 2
            if away < inner or away > outer:
                continue
        if low[0] <= x <= high[0] and low[1] - own <= y <= high[1] + own:
            continue
        gap = _gap(x, y, low, high, 0.0)
        # within the margin already: it counts when it would go on into the box
        inside = gap <= margin
        grown = 0.0 if inside else margin
        relative = math.sqrt(square) + swing
        # the robot's velocity turns meanwhile, the point's doesn't
        fastest = relative + speed * min(abs(yaw_rate) * horizon, 2.0)
        if fastest == 0.0:
            continue
        time = max(gap - grown, 0.0) / fastest
        while time < horizon:
            steps += 1
            if steps > MAX_STEPS:
                return times[:found], slow, False
            turn = yaw_rate * time
            if abs(turn) < 1e-6:
                c, s, along, aside = 1.0, turn, time, 0.5 * turn * time
            else:
                c, s = math.cos(turn), math.sin(turn)
                along, aside = s / yaw_rate, (1.0 - c) / yaw_rate
            east = x + vx * time - (along * robot[0] - aside * robot[1])
            north = y + vy * time - (aside * robot[0] + along * robot[1])
            gap = _gap(c * east + s * north, c * north - s * east, low, high, grown)
            if gap < CLOSE and low[2] <= z + vz * time <= high[2]:
                # at rest ego motion is noise: so slow an approach may be none
                if relative < min_speed:
                    slow += 1
                else:
                    times[found] = 0.0 if inside else time
                    found += 1
                break
            # nothing can happen before the gap is closed at full speed
            time += max(gap / fastest, LEAST_STEP)
    return times[:found], slow, True


@kernel
def _gap(
    ahead: float,
    left: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    margin: float,
) -> float:
    """Horizontal distance from the box grown by the margin, m."""
    x = max(low[0] - margin - ahead, 0.0, ahead - high[0] - margin)
    y = max(low[1] - margin - left, 0.0, left - high[1] - margin)
    return math.hypot(x, y)
