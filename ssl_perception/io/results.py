"""Reading back what was written: bags of results, and the truth in simulated logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.errors import InputError
from ssl_perception.io import images, laser_scan, point_cloud2
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.bag_reader import BagReader
from ssl_perception.io.point_cloud2 import FlowCloud, stamp_ns
from ssl_perception.types import ObstacleScan


def read_flow(bag: Path, topic: str = "/scene_flow") -> Iterator[tuple[int, FlowCloud]]:
    """Scene-flow clouds with their stamps in nanoseconds.

    Raises:
        InputError: the bag can't be read or holds no such topic.
    """
    for message in _messages(bag, topic):
        yield stamp_ns(message.header.stamp), point_cloud2.decode_flow(message)


def read_depth(bag: Path, topic: str) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Depth images, (H, W) metres, NaN unknown, with their stamps in nanoseconds."""
    for message in _messages(bag, topic):
        yield stamp_ns(message.header.stamp), images.decode_depth(message)


def read_scans(bag: Path, topic: str = "/obstacle_distance") -> Iterator[tuple[int, ObstacleScan]]:
    """Obstacle scans with their stamps in nanoseconds."""
    for message in _messages(bag, topic):
        yield stamp_ns(message.header.stamp), laser_scan.decode(message)


def _messages(bag: Path, topic: str) -> Iterator[Any]:
    types = typestore()
    try:
        with BagReader(bag) as reader:
            wanted = [c for c in reader.connections if c.topic == topic]
            if not wanted:
                raise InputError(f"{bag}: no topic {topic}")
            for connection, _, raw in reader.messages(wanted):
                yield types.deserialize_cdr(raw, connection.msgtype)
    except (InputError, GeneratorExit):
        raise
    except Exception as error:  # whatever rosbags' parsers meet in a broken file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{bag}: not a readable recording: {reason}") from None
