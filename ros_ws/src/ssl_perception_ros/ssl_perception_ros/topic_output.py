"""The library's messages onto topics: the same encoder that writes bags."""

from __future__ import annotations

from rclpy.lifecycle import Publisher

from ssl_perception.io.output import Output


class TopicOutput(Output):
    """Publishes what it is given; what has no publisher is left out.

    Attributes:
        publishers: by topic name, without a leading slash.
    """

    def __init__(self) -> None:
        super().__init__()
        self.publishers: dict[str, Publisher] = {}

    def wanted(self, topic: str) -> bool:
        """Somebody listens to this topic now: if not, its message needn't be made."""
        publisher = self.publishers.get(topic.lstrip("/"))
        return publisher is not None and publisher.get_subscription_count() > 0

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        """Publish a message that is serialised already."""
        publisher = self.publishers.get(topic.lstrip("/"))
        if publisher is not None:
            publisher.publish(bytes(raw))
