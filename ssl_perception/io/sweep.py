"""A lidar's message to a sweep, whichever kind of message it is."""

from __future__ import annotations

from ssl_perception.config import PointsConfig
from ssl_perception.io import livox, point_cloud2
from ssl_perception.io.livox import CustomMessage
from ssl_perception.io.point_cloud2 import PointCloud2
from ssl_perception.types import PointCloud


def decode(message: PointCloud2 | CustomMessage, config: PointsConfig) -> PointCloud:
    """The points that are returns, with their times where the driver says them.

    Raises:
        InputError: see ``point_cloud2.decode`` and ``livox.decode``.
    """
    if isinstance(message, CustomMessage):
        stamp = point_cloud2.stamp_ns(message.header.stamp)
        return livox.decode(message, stamp, config.pass_on)
    return point_cloud2.decode(message, config.pass_on)
