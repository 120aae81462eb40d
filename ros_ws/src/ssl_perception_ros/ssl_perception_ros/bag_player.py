"""Node ``bag_player``: a recorded bag onto its topics, at its own rate, message for message.

The recorded bytes are published as they are; nothing is decoded, so a bag of any standard types
will do. A topic that was latched (transient local) is latched again; all are reliable, so that both
kinds of reader match.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from rclpy.duration import Duration
from rclpy.lifecycle import Publisher
from rclpy.node import NodeNameNonExistentError
from rosbags.interfaces import Connection, QosDurability
from rosgraph_msgs.msg import Clock

from ssl_perception.errors import InputError
from ssl_perception.io.bag_reader import BagReader
from ssl_perception_ros import messages
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import BagPlayerSettings

DEPTH = 100  # messages kept for reliable readers that are behind
# s from seeing the last reader to its seeing us: usually at once, but when the packet that says so
# is lost, discovery repeats it only with its next heartbeat
SETTLE = 2.0
POLL = 0.02  # s
OF_EVERY_NODE = ("/parameter_events", "/clock")  # subscriptions of nodes that aren't active, too


class BagPlayerNode(PerceptionNode):
    own = BagPlayerSettings

    def __init__(self) -> None:
        super().__init__("bag_player")
        self._reader: BagReader | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def prepare(self) -> None:
        if not self.settings.bag:
            raise InputError("parameter bag: name the recording to play")
        self._reader = _open(Path(self.settings.bag))
        recorded = {c.topic: c.msgtype for c in self._reader.connections if c.msgcount}
        wanted = self.settings.topics.split() or list(recorded)
        for topic in wanted:
            if topic not in recorded:
                raise InputError(
                    f"{self.settings.bag}: no topic {topic!r}; it has {', '.join(recorded)}"
                )
        self._topics: dict[str, Publisher] = {}
        for topic in wanted:
            kind = messages.message_type(recorded[topic])
            if kind is None:
                self.get_logger().warning(f"{topic}: {recorded[topic]} isn't installed; left out")
                continue
            latched = _is_latched([c for c in self._reader.connections if c.topic == topic])
            self._topics[topic] = self.publish_on(kind, topic, DEPTH, latched)
        if not self._topics:
            raise InputError(f"{self.settings.bag}: nothing to play")
        self._ticks = self.publish_on(Clock, "/clock") if self.settings.clock else None
        self._messages = self._read()
        self._waited = False

    def begin(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def release(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _read(self) -> Iterator[tuple[str, int, bytes]]:
        reader = self._reader
        assert reader is not None
        connections = [c for c in reader.connections if c.topic in self._topics]
        while True:
            for connection, stamp, raw in reader.messages(connections):
                yield connection.topic, stamp, bytes(raw)
            if not self.settings.loop:
                return

    def _play(self) -> None:
        try:
            if not self._waited:
                self._wait_for_readers()
                self._waited = True
            if self._publish_all():
                for publisher in self._topics.values():
                    publisher.wait_for_all_acked(Duration(seconds=10))
                self._stop.wait(self.settings.linger)
                if not self._stop.is_set():
                    self.get_logger().info("the bag has ended")
                    self.done.set_result(True)
        except Exception as error:  # rosbags raises whatever its parsers meet in a broken file
            if not self.context.ok():  # the process ends: whatever publishes fails now
                return
            line = " ".join(str(error).split()) or type(error).__name__
            self.get_logger().error(f"{self.settings.bag}: {line}")
            self.done.set_result(False)

    def _publish_all(self) -> bool:
        """Play on from where it stopped; False when it was stopped before the end."""
        started = time.perf_counter()
        first: int | None = None
        last = 0
        while (item := self._pending or next(self._messages, None)) is not None:
            topic, stamp, raw = item
            if first is None or stamp < last:  # a loop begins anew
                first, started = stamp, time.perf_counter()
            last = stamp
            due = started + (stamp - first) * 1e-9 / self.settings.rate
            if not self._sleep_until(due, first, started):
                self._pending = item
                return False
            self._topics[topic].publish(raw)
            self._pending = None
        return True

    _pending: tuple[str, int, bytes] | None = None

    def _sleep_until(self, due: float, first: int, started: float) -> bool:
        """Wait, ticking /clock; False when stopped meanwhile."""
        while True:
            now = time.perf_counter()
            if self._ticks is not None:
                elapsed = (now - started) * self.settings.rate
                seconds, nanoseconds = divmod(first + round(elapsed * 1e9), 1_000_000_000)
                tick = Clock()
                tick.clock.sec, tick.clock.nanosec = seconds, nanoseconds
                self._ticks.publish(tick)
                step = min(due - now, 1.0 / self.settings.clock)
            else:
                step = due - now
            if self._stop.wait(max(0.0, step)):
                return False
            if step >= due - now:
                return True

    def _wait_for_readers(self) -> None:
        limit = time.monotonic() + self.settings.wait
        readers = self.settings.readers.split()
        missing = readers or list(self._topics)
        is_there = self._listens if readers else self._is_heard
        while missing and time.monotonic() < limit and not self._stop.wait(POLL):
            missing = [name for name in missing if not is_there(name)]
        if missing and self.settings.wait:
            who = "these don't listen" if readers else "no subscriber to"
            self.get_logger().warning(f"{who}: {', '.join(missing)}; playing anyway")
        self._stop.wait(SETTLE)

    def _is_heard(self, topic: str) -> bool:
        return self._topics[topic].get_subscription_count() > 0

    def _listens(self, node: str) -> bool:
        """Whether a node of ours subscribes to anything: it does only while it is active."""
        namespace, _, name = self.resolve_topic_name(node).rpartition("/")
        try:
            heard = self.get_subscriber_names_and_types_by_node(name, namespace or "/")
        except NodeNameNonExistentError:
            return False
        return any(topic not in OF_EVERY_NODE for topic, _ in heard)


def _is_latched(connections: list[Connection]) -> bool:
    """Whether who comes late must get what was said before, as it was recorded.

    A bag may hold no profiles; ``/tf_static`` is latched by convention (tf2).
    """
    if connections[0].topic == "/tf_static":
        return True
    return any(
        profile.durability is QosDurability.TRANSIENT_LOCAL
        for connection in connections
        for profile in getattr(connection.ext, "offered_qos_profiles", ())
    )


def _open(path: Path) -> BagReader:
    if not path.exists():
        raise InputError(f"{path}: no such recording")
    try:
        reader = BagReader(path)
        reader.open()
    except Exception as error:  # see _play
        line = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable rosbag2 recording: {line}") from None
    return reader


def main() -> int:
    return run(BagPlayerNode)


if __name__ == "__main__":
    raise SystemExit(main())
