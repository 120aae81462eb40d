"""Which message a lidar's sweeps come as."""

from __future__ import annotations

from typing import Any

from ssl_perception.errors import InputError
from ssl_perception.io.livox import CUSTOM_MESSAGES
from ssl_perception_ros.messages import message_type


def points_type(name: str) -> tuple[str, Any]:
    """The message's full name, and its class.

    Args:
        name: of the parameter ``points_type``.

    Raises:
        InputError: the package that defines it isn't installed.
    """
    kinds = CUSTOM_MESSAGES if name == "CustomMsg" else ("sensor_msgs/msg/PointCloud2",)
    for kind in kinds:
        found = message_type(kind)
        if found is not None:
            return kind, found
    packages = " or ".join(kind.split("/")[0] for kind in kinds)
    raise InputError(f"parameter points_type: {name} needs {packages}, which is not installed")
