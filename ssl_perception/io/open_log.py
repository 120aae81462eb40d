"""A recorded log, whatever its format.

A rosbag2 folder, an .mcap or .db3 file, a PCD or PLY file, or a folder of sweeps or images (see
``io.sequences``).
"""

from __future__ import annotations

from pathlib import Path

from ssl_perception.config import CameraConfig, FilesConfig, PointsConfig, TopicsConfig
from ssl_perception.errors import InputError
from ssl_perception.io.bag_log import BagLog
from ssl_perception.io.log import Log
from ssl_perception.io.point_files import SUFFIXES
from ssl_perception.io.sequences import open_sequence


def open_log(
    path: Path,
    topics: TopicsConfig | None = None,
    teacher: str = "stereo",
    limits: FilesConfig | None = None,
    camera: CameraConfig | None = None,
    points: PointsConfig | None = None,
) -> Log:
    """Open a log and find its sensors.

    Args:
        path: rosbag2 folder, .mcap, .db3, .pcd, .ply, or a sequence folder.
        topics: which topics of a bag to use.
        teacher: ``teacher.source``: what a bag's images are read as: stereo pairs, or the images
            of one camera, with those of a depth camera or without.
        limits: what files may unpack to; None: the defaults.
        camera: how a bag's images are read: raw ones are rectified.
        points: how its sweeps are read.

    Raises:
        InputError: nothing there, not a log, a broken or cut file, or no usable topic.
    """
    path = Path(path)
    topics, limits = topics or TopicsConfig(), limits or FilesConfig()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".bag":
        raise InputError(f"{path}: a ROS 1 bag; convert it with: rosbags-convert --src {path}")
    if path.suffix.lower() in SUFFIXES:
        return open_sequence(path)
    if path.is_file() or (path / "metadata.yaml").exists():
        return BagLog(path, topics, teacher, limits, camera, points)
    files = [*path.glob("*.mcap"), *path.glob("*.db3")]
    if len(files) == 1:  # a recording whose metadata.yaml got lost: the file is complete
        return BagLog(files[0], topics, teacher, limits, camera, points)
    return open_sequence(path, limits)
