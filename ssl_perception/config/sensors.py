"""Settings of where sensor data comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ssl_perception.config.section import Section


class TopicsConfig(Section):
    """Which recorded topics to use.

    Empty: the only one, or the obvious one, of the right type. "-": don't use this sensor.
    """

    points: str = Field("", description="sensor_msgs/PointCloud2 with lidar sweeps")
    odom: str = Field("", description="nav_msgs/Odometry; used for ego motion when given")
    left_image: str = Field(
        "", description="sensor_msgs/Image or CompressedImage, left; without stereo the camera's"
    )
    right_image: str = Field("", description="sensor_msgs/Image or CompressedImage, right")
    depth_image: str = Field(
        "",
        description="sensor_msgs/Image of a depth camera, aligned with the left image (16UC1 in mm "
        "or 32FC1 in m); read where teacher.source is depth",
    )
    left_info: str = Field("", description="sensor_msgs/CameraInfo of the left image")
    right_info: str = Field("", description="sensor_msgs/CameraInfo of the right image")
    stereo_tolerance: float = Field(
        0.002, ge=0.0, le=0.02, description="stamps of left and right may differ by so much, s"
    )
    depth_tolerance: float = Field(
        0.016,
        ge=0.0,
        le=0.1,
        description="stamps of image and depth image may differ by so much, s",
    )


class FilesConfig(Section):
    """What a file may grow to when it is read: a small compressed file can hold gigabytes.

    Checked before memory is taken, from headers, and again while unpacking, because headers lie.
    """

    max_chunk: int = Field(
        512, ge=1, le=8192, description="a compressed chunk or message of a bag, unpacked, MiB"
    )
    max_unpacked: int = Field(
        64, ge=1, le=4096, description="all files of a bag that was compressed as a whole, GiB"
    )
    max_picture: int = Field(100, ge=1, le=178, description="a picture, megapixels")
    max_array: int = Field(2048, ge=1, le=65_536, description="the arrays of a file together, MiB")


class CameraConfig(Section):
    """How images are read."""

    rectify: Literal["auto", "always", "never"] = Field(
        "auto",
        description="rectify images by D, K, R and P of camera_info: auto, where D isn't zero and "
        "the topic isn't called rect; never: refuse them",
    )
    bits: int = Field(
        16,
        ge=8,
        le=16,
        description="significant bits in 16-bit images: 12 for a sensor that has 12",
    )


class PointsConfig(Section):
    """How sweeps are read."""

    pass_on: bool = Field(
        False, description="intensity and ring (Livox: line) of a sweep go on into scene_flow"
    )


class LidarMountConfig(Section):
    """Where the lidar sits on the body that the odometry speaks of (REP 103, body from lidar)."""

    x: float = Field(0.0, ge=-100.0, le=100.0, description="ahead of the body's origin, m")
    y: float = Field(0.0, ge=-100.0, le=100.0, description="left of it, m")
    z: float = Field(0.0, ge=-100.0, le=100.0, description="above it, m")
    roll: float = Field(0.0, ge=-3.1416, le=3.1416, description="about x, rad")
    pitch: float = Field(0.0, ge=-3.1416, le=3.1416, description="about y, rad, nose down positive")
    yaw: float = Field(0.0, ge=-3.1416, le=3.1416, description="about z, rad, to the left positive")


class CameraMountConfig(Section):
    """Where the left camera sits on the body (REP 103, body from camera), to see lidar points as it
    does. The camera's axes here: x along its line of sight, y left, z up.

    All zero is "not set": then ``tf_static`` says it, or a lidar can't teach.
    """

    x: float = Field(0.0, ge=-100.0, le=100.0, description="ahead of the body's origin, m")
    y: float = Field(0.0, ge=-100.0, le=100.0, description="left of it, m")
    z: float = Field(0.0, ge=-100.0, le=100.0, description="above it, m")
    roll: float = Field(0.0, ge=-3.1416, le=3.1416, description="about x, rad")
    pitch: float = Field(0.0, ge=-3.1416, le=3.1416, description="about y, rad, nose down positive")
    yaw: float = Field(0.0, ge=-3.1416, le=3.1416, description="about z, rad, to the left positive")
