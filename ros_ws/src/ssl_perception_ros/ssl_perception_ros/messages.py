"""What nodes need of ROS messages beside their contents: types by name, headers.

Sensor data and results are encoded by ``ssl_perception.io.output``, for topics as for bags.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from builtin_interfaces.msg import Time
from std_msgs.msg import Header


def message_type(name: str) -> Any:
    """The class of ``package/msg/Type``; None when it isn't installed."""
    package, _, kind = name.partition("/msg/")
    try:
        return getattr(import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError, ValueError):
        return None


def header(stamp_ns: int, frame: str) -> Header:
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame)
