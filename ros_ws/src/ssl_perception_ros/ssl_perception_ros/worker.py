"""A thread for slow work, so that the executor goes on answering services."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Works on what it is offered, one after the other, in its own thread.

    When more than ``capacity`` items wait, the oldest is skipped: on a robot what counts is now.

    Args:
        work: called with each item; must not raise.
        capacity: items that may wait.
        on_skip: called for each item skipped.
    """

    def __init__(
        self, work: Callable[[T], None], capacity: int, on_skip: Callable[[], None]
    ) -> None:
        self._work = work
        self._capacity = capacity
        self._on_skip = on_skip
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> None:
        """Take an item to work on; returns at once."""
        with self._changed:
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._on_skip()
            self._waiting.append(item)
            self._changed.notify()

    @property
    def stopping(self) -> bool:
        """``stop`` was called: what is being worked on is not wanted any more."""
        return self._stopping

    def stop(self, seconds: float) -> bool:
        """Forget what waits, and wait for the item in hand; False when it takes longer."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                item = self._waiting.popleft()
            self._work(item)


class SlowWork:
    """One piece of work in a thread of its own; the caller can do other things meanwhile."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Until it is done, for so long at most."""
        self._thread.join(seconds)

    def finish(self) -> None:
        """Raise what the work raised, if anything; it must be done."""
        if self._failure is not None:
            raise self._failure

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._failure = error
