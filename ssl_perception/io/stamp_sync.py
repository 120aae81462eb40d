"""Messages of one image, by stamp: which belong together, and how long to wait for what is missing.

Several topics answer to one image and carry its stamp. While they all live, each group waits for
its missing parts as long as these have lately been behind; a part that has fallen silent is not
waited for: the robot needs an answer now.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_MOST = 100  # groups that may wait; then the oldest goes out as it is
_LAGS = 20  # newest lags of a part that its wait follows
_MARGIN = 1.5  # times the largest of these
_SECOND = 1_000_000_000  # ns; a stamp that goes back by more is another recording, not a late part


class Group(NamedTuple, Generic[T]):
    """What there is of one stamp; a part that is missing isn't in it."""

    stamp_ns: int
    parts: dict[str, T]


class StampSync(Generic[T]):
    """Groups come out in the order of their stamps, each once.

    Args:
        parts: names of the parts of a group.
        wait: s that a group waits for its missing parts at most.
        least_wait: s that it waits for a living part in any case.
        silence: s without anything from a part after which it is not waited for.

    Attributes:
        late: per part, how many came after their stamp had gone out, and were dropped.
    """

    def __init__(
        self,
        parts: Iterable[str],
        wait: float = 1.0,
        least_wait: float = 0.15,
        silence: float = 0.5,
    ) -> None:
        self._parts = tuple(parts)
        self.late = dict.fromkeys(self._parts, 0)
        self._wait = wait
        self._least_wait = min(least_wait, wait)
        self._silence = silence
        self._heard: dict[str, float] = {}  # when a part was last heard, or first expected
        self._lags = {part: deque([0.0], maxlen=_LAGS) for part in self._parts}
        self._waiting: dict[int, tuple[float, dict[str, T]]] = {}
        self._gone: dict[int, float] = {}  # when the newest groups that are out began
        self._last: int | None = None

    def expect(self, part: str, now: float) -> None:
        """Somebody publishes this part: wait for its very first message, too."""
        self._heard.setdefault(part, now)

    def expects(self, part: str) -> bool:
        """The part has been heard, or is expected."""
        return part in self._heard

    def lag(self, part: str) -> float:
        """Seconds by which this part has lately been behind the first of its stamp, at most."""
        return max(self._lags[part])

    def add(self, part: str, stamp_ns: int, value: T, now: float) -> list[Group[T]]:
        """Take a part; give the groups that needn't wait any longer.

        Args:
            now: s, on a steady clock.
        """
        self._heard[part] = now
        if self._last is not None and stamp_ns <= self._last:
            if stamp_ns > self._last - _SECOND:
                self.late[part] += 1
                if stamp_ns in self._gone:  # next time it is waited for so long
                    self._lags[part].append(now - self._gone[stamp_ns])
                return self.overdue(now)
            self._waiting.clear()
            self._gone.clear()
            self._last = None
        began, parts = self._waiting.setdefault(stamp_ns, (now, {}))
        parts[part] = value
        self._lags[part].append(now - began)
        return self.overdue(now)

    def overdue(self, now: float) -> list[Group[T]]:
        """The groups that needn't wait any longer; call it now and then when nothing comes."""
        order = sorted(self._waiting)
        ready = [n for n, stamp in enumerate(order) if self._is_ready(stamp, now)]
        count = max(ready[-1] + 1 if ready else 0, len(order) - _MOST)
        groups = []
        for stamp in order[:count]:
            began, parts = self._waiting.pop(stamp)
            groups.append(Group(stamp, parts))
            self._gone[stamp] = began
            self._last = stamp
        for old in list(self._gone)[: -2 * _MOST]:
            del self._gone[old]
        return groups

    def _is_ready(self, stamp: int, now: float) -> bool:
        began, parts = self._waiting[stamp]
        missing = [
            part
            for part, heard in self._heard.items()
            if part not in parts and now - heard <= self._silence
        ]
        if not missing:
            return True
        lag = max(self.lag(part) for part in missing)
        return now - began >= min(max(_MARGIN * lag, self._least_wait), self._wait)
