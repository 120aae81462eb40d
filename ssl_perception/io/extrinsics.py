"""Where the sensors sit, for settings that leave it open: from the transforms of ``tf_static``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from ssl_perception.config import Config, Section
from ssl_perception.errors import InputError
from ssl_perception.frames import BODY_FROM_OPTICAL
from ssl_perception.io.static_transforms import StaticTransforms

LEAST_TILT = 0.01  # rad; a camera tilted less counts as level

S = TypeVar("S", bound=Section)


def complete(
    config: Config, transforms: StaticTransforms, base: str, lidar: str = "", camera: str = ""
) -> Config:
    """The settings, and where they are silent what the transforms say.

    That is ``lidar_mount`` and ``camera_mount`` (silent: all zero), the camera's tilt
    (``scan.camera_pitch``, ``.camera_roll``) and its place beside the lidar
    (``lidar_scan.camera_x``, ``.camera_y``, ``.camera_yaw``). The frame of a tilted camera isn't
    the scan's, which is level: without a name that is set it is called ``CAMERA_level``.

    Args:
        base: the robot's frame (REP 105: ``base_link``), level while the robot stands level.
        lidar: frame of the sweeps; empty: not known.
        camera: optical frame of the left camera; empty: not known.

    Raises:
        InputError: a transform that a setting has no room for, such as a camera that looks at the
            ground.
    """
    here = _mount(transforms.between(base, lidar)) if lidar else None
    seen = _mount(_looking(transforms, base, camera)) if camera else None
    changed: dict[str, Section] = {}

    def fill_in(name: str, values: dict[str, float], frame: str = "") -> None:
        section = getattr(config, name)
        if not any(getattr(section, key) for key in values):
            named = {"frame": frame} if frame and not section.frame else {}
            changed[name] = _with(section, {**values, **named}, base)

    if here is not None:
        fill_in("lidar_mount", here)
    if seen is not None:
        fill_in("camera_mount", seen)
        tilt = {f"camera_{angle}": seen[angle] for angle in ("pitch", "roll")}
        if max(map(abs, tilt.values())) >= LEAST_TILT:
            fill_in("scan", tilt, f"{camera}_level")
    if here is not None and seen is not None:
        beside = {f"camera_{axis}": seen[axis] - here[axis] for axis in "xy"}
        fill_in("lidar_scan", {**beside, "camera_yaw": seen["yaw"]})
    return config.model_copy(update=changed) if changed else config


def level_camera(
    transforms: StaticTransforms, base: str, camera: str
) -> NDArray[np.float64] | None:
    """(4, 4) ``base`` from the level frame at the camera, x where it looks: the frame of obstacle
    scans; None: not known.

    Args:
        camera: its optical frame.
    """
    pose = _looking(transforms, base, camera)
    if pose is not None:
        yaw = Rotation.from_matrix(pose[:3, :3]).as_euler("ZYX")[0]
        pose[:3, :3] = Rotation.from_euler("Z", yaw).as_matrix()
    return pose


def _looking(transforms: StaticTransforms, base: str, camera: str) -> NDArray[np.float64] | None:
    """(4, 4) ``base`` from the camera's axes as REP 103 has them for bodies."""
    pose = transforms.between(base, camera)
    return None if pose is None else pose @ BODY_FROM_OPTICAL.T


def _mount(pose: NDArray[np.float64] | None) -> dict[str, float] | None:
    """The settings of ``LidarMountConfig`` or ``CameraMountConfig``."""
    if pose is None:
        return None
    yaw, pitch, roll = Rotation.from_matrix(pose[:3, :3]).as_euler("ZYX")
    names = ("x", "y", "z", "roll", "pitch", "yaw")
    values = (*pose[:3, 3], roll, pitch, yaw)
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _with(section: S, values: Mapping[str, float | str], base: str) -> S:
    try:
        return type(section).model_validate({**section.model_dump(), **values})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(
            f"tf_static: seen from {base}, {name} is {first['input']:.3g}: {first['msg']}"
        ) from None
