"""rosbag2 recordings (MCAP or SQLite) as a ``Log``, read by the rosbags library.

Messages are read with the definitions of current ROS 2 that rosbags ships, never with those in
the file: the messages used here haven't changed between distributions, and a file from outside
should not get to define parsers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore

from ssl_perception.config import CameraConfig, FilesConfig, PointsConfig, TopicsConfig
from ssl_perception.errors import InputError
from ssl_perception.io import livox, odometry, point_cloud2, sweep
from ssl_perception.io.bag_reader import BagReader
from ssl_perception.io.camera import StereoCamera
from ssl_perception.io.files import LIMITS, reason
from ssl_perception.io.log import Log, OnBad, Recorded
from ssl_perception.io.static_transforms import StaticTransforms
from ssl_perception.io.stereo_sync import Matched, Side, StereoSync
from ssl_perception.io.stream_check import Header
from ssl_perception.io.topic_choice import Chosen, choose_topics
from ssl_perception.types import CameraImage, PointCloud, StereoPair

MCAP_MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\x00"
TF = "tf2_msgs/msg/TFMessage"

T = TypeVar("T")


@cache
def typestore() -> Any:
    """The message definitions of ROS 2."""
    return get_typestore(Stores.ROS2_KILTED)


class BagLog(Log):
    """See ``Log``. The camera calibration is read once: it must not change within a bag."""

    def __init__(
        self,
        path: Path,
        topics: TopicsConfig,
        teacher: str = "stereo",
        limits: FilesConfig = LIMITS,
        camera: CameraConfig | None = None,
        points: PointsConfig | None = None,
    ) -> None:
        super().__init__(path.stem if path.is_file() else path.name)
        self.path = path
        self._limits = limits
        self._points = points or PointsConfig()
        tolerance = topics.depth_tolerance if teacher == "depth" else topics.stereo_tolerance
        self._tolerance_ns = round(tolerance * 1e9)
        self._infos: list[Any] = []
        _check_files(path)
        reader = self._open()
        try:
            counts: dict[str, int] = {}
            kinds: dict[str, str] = {}
            for connection in reader.connections:
                encoding = getattr(connection.ext, "serialization_format", "")
                if connection.msgcount and encoding == "cdr":
                    kinds[connection.topic] = connection.msgtype
                    counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
            self.topics = choose_topics(kinds, topics, str(path), teacher)
            for topic in (self.topics.left_info, self.topics.right_info):
                if topic:
                    self._infos.append(self._first(reader, topic))
            self._cameras(camera or CameraConfig())
            seen_by_both = teacher == "stereo" and self.topics.right_image and self.topics.points
            if teacher == "lidar":
                self.camera_from_lidar = self._mount(reader, kinds)
            elif seen_by_both:  # only to check one against the other
                with suppress(InputError):
                    self.camera_from_lidar = self._mount(reader, kinds)
            self._length = _length(counts, self.topics)
        finally:
            reader.close()

    def __len__(self) -> int:
        return self._length

    def _cameras(self, config: CameraConfig) -> None:
        """Make what reads the images; a calibration that can't be used ends it here."""
        names, infos = self.topics, self._infos
        self._stereo = StereoCamera(names.left_image, names.right_image, config)
        try:
            for camera, info in zip((self._stereo.left, self._stereo.right), infos, strict=False):
                camera.rectification(info)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def read(self, on_bad: OnBad | None = None) -> Iterator[Recorded]:
        return self.beginning(math.inf, on_bad)

    def beginning(self, seconds: float, on_bad: OnBad | None = None) -> Iterator[Recorded]:
        """``read``, as far as what was recorded within so many seconds."""
        self.unpaired = self.dropped_points = 0
        sync = StereoSync(self._tolerance_ns)
        reader = self._open()
        try:
            for connection, _, raw in self._first_seconds(reader, seconds):
                try:
                    frame = self._frame(connection, raw, sync)
                except InputError as error:
                    located = InputError(f"{self.path}: {connection.topic}: {error}")
                    if on_bad is None:
                        raise located from None
                    on_bad(located)
                    continue
                if frame is not None:
                    yield frame
        finally:
            sync.finish()
            self.unpaired = sync.unpaired
            reader.close()

    def headers(self, seconds: float) -> Iterator[Header]:
        reader = self._open()
        try:
            for connection, received_ns, raw in self._first_seconds(reader, seconds):
                with suppress(InputError):  # `beginning` says what can't be used
                    header = deserialise(raw, connection.msgtype).header
                    stamp_ns = point_cloud2.stamp_ns(header.stamp)
                    yield Header(connection.topic, stamp_ns, header.frame_id, received_ns)
        finally:
            reader.close()

    def _first_seconds(self, reader: BagReader, seconds: float) -> Iterator[tuple[Any, int, bytes]]:
        """Messages of the sensors, with the time at which they were recorded, ns."""
        names, start = self.topics, None
        images_of = {names.left_image, names.right_image, names.depth_image}
        for message in self._messages(reader, ({names.points, names.odom} | images_of) - {""}):
            start = message[1] if start is None else start
            if message[1] - start > seconds * 1e9:
                return
            yield message

    def _frame(self, connection: Any, raw: bytes, sync: StereoSync) -> Recorded | None:
        message = deserialise(raw, connection.msgtype)
        stamp_ns = point_cloud2.stamp_ns(message.header.stamp)
        topic, names = connection.topic, self.topics
        if topic == names.points:
            cloud: PointCloud = sweep.decode(message, self._points)
            self.dropped_points += message.height * message.width - len(cloud)
            return Recorded(stamp_ns, cloud, topic)
        if topic == names.odom:
            return Recorded(stamp_ns, odometry.decode(message), topic)
        if not (names.right_image or names.depth_image):
            camera = self._stereo.left
            alone = camera.with_depth(message, self._infos[0], stamp_ns * 1e-9, None)
            return Recorded(stamp_ns, alone, topic)
        side: Side = "left" if topic == names.left_image else "right"
        matched = sync.add(side, stamp_ns, message)
        return None if matched is None else self._matched(matched)

    def _matched(self, found: Matched) -> Recorded:
        """A stereo pair, or an image with its depth image."""
        names, stamp = self.topics, found.stamp_ns * 1e-9
        value: StereoPair | CameraImage
        if names.depth_image:
            camera = self._stereo.left
            value = camera.with_depth(found.left, self._infos[0], stamp, found.right)
        else:
            left, right = self._infos
            value = self._stereo.read(found.left, found.right, left, right, stamp)
        return Recorded(found.stamp_ns, value, names.left_image)

    def _mount(self, reader: BagReader, kinds: dict[str, str]) -> NDArray[np.float64] | None:
        """(4, 4) the camera's optical axes from the lidar's, by ``tf_static``; None: not said."""
        transforms = StaticTransforms()
        fixed = {t for t, kind in kinds.items() if kind == TF and t.endswith("tf_static")}
        if not fixed:
            return None
        for connection, _, raw in self._messages(reader, fixed):
            transforms.add(deserialise(raw, connection.msgtype))
        lidar = self._first(reader, self.topics.points).header.frame_id
        return transforms.between(self._infos[0].header.frame_id, lidar)

    def _open(self) -> BagReader:
        def opened() -> BagReader:
            reader = BagReader(self.path, self._limits)
            reader.open()
            return reader

        return self._reading(opened)

    def _first(self, reader: BagReader, topic: str) -> Any:
        first = next(self._messages(reader, {topic}), None)
        if first is None:
            raise InputError(f"{self.path}: {topic} holds no message")
        connection, _, raw = first
        return deserialise(raw, connection.msgtype)

    def _messages(self, reader: BagReader, topics: set[str]) -> Iterator[tuple[Any, int, bytes]]:
        wanted = [c for c in reader.connections if c.topic in topics]
        messages = reader.messages(wanted)
        while True:
            item = self._reading(lambda: next(messages, None))
            if item is None:
                return
            yield item

    def _reading(self, read: Callable[[], T]) -> T:
        # A broken file makes rosbags raise whatever its parsers meet (struct.error, IndexError,
        # AssertionError, apsw.Error, zstd and lz4 errors, ...); all mean the same to the user.
        try:
            return read()
        except Exception as error:
            if isinstance(error, InputError) and str(self.path) in str(error):
                raise
            line = f"{self.path}: not a readable rosbag2 recording: {reason(error)}"
            raise InputError(line) from None


