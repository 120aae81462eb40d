"""Recorded sensor logs: what the sensors gave, one frame after the other.

``open_log`` takes a rosbag2 folder, an .mcap or .db3 file, or a folder of sweeps or images (see
``io.sequences``), and gives the same few types for all of them. Logs stream: one frame at a time
is in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io.stream_check import Header
from ssl_perception.types import CameraImage, Odometry, PointCloud, StereoPair


@dataclass(frozen=True, eq=False)
class Recorded:
    """One frame of a log.

    Attributes:
        stamp_ns: the sensor's own stamp (header stamp), exact, nanoseconds.
        value: what it saw.
        topic: where it was recorded; for a pair, the left image's topic.
    """

    stamp_ns: int
    value: PointCloud | StereoPair | CameraImage | Odometry
    topic: str


OnBad = Callable[[InputError], None]


class Log(ABC):
    """A recorded log. Read it as often as needed; each time starts at the beginning.

    Attributes:
        name: a short name for reports.
        unpaired: images that found no partner, in the reading that ended last.
        dropped_points: lidar points that were no return, in the reading so far.
        camera_from_lidar: (4, 4) the (left) camera's optical axes from the lidar's; None: the log
            doesn't say.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.unpaired = 0
        self.dropped_points = 0
        self.camera_from_lidar: NDArray[np.float64] | None = None

    @abstractmethod
    def __len__(self) -> int:
        """Number of frames; an upper bound where some images may stay without a partner."""

    @abstractmethod
    def read(self, on_bad: OnBad | None = None) -> Iterator[Recorded]:
        """Frames in the order in which the robot got them.

        Args:
            on_bad: called with the error for each frame that can't be used, which is then left
                out; None: the first one raises.

        Raises:
            InputError: a frame can't be used and there is no ``on_bad``, or the file can't be
                read further.
        """

    def beginning(self, seconds: float, on_bad: OnBad | None = None) -> Iterator[Recorded]:
        """``read``, as far as so many seconds after the first frame."""
        start: int | None = None
        for frame in self.read(on_bad):
            start = frame.stamp_ns if start is None else start
            if frame.stamp_ns - start > seconds * 1e9:
                return
            yield frame

    def headers(self, seconds: float) -> Iterator[Header]:
        """The headers of all messages of the first seconds, those of unpaired images too."""
        for frame in self.beginning(seconds, lambda error: None):
            yield Header(frame.topic, frame.stamp_ns, frame.topic)  # files name no frames

    def __iter__(self) -> Iterator[Recorded]:
        return self.read()
