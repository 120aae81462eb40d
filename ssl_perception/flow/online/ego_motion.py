"""The robot's own motion from one sweep to the next, by registration (small_gicp)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.config import EgoMotionConfig
from ssl_perception.runtime.openmp import threads_wait_asleep
from ssl_perception.types import FloatArray, PointCloud

with threads_wait_asleep():
    import small_gicp

Pose = NDArray[np.float64]

NEIGHBOURS = 10  # points that make a covariance, as small_gicp's authors have it ...
NARROW_NEIGHBOURS = 40  # ... or of a sensor that looks one way
NARROW = 0.7  # length of the mean direction from which a sensor does: a cone of 130 degrees
MIN_POINTS = 100  # down-sampled; fewer don't fix six degrees of freedom
MIN_INLIERS = 0.3  # share of points that must find a partner
SAME_SCENE = 0.7  # of the share in the sweep before; fewer: another place, as in a spliced log
# m; a registered position may be off by so much, and a speed seem to change within an interval
POSITION_ERROR = 0.25
WIDE = 4.0  # match radius of the first try, in units of the usual one, when no speed is known
FINE = 0.3  # ... and of the last one, beyond which whatever drives along doesn't pull
FINE_SHARE = 0.45  # of the points must then find a partner ...
FINE_SAME = 0.85  # ... and so much of the share before, or the start was wrong


class EgoMotion:
    """Registers each sweep against the one before it; starts from the last velocity.

    GICP (Segal et al., RSS 2005) on voxel-down-sampled sweeps, ground included: the ground is what
    fixes height, roll and pitch. The last match radius is small. Within a large one movers and the
    rings on the ground find partners, too, and pull: in a simulated street with a lorry alongside
    by 9 cm a sweep.

    Args:
        options: settings; None: defaults.
        neighbours: points that make a covariance; 0: as many as suit the first sweep.
    """

    def __init__(self, options: EgoMotionConfig | None = None, neighbours: int = 0) -> None:
        self.options = options or EgoMotionConfig()
        self._asked_neighbours = neighbours
        self.reset()

    def reset(self) -> None:
        """Forget the previous sweep and the velocity."""
        self.implausible = ""  # why the motion found or observed last was refused
        self._previous: small_gicp.PointCloud | None = None
        self._neighbours = self._asked_neighbours
        self._twist: NDArray[np.float64] | None = None
        self._share = 0.0  # of the points that found a partner, in the sweep before

    @property
    def twist(self) -> NDArray[np.float64] | None:
        """(6,) velocity of the sensor in its own axes: m/s, then rad/s; None while unknown."""
        return self._twist

    def observe(self, current_from_previous: Pose, interval: float) -> Pose | None:
        """Take a motion known from elsewhere (odometry) as the velocity to go on with; None: no
        robot moves so."""
        twist, self._twist = self._twist, None
        return self._taken(current_from_previous, interval, twist)

    def _taken(
        self, motion: Pose, interval: float, before: NDArray[np.float64] | None
    ) -> Pose | None:
        """The motion, unless it is faster, or changes faster, than a robot can."""
        twist = sensor_twist(motion, interval)
        speed = float(np.linalg.norm(twist[:3]))
        self.implausible = ""
        if not speed <= self.options.max_speed:
            self.implausible = f"ego motion of {speed:.0f} m/s (ego_motion.max_speed)"
        elif before is not None:
            change = float(np.linalg.norm(twist[:3] - motion[:3, :3] @ before[:3]))
            if change * interval > self.options.max_acceleration * interval**2 + POSITION_ERROR:
                self.implausible = (
                    f"ego motion changed by {change:.1f} m/s in {interval:.3g} s "
                    "(ego_motion.max_acceleration)"
                )
        if self.implausible:
            return None
        self._twist = twist
        return motion

    def register(self, points: FloatArray, interval: float) -> Pose | None:
        """Motion since the sweep given last.

        Args:
            points: (N, 3), metres, in the sensor's frame.
            interval: seconds since the sweep before.

        Returns:
            ``current_from_previous`` (4, 4): maps the previous sweep's coordinates to this
            one's. None after a reset, or where the sweeps don't determine it (too few points, too
            few that match, or a motion that no robot makes): the next sweep then starts without a
            known velocity.
        """
        options = self.options
        few = points[:: -(-len(points) // options.points)] if len(points) else points
        if not self._neighbours:
            self._neighbours = NARROW_NEIGHBOURS if looks_one_way(few) else NEIGHBOURS
        cloud, tree = small_gicp.preprocess_points(
            few.astype(np.float64), options.voxel, self._neighbours, options.threads
        )
        previous, self._previous = self._previous, cloud
        if previous is None:
            return None
        self.implausible = ""
        twist, self._twist = self._twist, None
        if min(cloud.size(), previous.size()) < MIN_POINTS:
            return None
        before, self._share = self._share, 0.0
        found, inliers, share = self._align(cloud, tree, previous, twist, interval, before)
        if inliers < MIN_INLIERS or not np.isfinite(found).all():
            return None
        if share < SAME_SCENE * before:
            self.implausible = f"another place: {share:.0%} of the points fit, {before:.0%} before"
            return None
        self._share = share
        return self._taken(found, interval, twist)

    def _align(
        self,
        cloud: small_gicp.PointCloud,
        tree: small_gicp.KdTree,
        previous: small_gicp.PointCloud,
        twist: NDArray[np.float64] | None,
        interval: float,
        before: float,
    ) -> tuple[Pose, float, float]:
        """The motion, and the shares of points with a partner: in the widest radius, in the last.

        Where the velocity is known the fine radius alone mostly does. If fewer fit than before
        (``before``, of the last radius), the start may have been off by more than it.
        """
        options = self.options
        usual, fine = options.max_correspondence, FINE * options.max_correspondence

        def align(start: Pose, radius: float) -> tuple[Pose, float]:
            result = small_gicp.align(
                cloud,
                previous,
                tree,
                start,
                registration_type="GICP",
                max_correspondence_distance=radius,
                num_threads=options.threads,
                max_iterations=options.iterations,
            )
            found = np.asarray(result.T_target_source, np.float64)
            return found, result.num_inliers / previous.size()

        if twist is None:
            start, _ = align(np.eye(4), WIDE * usual)
        else:
            start = _motion(twist, interval)
            found, share = align(start, fine)
            if share >= max(FINE_SHARE, FINE_SAME * before):
                return found, share, share
        start, inliers = align(start, usual)
        found, share = align(start, fine)
        return found, inliers, share


def looks_one_way(points: FloatArray) -> bool:
    """Whether a sweep's beams, (N, 3) m, go out in a cone rather than all around.

    So do those of solid-state lidars, and theirs draw curves that no sweep repeats. Ten neighbours
    lie on one curve then, whose covariance is a line's: registration would lay the curves of one
    sweep on those of the next, and turn with the pattern, by seven degrees a sweep in a simulated
    street.
    """
    length = np.linalg.norm(points, axis=1)
    directions = points[length > 0.0] / length[length > 0.0, None]
    return len(directions) > 0 and bool(np.linalg.norm(directions.mean(axis=0)) > NARROW)


class SensorVelocity:
    """The lidar's velocity, sweep after sweep, for those who want nothing else of them.

    Args:
        options: of the registration.
        max_gap: s between sweeps beyond which it starts anew.
    """

    def __init__(self, options: EgoMotionConfig, max_gap: float) -> None:
        self._motion = EgoMotion(options)
        self._max_gap = max_gap
        self._stamp = -np.inf
        self._pose: Pose | None = None

    def update(
        self, sweep: PointCloud, world_from_sensor: Pose | None = None
    ) -> NDArray[np.float64] | None:
        """(6,) velocity in the sensor's own axes, m/s, then rad/s, at a sweep; None: not known.

        Args:
            world_from_sensor: (4, 4) pose at the sweep's stamp in a frame that drifts slowly; with
                the one before it nothing is registered. None: not known.
        """
        interval = sweep.stamp - self._stamp
        before, self._pose, self._stamp = self._pose, world_from_sensor, sweep.stamp
        if not 0.0 < interval <= self._max_gap:
            self._motion.reset()
            before = None
        if before is not None and world_from_sensor is not None:
            self._motion.reset()  # the sweep registered last won't be the one before the next
            self._motion.observe(np.linalg.inv(world_from_sensor) @ before, interval)
        else:
            self._motion.register(sweep.points, interval)
        return self._motion.twist


def sensor_twist(current_from_previous: Pose, interval: float) -> NDArray[np.float64]:
    """(6,) sensor velocity in its own axes, m/s, then rad/s, from its motion (4, 4) in ``interval``
    seconds; rotation and translation apart, as for small motions."""
    previous_from_current = np.linalg.inv(current_from_previous)
    turn = Rotation.from_matrix(previous_from_current[:3, :3]).as_rotvec()
    twist = np.concatenate([previous_from_current[:3, 3], turn]) / interval
    return twist.astype(np.float64)


def _motion(twist: NDArray[np.float64], interval: float) -> Pose:
    """Inverse of ``sensor_twist``."""
    previous_from_current = np.eye(4)
    previous_from_current[:3, 3] = twist[:3] * interval
    previous_from_current[:3, :3] = Rotation.from_rotvec(twist[3:] * interval).as_matrix()
    return np.linalg.inv(previous_from_current).astype(np.float64)