def deserialise(raw: bytes, kind: str) -> Any:
    """A message from its bytes, as recorded or as received; long arrays are views of them.

    Args:
        kind: full name of its type.

    Raises:
        InputError: they are none of that type.
    """
    if kind in livox.CUSTOM_MESSAGES:
        return livox.parse(raw)
    try:
        # a slice of bytes would be a copy
        return typestore().deserialize_cdr(memoryview(raw), kind)
    except Exception as error:  # as above: the generated parsers check little
        raise InputError(f"corrupt {kind} message: {reason(error)}") from None


def _length(counts: dict[str, int], names: Chosen) -> int:
    other = names.right_image or names.depth_image or names.left_image
    pairs = min(counts.get(names.left_image, 0), counts.get(other, 0))
    return counts.get(names.points, 0) + counts.get(names.odom, 0) + pairs


def _check_files(path: Path) -> None:
    """Say in plain words what is wrong with a file that was cut or isn't a recording at all."""
    files = [path]
    if path.is_dir():
        files = sorted(path.glob("*.mcap")) + sorted(path.glob("*.db3"))
    elif path.suffix not in (".mcap", ".db3"):
        raise InputError(f"{path}: not a recording: .mcap, .db3 or a folder is needed")
    for file in files:
        with file.open("rb") as stream:
            head = stream.read(16)
            size = stream.seek(0, 2)
            stream.seek(max(0, size - len(MCAP_MAGIC)))
            tail = stream.read()
        if size == 0:
            raise InputError(f"{file}: the file is empty")
        if file.suffix == ".db3" and head != SQLITE_MAGIC:
            raise InputError(f"{file}: not an SQLite file")
        if file.suffix == ".mcap" and not head.startswith(MCAP_MAGIC):
            raise InputError(f"{file}: not an MCAP file")
        if file.suffix == ".mcap" and (tail != MCAP_MAGIC or size < 2 * len(MCAP_MAGIC) + 9):
            raise InputError(
                f"{file}: cut short: the end of the MCAP is missing (recorder killed or copy "
                "broken off); `mcap recover` saves what is there"
            )
