"""Messages of one image, by stamp: which belong together, and how long to wait for what is missing.

Several topics answer to one image and carry its stamp, each after a time of its own. A group of
them waits for a missing part as long as that part has lately been behind. It does not wait for a
part that has gone on to a later stamp (a topic keeps its order), nor for one that has fallen
silent: the robot needs an answer now.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST = 100  # groups that may wait; then the oldest goes out as it is
_REMEMBERED = 200  # newest stamps whose beginning is kept, to learn from what comes late
_LAGS = 20  # newest lags of a part that its wait follows
_MARGIN = 1.5  # times the largest of these
_SETTLING = 1.0  # s, beyond the wait, in which another part may still be of the recording before
_SECOND = 1_000_000_000  # ns; a stamp that goes back by more is another recording, not a late part


class Absence(Enum):
    """Why a part is missing from a group."""

    SILENT = "silent"  # nothing from it for too long, or ever
    SKIPPED = "skipped"  # it gave nothing for this stamp, but something for a later one
    LATE = "late"  # it was waited for in vain


@dataclass(frozen=True)
class Group(Generic[T]):
    """What there is of one stamp.

    Attributes:
        stamp_ns: the stamp.
        parts: by name, those that came.
        absent: by name, why the others did not.
    """

    stamp_ns: int
    parts: dict[str, T]
    absent: dict[str, Absence] = field(default_factory=dict)


class _Part:
    """What is known about the topic of one part."""

    def __init__(self) -> None:
        self.silent_after = -math.inf  # s, unless something is heard by then; +Inf: not at stake
        self.newest: int | None = None  # its newest stamp
        self.lags: deque[float] = deque(maxlen=_LAGS)  # s behind the first part of a stamp
        self.waits: deque[float] = deque(maxlen=_LAGS)  # s until it had come, or had skipped it

    @property
    def expected(self) -> bool:
        return self.silent_after > -math.inf


class StampSync(Generic[T]):
    """Groups come out in the order of their stamps, each once.

    Args:
        parts: names of the parts of a group.
        wait: s that a group waits for its missing parts at most.
        least_wait: s that it waits for a living part in any case.
        silence: s without anything from a part, counted from the first stamp that begins without
            it, after which it is not waited for.

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
        self._parts = {name: _Part() for name in parts}
        self.late = dict.fromkeys(self._parts, 0)
        self._wait = wait
        self._least_wait = min(least_wait, wait)
        self._silence = silence
        self._waiting: dict[int, dict[str, T]] = {}
        self._began: dict[int, float] = {}  # when the first part of a stamp came
        self._last: int | None = None  # stamp of the newest group that is out
        self._went_back: tuple[str, float] | None = None  # which part did, and when

    def expect(self, part: str) -> None:
        """The part has a publisher: its very first message is waited for, too."""
        if not self._parts[part].expected:
            self._parts[part].silent_after = math.inf

    def expects(self, part: str) -> bool:
        """The part has been heard, or is expected."""
        return self._parts[part].expected

    def lag(self, part: str) -> float:
        """Seconds by which the part has lately been behind the first of its stamp, at most."""
        return max(self._parts[part].lags, default=0.0)

    def add(self, part: str, stamp_ns: int, value: T, now: float) -> list[Group[T]]:
        """Take a part; give the groups that needn't wait any longer.

        Args:
            now: s, on a steady clock.
        """
        mine = self._parts[part]
        was_silent = mine.newest is None or now > mine.silent_after
        mine.silent_after = math.inf
        # A part's own stamps say whether they start again; the others' may be far ahead of them.
        if mine.newest is not None and stamp_ns < mine.newest - _SECOND:
            self._start_again(part, now)
            was_silent = True
        elif self._is_of_before(part, stamp_ns, now):
            self.late[part] += 1
            return self.overdue(now)
        if stamp_ns not in self._began:
            self._begin(part, stamp_ns, now)
        self._learn(mine, stamp_ns, now, was_silent)
        if self._last is not None and stamp_ns <= self._last:
            self.late[part] += 1
        else:
            self._waiting.setdefault(stamp_ns, {})[part] = value
        return self.overdue(now)

    def overdue(self, now: float) -> list[Group[T]]:
        """The groups that needn't wait any longer; call it now and then when nothing comes.

        Args:
            now: s, on the same clock; +Inf: nothing needs to wait.
        """
        order = sorted(self._waiting)
        # what is older than a group that is ready goes out before it
        ready = [n for n, stamp in enumerate(order) if self._is_ready(stamp, now)]
        count = max(ready[-1] + 1 if ready else 0, len(order) - _MOST)
        groups = []
        for stamp in order[:count]:
            absent = {
                name: self._absence(name, stamp, now) or Absence.LATE
                for name in self._parts
                if name not in self._waiting[stamp]
            }
            groups.append(Group(stamp, self._waiting.pop(stamp), absent))
            self._last = stamp
        return groups

    def _is_ready(self, stamp: int, now: float) -> bool:
        there = self._waiting[stamp]
        return all(name in there or self._absence(name, stamp, now) for name in self._parts)

    def _absence(self, name: str, stamp: int, now: float) -> Absence | None:
        """Why not to wait for a missing part; None: it may still come."""
        part = self._parts[name]
        if part.newest is not None and part.newest > stamp:
            return Absence.SKIPPED
        if now > part.silent_after:
            return Absence.SILENT
        longest = self._wait  # while too little is known about its lag
        if len(part.waits) == _LAGS:
            longest = min(max(_MARGIN * max(part.waits), self._least_wait), self._wait)
        return Absence.LATE if now - self._began[stamp] >= longest else None

    def _begin(self, part: str, stamp: int, now: float) -> None:
        """The first part of a stamp: from now on the others must be heard, or are silent."""
        self._began[stamp] = now
        for known in list(self._began)[:-_REMEMBERED]:
            if known not in self._waiting:
                del self._began[known]
        for name, other in self._parts.items():
            if name != part and other.silent_after == math.inf:
                patience = self._silence
                if other.newest is None:  # it may still be starting
                    patience = max(self._wait, self._silence)
                other.silent_after = now + patience

    def _learn(self, part: _Part, stamp: int, now: float, was_silent: bool) -> None:
        """How long one has to wait for this part, from a value of it, be it in time or late."""
        part.lags.append(now - self._began[stamp])
        if was_silent or part.newest is None:
            part.waits.append(now - self._began[stamp])
        else:  # this value also says that it has skipped what lies between
            part.waits.extend(
                now - began for known, began in self._began.items() if part.newest < known <= stamp
            )
        part.newest = stamp if part.newest is None else max(stamp, part.newest)

    def _start_again(self, part: str, now: float) -> None:
        self._waiting.clear()
        self._began.clear()
        self._last = None
        self._went_back = (part, now)
        for other in self._parts.values():
            other.newest = None

    def _is_of_before(self, part: str, stamp: int, now: float) -> bool:
        """Of the recording before, when another part has started again already."""
        if self._went_back is None:
            return False
        leader, when = self._went_back
        newest = self._parts[leader].newest
        return (
            part != leader
            and newest is not None
            and stamp > newest + _SECOND
            and now - when <= self._wait + _SETTLING
        )
