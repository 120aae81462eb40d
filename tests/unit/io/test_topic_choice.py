"""Which topics of a bag are used when the settings leave it open."""

from __future__ import annotations

import pytest

from ssl_perception.config import TopicsConfig
from ssl_perception.errors import InputError
from ssl_perception.io.topic_choice import (
    CAMERA_INFO,
    COMPRESSED,
    IMAGE,
    ODOMETRY,
    POINT_CLOUD2,
    Chosen,
    choose_topics,
)

STEREO = {
    "/stereo/left/image_rect": IMAGE,
    "/stereo/left/camera_info": CAMERA_INFO,
    "/stereo/right/image_rect": IMAGE,
    "/stereo/right/camera_info": CAMERA_INFO,
}

UNCALIBRATED = {name: kind for name, kind in STEREO.items() if name != "/stereo/right/camera_info"}
REAR = {name.replace("stereo", "rear"): kind for name, kind in STEREO.items()}


def choose(available: dict[str, str], **wanted: str) -> Chosen:
    return choose_topics(available, TopicsConfig(**wanted), "log.mcap")


def test_the_only_ones_are_taken() -> None:
    chosen = choose({**STEREO, "/velodyne_points": POINT_CLOUD2, "/odom": ODOMETRY})
    assert chosen == Chosen(
        "/velodyne_points",
        "/odom",
        *[
            f"/stereo/{side}/{what}"
            for what in ("image_rect", "camera_info")
            for side in ("left", "right")
        ],
    )
    assert chosen.stereo


def test_what_we_publish_and_the_truth_are_not_sensors() -> None:
    clouds = ("/points", "/scene_flow", "/moving_points", "/truth/scene_flow")
    available = {**dict.fromkeys(clouds, POINT_CLOUD2), "/truth/odom": ODOMETRY}
    assert choose(available) == Chosen("/points")
    assert choose(available, points="truth/scene_flow").points == "/truth/scene_flow"


def test_rectified_grey_before_others() -> None:
    extra = {
        name.replace("image_rect", other): IMAGE
        for name in list(STEREO)
        if "image" in name
        for other in ("image_raw", "image_rect_color")
    }
    assert choose({**STEREO, **extra}).left_image == "/stereo/left/image_rect"


def test_realsense_names() -> None:
    available = {f"/camera/infra{k}/image_rect_raw": IMAGE for k in (1, 2)}
    available |= {f"/camera/infra{k}/camera_info": CAMERA_INFO for k in (1, 2)}
    chosen = choose(available)
    assert chosen.left_image == "/camera/infra1/image_rect_raw"
    assert chosen.right_info == "/camera/infra2/camera_info"


def test_settings_win_and_need_no_leading_slash() -> None:
    available = {"/front": POINT_CLOUD2, "/rear": POINT_CLOUD2}
    assert choose(available, points="rear").points == "/rear"


def test_a_sensor_can_be_switched_off() -> None:
    available = {**UNCALIBRATED, "/points": POINT_CLOUD2, "/odom": ODOMETRY}
    assert choose(available, left_image="-", odom="-") == Chosen("/points")
    assert choose({**STEREO, "/a": POINT_CLOUD2, "/b": POINT_CLOUD2}, points="-").points == ""


def test_one_camera_is_no_stereo_but_no_error_beside_a_lidar() -> None:
    chosen = choose({"/points": POINT_CLOUD2, "/camera/image_raw": IMAGE})
    assert not chosen.stereo


