"""The library's messages onto topics: the same encoder that writes bags."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import Publisher
from rclpy.qos import DurabilityPolicy

from ssl_perception.io.output import Output
from ssl_perception.io.point_cloud2 import stamp_ns
from ssl_perception_ros.exchange import Exchange


class TopicOutput(Output):
    """Publishes what it is given; what has no publisher is left out.

    Attributes:
        publishers: by topic name, without a leading slash.
        exchange: to other nodes of this process; None: there are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.publishers: dict[str, Publisher] = {}
        self.exchange: Exchange | None = None

    def wanted(self, topic: str) -> bool:
        """Somebody listens to this topic now: if not, its message needn't be made."""
        publisher = self.publishers.get(topic.lstrip("/"))
        return publisher is not None and publisher.get_subscription_count() > 0

    def write(self, topic: str, stamp_ns: int, message: Any) -> None:
        """Publish a message; nodes of this process get it as it is.

        Clouds don't come this way: no node here reads another one's.
        """
        publisher = self.publishers.get(topic.lstrip("/"))
        if self.exchange is not None and publisher is not None and publisher.is_activated:
            self.exchange.publish(publisher.topic_name, message)
        latched = publisher is not None and _is_latched(publisher)
        if self.exchange is None or latched or self.wanted(topic):
            super().write(topic, stamp_ns, message)

    def forward(self, topic: str, message: Any) -> None:
        """Publish a message that came from another node: rclpy's, or one as it is handed over."""
        if hasattr(message, "__msgtype__"):
            self.write(topic, stamp_ns(message.header.stamp), message)
        elif (publisher := self.publishers.get(topic.lstrip("/"))) is not None:
            publisher.publish(message)

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        """Publish a message that is serialised already."""
        publisher = self.publishers.get(topic.lstrip("/"))
        if publisher is not None:
            publisher.publish(bytes(raw))


def _is_latched(publisher: Publisher) -> bool:
    """Who comes later gets its last messages too."""
    return bool(publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)
