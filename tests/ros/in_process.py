"""Nodes in the test's own process, driven by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rclpy.qos import DurabilityPolicy

from ssl_perception.io.bag_log import deserialise
from ssl_perception.io.output import Output
from ssl_perception_ros.node import PerceptionNode


class KeptMessages(Output):
    """The library's encoder; keeps what it makes.

    Attributes:
        raw: serialised messages by topic.
        messages: the same as a bag's reader has them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw: dict[str, list[bytes]] = {}
        self.messages: dict[str, list[Any]] = {}

    def write_raw(self, topic: str, stamp_ns: int, kind: str, raw: bytes | memoryview) -> None:
        self.raw.setdefault(topic, []).append(bytes(raw))
        self.messages.setdefault(topic, []).append(deserialise(bytes(raw), kind))


def listened_to(topic: str, subscribers: int = 1, active: bool = True) -> Any:
    """Stands for a lifecycle publisher; ``sent`` has the serialised messages."""
    sent: list[bytes] = []
    return SimpleNamespace(
        topic_name=topic,
        is_activated=active,
        get_subscription_count=lambda: subscribers,
        publish=sent.append,
        sent=sent,
        qos_profile=SimpleNamespace(durability=DurabilityPolicy.VOLATILE),
    )


def listen(node: PerceptionNode, topic: str, kind: str) -> list[Any]:
    """What the node publishes on a topic from now on, decoded."""
    publisher = listened_to(topic)
    taken: list[Any] = []
    publisher.publish = lambda raw: taken.append(deserialise(raw, kind))
    node.output.publishers[topic] = publisher
    return taken
