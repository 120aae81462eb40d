"""The whole system: a sensor's frame in; scene flow, depth and obstacle distance out.

    sweep ─► ego motion ─► ground ─► static / moving ─► solver ─► evidence ─► scene flow, objects
                                                                  ├─► time to collision
                                                                  ├─► lidar obstacle scan ─┐
                                                                  └─► the last sweeps as   │
                                                                      one cloud            │
    left, right ─► stereo depth ─┬─► pseudo-label ─► learner ─┐                            │
    left ──────────► student ◄───┼──────── new model ─────────┘                            │
                        └────────┴─► trust: which cue, now ─► fused obstacle scan ◄────────┘

In place of stereo a depth camera or the lidar may be the teacher (``teacher.source``).
``replay``, ``demo``, the simulator's experiments and the benchmarks run these objects whole; each
ROS 2 node runs one stage of them in a process of its own. Nothing here knows where a frame came
from or where a result goes.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import Config
from ssl_perception.depth.result import DepthResult
from ssl_perception.depth.seen import only_seen
from ssl_perception.depth.student.protocol import OnlineLearning, Student
from ssl_perception.depth.teacher.lidar import LidarTeacher
from ssl_perception.depth.teacher.lidar_check import make_check
from ssl_perception.depth.teacher.pseudo_label import pseudo_label, suspect_since
from ssl_perception.depth.teacher.source import make_teacher
from ssl_perception.depth.trust.fusion import CueFusion
from ssl_perception.depth.trust.state import Trust
from ssl_perception.flow.online.accumulation import Accumulator
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.flow.online.pose_buffer import PoseBuffer
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.obstacles.collision import time_to_collision
from ssl_perception.obstacles.lidar_scan import with_lidar_scan
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.runtime.stopwatch import Stopwatch
from ssl_perception.types import (
    CameraImage,
    ObstacleScan,
    Odometry,
    PointCloud,
    StereoPair,
)


class DepthPipeline:
    """Teacher, pseudo-label, student, trust, fused scan, learner: one frame after another.

    Args:
        config: sections ``teacher``, ``stereo``, ``camera_mount``, ``lidar_mount``,
            ``pseudo_label``, ``scan``, ``lidar_scan``, ``trust`` and, of ``learner``,
            ``take_back``.
        student: None: stereo alone.
        learner: None: the student stays as it is.
        trust: the state to start from; None: nothing is known about the student.
        camera_from_lidar: (4, 4) as ``tf_static`` has it, where ``camera_mount`` isn't set.
    """

    def __init__(
        self,
        config: Config,
        student: Student | None = None,
        learner: OnlineLearning | None = None,
        trust: Trust | None = None,
        camera_from_lidar: NDArray[np.float64] | None = None,
    ) -> None:
        self.config = config
        self.camera_from_lidar = camera_from_lidar
        self.teacher = make_teacher(config, camera_from_lidar)
        self.student = student
        self.learner = learner
        self.fusion = CueFusion(
            config.scan, config.trust, trust, config.lidar_scan, config.lidar_mount
        )
        self._suspected = False

    def sweep(self, result: SweepFlow) -> None:
        """Show a lidar that teaches its newest sweep."""
        if isinstance(self.teacher, LidarTeacher):
            self.teacher.add(result.others, result.twist)

    def process(
        self, frame: StereoPair | CameraImage, lidar: ObstacleScan | None = None
    ) -> DepthResult:
        """Depth, trust and obstacle distance from a rectified pair, or from one image and what
        else the teacher has seen, and the last sweep's scan.

        Raises:
            InputError: a frame without what the teacher needs.
        """
        watch = Stopwatch()
        stereo = only_seen(self.teacher.depth(frame), frame.seen)
        watch.lap(self.config.teacher.source)
        mono = label = learnt = None
        if self.student is not None:
            mono = self.student.depth(frame.image, frame.camera, frame.stamp)
            mono = only_seen(mono, frame.seen)
            watch.lap("student")
            label = pseudo_label(stereo, self.config.pseudo_label, mono.depth.shape)
        fused = self.fusion.update(stereo, mono, label, lidar)
        watch.lap("fusion")
        suspected = self._suspected
        since = suspect_since(stereo, fused.trust.teacher_suspect, self.config.learner)
        self._suspected = suspect = since < math.inf
        if self.learner is not None and suspect and not suspected:
            self.learner.take_back(since)
        elif self.learner is not None and label is not None and not suspect:
            learnt = self.learner.learn(frame.image, label, frame.stamp)
            watch.lap("learner")
        return DepthResult(
            stereo,
            mono,
            label,
            fused.trust,
            fused.scan,
            fused.stereo,
            fused.mono,
            learnt,
            watch.stages,
        )

    def fork(self) -> DepthPipeline:
        """Another future of the same flight that learns nothing more: same student, same trust."""
        other = copy.copy(self)
        other.teacher = make_teacher(self.config, self.camera_from_lidar)
        config = self.config
        other.fusion = CueFusion(
            config.scan, config.trust, self.fusion.trust, config.lidar_scan, config.lidar_mount
        )
        other._suspected = False
        other.learner = None
        return other


class Perception:
    """Feed it what the sensors give, in the order of time; it keeps what the next frame needs.

    Close it, or use it as a context manager, where it has a store: that saves what was learnt.

    Args:
        config: all settings.
        store: folder of a model store: the student, and the trust that it has earned.
        learn: let the teacher (``teacher.source``) teach the student; without a store what was
            learnt ends with this object.
        seed: of a fresh student.
        camera_from_lidar: (4, 4) the left camera's optical axes from the lidar's, for a lidar that
            teaches, or that stereo is checked against; used where ``camera_mount`` isn't set.

    Attributes:
        depth: the depth pipeline.
        accumulated: the last sweeps as one cloud; None unless ``accumulation.sweeps`` asks for it.
        problems: what was wrong with the store, one line each; nothing was lost by going on.

    Raises:
        InputError: a store that can't be used, or, with ``learn``, that another process writes to.
    """

    def __init__(
        self,
        config: Config | None = None,
        store: Path | str | None = None,
        learn: bool = False,
        seed: int = 0,
        camera_from_lidar: NDArray[np.float64] | None = None,
    ) -> None:
        self.config = config or Config()
        self._flow = OnlineFlow(self.config)
        self.accumulated = (
            Accumulator(self.config.accumulation) if self.config.accumulation.sweeps else None
        )
        self._poses = PoseBuffer(self.config.lidar_mount)
        self._lidar_scan: ObstacleScan | None = None
        self._session = None
        if store is None and not learn:
            self.depth = DepthPipeline(self.config, camera_from_lidar=camera_from_lidar)
        else:
            # here, not above: without a student neither PyTorch nor ONNX Runtime is needed
            with needs_extra("a student"):
                from ssl_perception.depth.learning.session import StudentSession

            self._session = StudentSession(self.config, store, learn, seed)
            session = self._session
            self.depth = DepthPipeline(
                self.config, session.student, session.learner, session.trust, camera_from_lidar
            )
        self._check = make_check(self.config, camera_from_lidar)
        self.problems = [] if self._session is None else self._session.problems

    def sweep(self, cloud: PointCloud) -> SweepFlow:
        """The motion over ground of each point of a raw sweep, relative to the sweep before it, and
        the distance of obstacles all around (``lidar_scan``).

        Two walls and the ground, seen by a robot that stands:

        >>> import numpy as np
        >>> across, up = np.arange(-12, 12, 0.2), np.arange(-1.6, 3, 0.2)
        >>> ground = np.stack(np.meshgrid(across, across, [-1.7]), -1).reshape(-1, 3)
        >>> ahead = np.stack(np.meshgrid([12.0], across, up), -1).reshape(-1, 3)
        >>> left = ahead[:, [1, 0, 2]]
        >>> points = np.concatenate([ground, ahead, left])
        >>> perception = Perception()
        >>> for stamp in (0.0, 0.1, 0.2):
        ...     result = perception.sweep(PointCloud(points, stamp=stamp, frame="lidar"))
        >>> bool(result.flow.moving.any()), len(result.objects)
        (False, 0)

        Raises:
            InputError: an empty cloud, or NaN or infinite points.
        """
        result = self._flow.process(cloud, self._poses.pose(cloud.stamp))
        result = with_lidar_scan(result, self.config)
        self._lidar_scan = result.lidar_scan
        self.depth.sweep(result)
        if self._check is not None:
            self._check.add(result.others, result.twist)
        if self.accumulated is not None:
            self.accumulated.add(result)
        return result

    def adapt(self, config: Config) -> None:
        """Go on with other settings of those that each sweep reads anew: ``flow.deadline``,
        ``collision`` and ``lidar_scan``; all others must be as they were."""
        self.config = self._flow.config = config

    def time_to_collision(self, result: SweepFlow) -> float:
        """Seconds until the robot meets a moving or a static obstacle; +Inf: nothing seen is on a
        collision course, NaN: unknown, always so while ``collision`` has no footprint."""
        return time_to_collision(result, self.config.collision)

    def stereo(self, pair: StereoPair) -> DepthResult:
        """Depth and trust from a rectified pair, and obstacle distance from it and the last sweep.

        A wall full of texture, 1.25 m away (disparity 16 pixels):

        >>> import numpy as np
        >>> from ssl_perception import CameraModel
        >>> texture = np.random.default_rng(0).integers(0, 256, (240, 336), dtype=np.uint8)
        >>> camera = CameraModel(width=320, height=240, fx=200.0, fy=200.0, cx=160.0, cy=120.0)
        >>> pair = StereoPair(texture[:, :320], texture[:, 16:], camera, baseline=0.1)
        >>> result = Perception().stereo(pair)
        >>> result.stereo.valid, round(float(np.nanmin(result.scan.ranges)), 2)
        (True, 1.25)
        >>> int(np.isnan(result.scan.ranges).sum())  # sectors out of the camera's sight: unknown
        58
        """
        result = self.depth.process(pair, self._lidar_scan)
        if self._check is not None:
            self._check.compare(result.stereo, pair)
        return result

    @property
    def doubt(self) -> str:
        """Empty, or how stereo and lidar disagree where both see the same: one line."""
        return "" if self._check is None else self._check.doubt

    def image(self, image: CameraImage) -> DepthResult:
        """As ``stereo``, of one camera: the teacher (``teacher.source``) is a depth camera, whose
        depth image comes with the image, or the lidar, whose newest sweep counts.

        A wall 3 m away:

        >>> import numpy as np
        >>> from ssl_perception import CameraImage, CameraModel, Config
        >>> camera = CameraModel(width=320, height=240, fx=200.0, fy=200.0, cx=160.0, cy=120.0)
        >>> wall = np.full((240, 320), 3.0, np.float32)
        >>> grey = np.full((240, 320), 128, np.uint8)
        >>> perception = Perception(Config(teacher={"source": "depth"}))
        >>> result = perception.image(CameraImage(grey, camera, stamp=0.0, depth=wall))
        >>> result.stereo.cue.value, round(float(np.nanmin(result.scan.ranges)), 2)
        ('depth', 3.0)

        Raises:
            InputError: the teacher is stereo.
        """
        return self.depth.process(image, self._lidar_scan)

    def odometry(self, odometry: Odometry) -> None:
        """Take a pose of the robot; used instead of registration once it covers a sweep, and to
        tell how far the student's last test lies back (``trust.max_distance``)."""
        self._poses.add(odometry)
        self.depth.fusion.travel(odometry)

    def close(self) -> None:
        """Save what was learnt, and the trust; a second time does nothing.

        Raises:
            InputError: the store can't be written.
        """
        if self._session is not None:
            self._session.close(self.depth.fusion.trust)
            self._session = None

    def __enter__(self) -> Perception:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