@pytest.mark.parametrize(
    ("available", "wanted", "line"),
    [
        ({}, {}, "no usable topic.*there is nothing"),
        ({"/imu": "sensor_msgs/msg/Imu"}, {}, "no usable topic.*/imu"),
        (dict.fromkeys(("/a", "/b"), POINT_CLOUD2), {}, "2 topics .*: /a, /b; set topics.points"),
        ({"/a": POINT_CLOUD2}, {"points": "/b"}, "topics.points is '/b', but there is /a"),
        ({"/a": IMAGE}, {"points": "/a"}, "topics.points '/a' is sensor_msgs/msg/Image"),
        (UNCALIBRATED, {}, "no camera_info for /stereo/right/image_rect"),
        ({**STEREO, **REAR}, {}, "several stereo pairs: /rear/left"),
        ({"/left/image_rect": IMAGE}, {"left_image": "/left/image_rect"}, "has no partner"),
        ({"/left/image_rect": IMAGE}, {}, "no usable topic"),
    ],
)
def test_clear_refusals(available: dict[str, str], wanted: dict[str, str], line: str) -> None:
    with pytest.raises(InputError, match=rf"log\.mcap: .*{line}"):
        choose(available, **wanted)


CAMERA = {"/camera/color/image_rect": IMAGE, "/camera/color/camera_info": CAMERA_INFO}
DEPTH = {"/camera/aligned_depth_to_color/image_raw": IMAGE}


def test_a_depth_camera_beside_its_colour_camera() -> None:
    ours = {"/stereo/depth": IMAGE, "/mono/depth": IMAGE, "/truth/depth": IMAGE}
    chosen = choose_topics(CAMERA | DEPTH | ours, TopicsConfig(), "log.mcap", "depth")
    assert chosen.left_image == "/camera/color/image_rect" and not chosen.stereo
    assert chosen.left_info == "/camera/color/camera_info"
    assert chosen.depth_image == "/camera/aligned_depth_to_color/image_raw"
    two = CAMERA | DEPTH | {"/camera/depth/image_rect_raw": IMAGE}
    with pytest.raises(InputError, match=r"2 depth images: .*set topics\.depth_image"):
        choose_topics(two, TopicsConfig(), "log.mcap", "depth")
    named = TopicsConfig(depth_image="/camera/depth/image_rect_raw")
    assert choose_topics(two, named, "log.mcap", "depth").depth_image == named.depth_image


def test_a_lidar_beside_one_camera_or_the_left_one_of_two() -> None:
    cloud = {"/points": POINT_CLOUD2}
    chosen = choose_topics(CAMERA | cloud, TopicsConfig(), "log.mcap", "lidar")
    assert chosen.left_image == "/camera/color/image_rect" and not chosen.depth_image
    chosen = choose_topics(STEREO | cloud, TopicsConfig(), "log.mcap", "lidar")
    assert (chosen.left_image, chosen.right_image) == ("/stereo/left/image_rect", "")
    with pytest.raises(InputError, match=r"teacher\.source is lidar, but there is no"):
        choose_topics(CAMERA, TopicsConfig(), "log.mcap", "lidar")


RAW = {
    f"/cam/{side}/{name}": kind
    for side in ("left", "right")
    for name, kind in (
        ("image_raw", IMAGE),
        ("image_raw/compressed", COMPRESSED),
        ("camera_info", CAMERA_INFO),
    )
}


def test_raw_and_compressed_images_where_there_are_no_others() -> None:
    chosen = choose(RAW)
    assert (chosen.left_image, chosen.right_image) == (
        "/cam/left/image_raw",
        "/cam/right/image_raw",
    )
    compressed = {name: kind for name, kind in RAW.items() if kind != IMAGE}
    chosen = choose(compressed)
    assert chosen.right_image == "/cam/right/image_raw/compressed"
    assert chosen.right_info == "/cam/right/camera_info"
    rectified = {"/cam/left/image_rect/compressed": COMPRESSED}
    rectified |= {"/cam/right/image_rect/compressed": COMPRESSED}
    assert choose(RAW | rectified).left_image == "/cam/left/image_rect/compressed"
    named = "cam/left/image_raw/compressed"
    chosen = choose(RAW, left_image=named, right_image=named.replace("left", "right"))
    assert chosen.left_image == "/" + named
