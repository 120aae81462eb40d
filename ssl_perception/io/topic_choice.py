"""Which of a bag's topics to use, when the settings leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ssl_perception.config import TopicsConfig
from ssl_perception.errors import InputError
from ssl_perception.io.camera import image_topic, says_rectified
from ssl_perception.io.livox import CUSTOM_MESSAGES

POINT_CLOUD2 = "sensor_msgs/msg/PointCloud2"
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"

ALTERNATIVES = {IMAGE: (COMPRESSED,), POINT_CLOUD2: CUSTOM_MESSAGES}  # read as well

NONE = "-"  # in the settings: don't use this sensor
# What this software itself writes beside the sensors' topics; never taken for a sensor.
OUR_OUTPUTS = {"scene_flow", "moving_points", "points_accumulated"}
CUES = {"stereo", "mono"}  # whose depth we publish ourselves
LEFT_AND_RIGHT = (("left", "right"), ("infra1", "infra2"), ("cam0", "cam1"), ("image_0", "image_1"))


@dataclass(frozen=True)
class Chosen:
    """Topic names; empty where there is none.

    The four stereo names come together or not at all. Where the teacher is another sensor, left
    image and info are of the camera, and there are no right ones.
    """

    points: str = ""
    odom: str = ""
    left_image: str = ""
    right_image: str = ""
    left_info: str = ""
    right_info: str = ""
    depth_image: str = ""

    @property
    def stereo(self) -> bool:
        return bool(self.right_image)


def choose_topics(
    available: Mapping[str, str], wanted: TopicsConfig, bag: str, teacher: str = "stereo"
) -> Chosen:
    """The topics to read, from the settings and, where they are empty, from names and types.

    Points: the only PointCloud2, or Livox CustomMsg, that isn't this software's own output or
    truth. Stereo: the only two images whose names differ by left/right, ``image_rect`` before
    others; compressed ones where they weren't recorded as they were. camera_info: the one beside
    each image. Odometry: the only one.

    With another teacher than stereo there is one camera: the left one of a stereo pair, or the only
    image that isn't depth; a depth camera's depth image is the only one with "depth" in its name.

    Args:
        available: topic -> message type, of topics that hold messages.
        bag: its name, for errors.
        teacher: ``teacher.source``.

    Raises:
        InputError: a named topic is missing or of another type, more than one candidate, a stereo
            pair without camera_info, neither points nor stereo, or not what the teacher needs.
    """
    choice = _Choice(available, bag)
    points = odom = left = right = ""
    if wanted.points != NONE:
        points = choice.named(wanted.points, POINT_CLOUD2, "points")
        points = points or choice.only_points()
    if wanted.odom != NONE:
        odoms = choice.of_type(ODOMETRY)
        odom = choice.named(wanted.odom, ODOMETRY, "odom")
        odom = odom or (odoms[0] if len(odoms) == 1 else "")
    if teacher != "stereo":
        return choice.one_camera(wanted, teacher, points, odom)
    if NONE not in (wanted.left_image, wanted.right_image):
        left, right = choice.stereo_images(wanted)
    left_info = right_info = ""
    if left:
        left_info = choice.info(wanted.left_info, "left_info", left)
        right_info = choice.info(wanted.right_info, "right_info", right)
    if not points and not left:
        raise InputError(
            f"{bag}: no usable topic: needs a {POINT_CLOUD2}, or a left and a right {IMAGE}; "
            f"there is {choice.listing()}"
        )
    return Chosen(points, odom, left, right, left_info, right_info)


class _Choice:
    def __init__(self, available: Mapping[str, str], bag: str) -> None:
        self.available = available
        self.bag = bag

    def listing(self) -> str:
        topics = [f"{topic} ({kind})" for topic, kind in sorted(self.available.items())]
        return ", ".join(topics) or "nothing"

    def of_type(self, kind: str) -> list[str]:
        return sorted(
            topic
            for topic, have in self.available.items()
            if have == kind and not _parts(topic) & {*OUR_OUTPUTS, "truth"}
        )

    def images(self) -> list[str]:
        """Topics of images; of one that was recorded twice, the one that isn't compressed."""
        whole = self.of_type(IMAGE)
        compressed = [t for t in self.of_type(COMPRESSED) if image_topic(t) not in whole]
        return sorted(whole + compressed)

    def named(self, topic: str, kind: str, setting: str) -> str:
        """The topic that the setting names, checked; empty when it names none."""
        if not topic:
            return ""
        name = topic if topic in self.available else "/" + topic.lstrip("/")
        have = self.available.get(name)
        if have is None:
            raise InputError(
                f"{self.bag}: topics.{setting} is {topic!r}, but there is {self.listing()}"
            )
        if have != kind and have not in ALTERNATIVES.get(kind, ()):
            raise InputError(f"{self.bag}: topics.{setting} {topic!r} is {have}, not {kind}")
        return name

    def only_points(self) -> str:
        kinds = (POINT_CLOUD2, *ALTERNATIVES[POINT_CLOUD2])
        candidates = [topic for kind in kinds for topic in self.of_type(kind)]
        if len(candidates) > 1:
            raise InputError(
                f"{self.bag}: {len(candidates)} topics are {POINT_CLOUD2}: "
                f"{', '.join(candidates)}; set topics.points"
            )
        return candidates[0] if candidates else ""

    def one_camera(self, wanted: TopicsConfig, teacher: str, points: str, odom: str) -> Chosen:
        """One camera beside the sensor that teaches: a lidar, or a depth camera."""
        if teacher == "lidar" and not points:
            raise InputError(f"{self.bag}: teacher.source is lidar, but there is no {POINT_CLOUD2}")
        images = self.images()
        deep = [topic for topic in images if "depth" in topic and _parts(topic).isdisjoint(CUES)]
        depth = ""
        if teacher == "depth":
            depth = self.named(wanted.depth_image, IMAGE, "depth_image")
            depth = depth or self.single(deep, "depth images", "depth_image")
        left = self.named(wanted.left_image, IMAGE, "left_image")
        if not left:
            cameras = [topic for topic in images if "depth" not in topic and topic != depth]
            lefts = [
                a
                for a in cameras
                for one, other in LEFT_AND_RIGHT
                if one in a and a.replace(one, other) in cameras
            ]
            left = self.single(lefts if len(lefts) == 1 else cameras, "images", "left_image")
        info = self.info(wanted.left_info, "left_info", left)
        return Chosen(points, odom, left, left_info=info, depth_image=depth)

    def single(self, topics: list[str], what: str, setting: str) -> str:
        """The only one of these topics."""
        if len(topics) == 1:
            return topics[0]
        found = f"{len(topics)} {what}: {', '.join(topics)}" if topics else f"no {what}"
        raise InputError(f"{self.bag}: {found}; set topics.{setting} (there is {self.listing()})")

    def stereo_images(self, wanted: TopicsConfig) -> tuple[str, str]:
        left = self.named(wanted.left_image, IMAGE, "left_image")
        right = self.named(wanted.right_image, IMAGE, "right_image")
        if left and right:
            return left, right
        images = self.images()
        pairs = [
            (a, b)
            for a in images
            for b in images
            for one, other in LEFT_AND_RIGHT
            if a != b and one in a and a.replace(one, other) == b
        ]
        pairs = [(a, b) for a, b in pairs if left in ("", a) and right in ("", b)]
        rectified = [(a, b) for a, b in pairs if says_rectified(a)]
        # image_rect (grey) and image_rect_color of one camera: matching needs the grey one
        exact = [(a, b) for a, b in rectified if image_topic(a).endswith("/image_rect")]
        for candidates in (exact, rectified, pairs):
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                names = "; ".join(f"{a} and {b}" for a, b in candidates)
                raise InputError(
                    f"{self.bag}: several stereo pairs: {names}; "
                    "set topics.left_image and topics.right_image"
                )
        if left or right:
            raise InputError(
                f"{self.bag}: {left or right} has no partner; "
                "set both topics.left_image and topics.right_image"
            )
        return "", ""

    def info(self, topic: str, setting: str, image: str) -> str:
        beside = image_topic(image).rsplit("/", 1)[0] + "/camera_info"
        named = self.named(topic, CAMERA_INFO, setting)
        if named or self.available.get(beside) == CAMERA_INFO:
            return named or beside
        raise InputError(
            f"{self.bag}: no camera_info for {image}: {beside} is not there; set topics.{setting}"
        )


def _parts(topic: str) -> set[str]:
    return set(topic.split("/"))
