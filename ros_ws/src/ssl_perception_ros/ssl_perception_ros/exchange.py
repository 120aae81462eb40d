"""Messages from node to node of one process, as they are: neither serialised nor copied.

rclpy sends every message through the middleware, also to a node beside the one that publishes it.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from rclpy.executors import Executor


class Reader:
    """A node's end of a topic that another node of this process publishes.

    Its callback runs in the executor, as a subscription's does. When more than ``depth`` messages
    wait, the oldest gives way.
    """

    def __init__(self, callback: Callable[[Any], None], depth: int, executor: Executor) -> None:
        self._callback = callback
        self._executor = executor
        self._waiting: deque[Any] = deque(maxlen=depth)

    def offer(self, message: Any) -> None:
        """Take a message, from any thread; it must not be written to any more."""
        self._waiting.append(message)
        self._executor.create_task(self._deliver)

    def forget(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    def _deliver(self) -> None:
        try:
            message = self._waiting.popleft()
        except IndexError:  # it gave way to a newer one, or nobody wants it any more
            return
        self._callback(message)


class Exchange:
    """Who publishes what to whom within a process; topics by their full names. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offered: Counter[str] = Counter()
        self._readers: dict[str, tuple[Reader, ...]] = {}

    def offer(self, topic: str) -> None:
        """A node of this process publishes on this topic from now on."""
        with self._lock:
            self._offered[topic] += 1

    def withdraw(self, topic: str) -> None:
        """It does so no longer."""
        with self._lock:
            self._offered[topic] -= 1

    def offers(self, topic: str) -> bool:
        """Whether some node of this process publishes on this topic."""
        with self._lock:
            return self._offered[topic] > 0

    def read(self, topic: str, reader: Reader) -> None:
        """Let a reader have what is published on this topic in this process."""
        with self._lock:
            self._readers[topic] = (*self._readers.get(topic, ()), reader)

    def leave(self, reader: Reader) -> None:
        """The opposite of ``read``, on all topics."""
        with self._lock:
            for topic, readers in self._readers.items():
                self._readers[topic] = tuple(other for other in readers if other is not reader)
        reader.forget()

    def publish(self, topic: str, message: Any) -> None:
        """Hand a message to the topic's readers in this process."""
        with self._lock:
            readers = self._readers.get(topic, ())
        for reader in readers:
            reader.offer(message)
