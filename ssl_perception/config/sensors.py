"""Settings of where sensor data comes from."""

from __future__ import annotations

from pydantic import Field

from ssl_perception.config.section import Section


class TopicsConfig(Section):
    """Which recorded topics to use.

    Empty: the only one, or the obvious one, of the right type. "-": don't use this sensor.
    """

    points: str = Field("", description="sensor_msgs/PointCloud2 with lidar sweeps")
    odom: str = Field("", description="nav_msgs/Odometry; used for ego motion when given")
    left_image: str = Field("", description="sensor_msgs/Image, left, rectified")
    right_image: str = Field("", description="sensor_msgs/Image, right, rectified")
    left_info: str = Field("", description="sensor_msgs/CameraInfo of the left image")
    right_info: str = Field("", description="sensor_msgs/CameraInfo of the right image")
    stereo_tolerance: float = Field(
        0.002, ge=0.0, le=0.02, description="stamps of left and right may differ by so much, s"
    )


class LidarMountConfig(Section):
    """Where the lidar sits on the body that the odometry speaks of (REP 103, body from lidar)."""

    x: float = Field(0.0, ge=-100.0, le=100.0, description="ahead of the body's origin, m")
    y: float = Field(0.0, ge=-100.0, le=100.0, description="left of it, m")
    z: float = Field(0.0, ge=-100.0, le=100.0, description="above it, m")
    roll: float = Field(0.0, ge=-3.1416, le=3.1416, description="about x, rad")
    pitch: float = Field(0.0, ge=-3.1416, le=3.1416, description="about y, rad, nose down positive")
    yaw: float = Field(0.0, ge=-3.1416, le=3.1416, description="about z, rad, to the left positive")
