"""The path of the robot's lidar, chained from the ego motion of each sweep; TUM and KITTI files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ssl_perception.io.output import Output
from ssl_perception.io.write import write_output

WORLD = "odom"  # REP 105: continuous, drifts; it begins at the first sweep
Pose = NDArray[np.float64]  # (4, 4)


@dataclass
class Trajectory:
    """Where the lidar was at each sweep.

    Attributes:
        frame: of the lidar.
        stamps: of the sweeps, nanoseconds.
        poses: (4, 4) world from lidar; the world is the first sweep's axes.
        unknown: steps that weren't known and count as no motion, the first sweep left out.
    """

    frame: str = ""
    stamps: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)
    unknown: int = 0

    def add(self, stamp_ns: int, frame: str, current_from_previous: Pose | None) -> Pose:
        """Take the next sweep; returns its pose.

        Args:
            current_from_previous: (4, 4) ego motion as ``SweepFlow`` has it; None: unknown.
        """
        pose = self.poses[-1] if self.poses else np.eye(4)
        if current_from_previous is not None:
            pose = pose @ np.linalg.inv(current_from_previous)
        elif self.poses:
            self.unknown += 1
        self.frame = frame
        self.stamps.append(stamp_ns)
        self.poses.append(pose)
        return pose

    @property
    def metres(self) -> float:
        """Length of the path."""
        positions = np.array([pose[:3, 3] for pose in self.poses]).reshape(-1, 3)
        return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).sum())

    def tum(self) -> str:
        """A line a sweep: ``stamp x y z qx qy qz qw``, s and m."""
        lines = []
        for stamp, pose in zip(self.stamps, self.poses, strict=True):
            numbers = " ".join(f"{value:.9g}" for value in _position_and_quaternion(pose))
            lines.append(f"{stamp // 10**9}.{stamp % 10**9:09d} {numbers}\n")
        return "".join(lines)

    def kitti(self) -> str:
        """A line a sweep: the (3, 4) pose row by row, m."""
        rows = (" ".join(f"{value:.9g}" for value in pose[:3].ravel()) for pose in self.poses)
        return "".join(f"{row}\n" for row in rows)

    def save(self, path: Path) -> None:
        """As TUM, or as KITTI where the file is called ``*.kitti``.

        Raises:
            InputError: the file can't be written.
        """
        text = self.kitti() if path.suffix == ".kitti" else self.tum()
        write_output(path, text.encode())


def _position_and_quaternion(pose: Pose) -> NDArray[np.float64]:
    quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()  # x y z w
    return np.concatenate([pose[:3, 3], quaternion])


def write_path(output: Output, trajectory: Trajectory) -> None:
    """``trajectory``: the whole path as one ``nav_msgs/Path``, stamped like its last pose."""
    if not trajectory.poses:
        return
    poses = []
    for stamp_ns, pose in zip(trajectory.stamps, trajectory.poses, strict=True):
        x, y, z, *quaternion = _position_and_quaternion(pose).tolist()
        here = output.message(
            "geometry_msgs/msg/Pose",
            position=output.message("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=output.message(
                "geometry_msgs/msg/Quaternion", **dict(zip("xyzw", quaternion, strict=True))
            ),
        )
        header = _header(output, stamp_ns)
        poses.append(output.message("geometry_msgs/msg/PoseStamped", header=header, pose=here))
    last = trajectory.stamps[-1]
    path = output.message("nav_msgs/msg/Path", header=_header(output, last), poses=poses)
    output.write("trajectory", last, path)


def _header(output: Output, stamp_ns: int) -> Any:
    seconds, nanoseconds = divmod(stamp_ns, 10**9)
    time = output.message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
    return output.message("std_msgs/msg/Header", stamp=time, frame_id=WORLD)
