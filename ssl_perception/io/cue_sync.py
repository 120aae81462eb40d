"""Which stereo and mono depth are of the same image, and how long to wait for the one that lacks.

Both cues answer to one left image and carry its stamp. While both live, each frame waits a little
for its partner; a cue that has fallen silent is not waited for: the robot needs an answer now.
"""

from __future__ import annotations

import math
from typing import Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")
Side = Literal["stereo", "mono"]

_MOST = 100  # frames that may wait; then the oldest goes out as it is
_SECOND = 1_000_000_000  # ns; a stamp that goes back by more is another recording, not a late frame


class Frame(NamedTuple, Generic[T]):
    """What there is of one image; None: that cue said nothing."""

    stamp_ns: int
    stereo: T | None
    mono: T | None


class CueSync(Generic[T]):
    """Frames come out in the order of their stamps, each once.

    Args:
        wait: s that a frame waits for its partner.
        silence: s without anything from a cue after which it is not waited for.

    Attributes:
        late: frames that came after their stamp had gone out, and were dropped.
    """

    def __init__(self, wait: float = 0.15, silence: float = 0.5) -> None:
        self.late = 0
        self._wait = wait
        self._silence = silence
        self._heard: dict[Side, float] = {"stereo": -math.inf, "mono": -math.inf}
        self._waiting: dict[int, tuple[float, dict[Side, T]]] = {}
        self._last: int | None = None

    def add(self, side: Side, stamp_ns: int, depth: T, now: float) -> list[Frame[T]]:
        """Take what one cue says of an image; give what needn't wait any longer.

        Args:
            now: s, on a steady clock.
        """
        self._heard[side] = now
        if self._last is not None and stamp_ns <= self._last:
            if stamp_ns > self._last - _SECOND:
                self.late += 1
                return self.overdue(now)
            self._waiting.clear()
            self._last = None
        _, parts = self._waiting.setdefault(stamp_ns, (now, {}))
        parts[side] = depth
        return self.overdue(now)

    def overdue(self, now: float) -> list[Frame[T]]:
        """What needn't wait any longer; call it now and then when nothing comes."""
        order = sorted(self._waiting)
        ready = [n for n, stamp in enumerate(order) if self._is_ready(stamp, now)]
        count = max(ready[-1] + 1 if ready else 0, len(order) - _MOST)
        frames = []
        for stamp in order[:count]:
            _, parts = self._waiting.pop(stamp)
            frames.append(Frame(stamp, parts.get("stereo"), parts.get("mono")))
            self._last = stamp
        return frames

    def _is_ready(self, stamp: int, now: float) -> bool:
        came, parts = self._waiting[stamp]
        if len(parts) == 2 or now - came >= self._wait:
            return True
        missing: Side = "mono" if "stereo" in parts else "stereo"
        return now - self._heard[missing] > self._silence
