"""Subscriptions to a camera's images, as they are or compressed, and what reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import CompressedImage, Image

from ssl_perception.io.camera import Camera
from ssl_perception_ros.node import PerceptionNode


def subscribe_images(
    node: PerceptionNode,
    topic: str,
    callback: Callable[[Any], None],
    depth: int,
    transport: str = "compressed",
) -> Camera:
    """Hear a topic's images by the node's ``image_transport``.

    The reader knows the topic by its name after remapping, which tells raw images from rectified.

    Args:
        transport: of compressed images; of depth images ``compressedDepth``.
    """
    name = node.resolve_topic_name(topic)
    if node.settings.image_transport == "raw":
        node.subscribe(Image, topic, callback, depth)
    else:
        node.subscribe(CompressedImage, f"{name}/{transport}", callback, depth)
    return Camera(name, node.config.camera)
