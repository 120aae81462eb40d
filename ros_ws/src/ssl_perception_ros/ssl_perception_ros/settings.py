"""Settings of the nodes themselves; those of the library are in ``ssl_perception.config``.

Both become ROS parameters of the same name. One YAML file under ``/**`` serves all nodes, so a
name means the same in each of them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ssl_perception.config import Section
from ssl_perception.errors import InputError
from ssl_perception.io.point_cloud2 import FLOW_FIELDS, flow_fields
from ssl_perception.io.scan_encoding import (
    CONSUMERS,
    Consumer,
    ConsumerName,
    TooClose,
    Unknown,
    check_sectors,
)

# The results about sweeps and stereo pairs, as `replay` writes them into a bag.
RESULTS = (
    "scene_flow",
    "moving_points",
    "moving_objects",
    "time_to_collision",
    "lidar/obstacle_distance",
    "points_accumulated",
    *(f"stereo/{part}" for part in ("depth", "confidence", "status", "camera_info", "disparity")),
    *(f"mono/{part}" for part in ("depth", "status", "camera_info")),
    "trust",
    "depth",
    "obstacle_distance",
    "obstacle_range",
)


PointsType = Literal["PointCloud2", "CustomMsg"]
POINTS_TYPE = "message of the topic points; CustomMsg: Livox's own, of livox_ros_driver2"


class LifecycleSettings(Section):
    """Of every node."""

    preset: str = Field(
        "",
        description="settings of a kind of robot to start from: drone or street (empty: none)",
    )

    autostart: bool = Field(
        True, description="configure and activate at start; false: wait for lifecycle transitions"
    )


class ProcessingSettings(LifecycleSettings):
    """Of nodes that answer to a stream of sensor data."""

    queue: int = Field(
        1,
        ge=1,
        le=100_000,
        description="inputs that may wait while one is worked on; when full the oldest is skipped",
    )
    timeout: float = Field(
        0.5, gt=0.0, le=3600.0, description="s without input before it counts as lost"
    )


class PlacedSettings(ProcessingSettings):
    """Of nodes that want to know where the sensors sit."""

    base_frame: str = Field(
        "base_link",
        description="the robot's frame: where settings leave open how sensors are mounted on it, "
        "/tf_static says it",
    )


class CameraNodeSettings(ProcessingSettings):
    """Of nodes that read a camera."""

    image_transport: Literal["raw", "compressed"] = Field(
        "raw",
        description="compressed: read the topics of image_transport beside the images', such as "
        "left/image_rect/compressed",
    )


class DepthTeacherSettings(CameraNodeSettings, PlacedSettings):
    """Of ``depth_teacher``."""

    points_type: PointsType = Field("PointCloud2", description=POINTS_TYPE)


class ObstacleDistanceSettings(PlacedSettings):
    """Of ``obstacle_distance``."""

    ahead: float = Field(
        0.35, gt=0.0, le=6.2832, description="rad, width of what obstacle_range calls ahead"
    )
    consumer: ConsumerName = Field(
        "rep117",
        description="who reads obstacle_distance and obstacle_range: what is unknown, too close "
        "and clear is written so that this one stops where it must",
    )
    mavros: bool = Field(False, description="the same as consumer: mavros")
    scan_unknown: Literal["", Unknown] = Field(
        "",
        description="unknown sectors of obstacle_distance: rep117 NaN, range_min an obstacle "
        "there, silent NaN, and no scan when nothing is known (empty: as consumer needs it)",
    )
    scan_too_close: Literal["", TooClose] = Field(
        "", description="sectors too close: rep117 -Inf, range_min (empty: as consumer needs it)"
    )
    range_unknown: Literal["", Unknown] = Field(
        "", description="an unknown obstacle_range (empty: as consumer needs it)"
    )
    range_too_close: Literal["", TooClose] = Field(
        "", description="an obstacle_range too close (empty: as consumer needs it)"
    )
    view: float = Field(
        6.2832,
        gt=0.0,
        le=6.2832,
        description="rad, centred ahead, that cameras and lidar look at: unknown sectors beyond it "
        "stay NaN whatever the consumer",
    )
    lidar_consumer: ConsumerName = Field(
        "rep117",
        description="must be rep117: obstacle_distance reads the lidar's scan as REP 117 has it",
    )
    cue_wait: float = Field(
        1.0,
        ge=0.0,
        le=3600.0,
        description="s that a cue's depth waits for the other's at most, where that one lags",
    )
    cue_wait_least: float = Field(
        0.15, ge=0.0, le=3600.0, description="s that it waits for a living cue in any case"
    )
    trust_file: str = Field(
        "", description="where trust in the student survives a restart (empty: it doesn't)"
    )


class SceneFlowSettings(PlacedSettings):
    """Of ``scene_flow``."""

    camera_frame: str = Field(
        "",
        description="optical frame of the left camera, for lidar_scan.camera_x, _y and _yaw from "
        "/tf_static (empty: as set)",
    )

    lidar_consumer: ConsumerName = Field(
        "rep117",
        description="who reads lidar/obstacle_distance; rep117 where obstacle_distance does",
    )
    points_type: PointsType = Field("PointCloud2", description=POINTS_TYPE)
    flow_points: Literal["all", "moving"] = Field(
        "all", description="points of a sweep that the topic scene_flow holds"
    )
    flow_fields: str = Field(
        " ".join(FLOW_FIELDS),
        description="fields of the topic scene_flow, separated by spaces: x y z and any of the "
        "others; each takes 4 bytes a point",
    )

    @field_validator("flow_fields")
    @classmethod
    def _are_fields(cls, names: str) -> str:
        try:
            flow_fields(names)
        except InputError as error:
            raise ValueError(str(error)) from None
        return names


class MonoDepthSettings(CameraNodeSettings):
    """Of ``mono_depth``."""

    store: str = Field(
        "", description="folder of the model store (empty: ssl_perception in $ROS_HOME or ~/.ros)"
    )


class DepthLearnerSettings(MonoDepthSettings):
    """Of ``depth_learner``."""

    cue_wait: float = Field(
        1.0,
        ge=0.0,
        le=3600.0,
        description="s that a cue's depth waits for the other's at most, where that one lags",
    )

    seed: int = Field(0, ge=0, le=2**31, description="of a fresh student; of worlds and turns")


class BagPlayerSettings(LifecycleSettings):
    """Of ``bag_player``."""

    bag: str = Field("", description="rosbag2 folder, .mcap or .db3 to play")
    topics: str = Field("", description="topics to play, separated by spaces (empty: all)")
    rate: float = Field(1.0, ge=0.01, le=100.0, description="times the recorded speed")
    loop: bool = Field(False, description="start again at the end, for ever")
    clock: float = Field(0.0, ge=0.0, le=1000.0, description="Hz of /clock (0: none)")
    wait: float = Field(
        5.0, ge=0.0, le=3600.0, description="s at most to wait for a subscriber on every topic"
    )
    readers: str = Field(
        "", description="nodes of ours to wait for instead, by name, separated by spaces"
    )
    linger: float = Field(
        1.0, ge=0.0, le=3600.0, description="s to stay after the last message, for slow readers"
    )


class BagRecorderSettings(LifecycleSettings):
    """Of ``bag_recorder``."""

    output: str = Field("", description=".mcap file to write; appears when recording ends")
    outputs: str = Field(
        " ".join(RESULTS),
        description="topics to record, separated by spaces (default: all results)",
    )
    idle: float = Field(
        0.0,
        ge=0.0,
        le=3600.0,
        description="s without any message, after the first, that end the recording (0: never)",
    )


class AvoidSettings(ProcessingSettings):
    """Of ``avoid``."""

    seed: int = Field(0, ge=0, le=2**31, description="chooses the random turns; or the world")
    consumer: ConsumerName = Field(
        "rep117", description="must be rep117: avoid reads scans as REP 117 has them"
    )
    mavros: bool = Field(False, description="must be false: avoid reads scans as REP 117 has them")


class SimWorldSettings(LifecycleSettings):
    """Of ``sim_world``."""

    world: str = Field("room", description="room, street, or the path of a .yaml world file")
    seed: int = Field(0, ge=0, le=2**31, description="chooses the world; or the random turns")
    seconds: float = Field(
        0.0, ge=0.0, le=1e6, description="of world time; then it ends (0: never)"
    )
    rate: float = Field(
        1.0, ge=0.0, le=1000.0, description="times real time (0: as fast as it can be computed)"
    )
    lockstep: bool = Field(
        False, description="after each stereo pair wait for a command (at most lockstep_patience)"
    )
    lockstep_patience: float = Field(10.0, gt=0.0, le=600.0, description="s of real time")
    command_timeout: float = Field(
        0.5, gt=0.0, le=60.0, description="s of world time without a command: the vehicle stops"
    )
    tick: float = Field(0.02, ge=0.001, le=0.1, description="s of world time that a step takes")
    truth: bool = Field(True, description="publish truth/... as well")
    report: str = Field("", description=".json file that tells at the end how the flight went")


ALL: tuple[type[Section], ...] = (
    SceneFlowSettings,
    DepthTeacherSettings,
    ObstacleDistanceSettings,
    DepthLearnerSettings,
    BagPlayerSettings,
    BagRecorderSettings,
    AvoidSettings,
    SimWorldSettings,
)


def consumer_of(settings: ObstacleDistanceSettings, sectors: int) -> Consumer:
    """How ``obstacle_distance`` writes its scans and ranges.

    Args:
        sectors: of a scan.

    Raises:
        InputError: the settings contradict each other, or the consumer can't take so many sectors.
    """
    name = settings.consumer
    if settings.mavros:
        if name not in ("rep117", "mavros"):
            raise InputError(f"parameters mavros and consumer contradict: true and {name}")
        name = "mavros"
    check_sectors(name, sectors)
    chosen = CONSUMERS[name]
    return replace(
        chosen,
        scan=replace(
            chosen.scan,
            unknown=settings.scan_unknown or chosen.scan.unknown,
            too_close=settings.scan_too_close or chosen.scan.too_close,
        ),
        range=replace(
            chosen.range,
            unknown=settings.range_unknown or chosen.range.unknown,
            too_close=settings.range_too_close or chosen.range.too_close,
        ),
    )


def store_folder(name: str) -> Path:
    """The model store's folder: as named, or the usual one."""
    return (
        Path(name)
        if name
        else Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser() / ("ssl_perception")
    )
