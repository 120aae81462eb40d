"""Left and right images that were taken together, out of two streams of single images."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NamedTuple

Side = Literal["left", "right"]


class Matched(NamedTuple):
    """Two frames of one instant.

    Attributes:
        stamp_ns: the left frame's stamp.
        left, right: what was added.
    """

    stamp_ns: int
    left: Any
    right: Any


class StereoSync:
    """Pairs frames by their stamps; what stays alone is counted, never paired with a neighbour.

    Args:
        tolerance_ns: stamps may differ by so much. Half the frame period or more would pair
            images of different instants.
        depth: frames that may wait on each side; the oldest gives way.
    """

    def __init__(self, tolerance_ns: int, depth: int = 10) -> None:
        self.unpaired = 0
        self._tolerance_ns = tolerance_ns
        self._depth = depth
        self._waiting: dict[Side, deque[tuple[int, Any]]] = {"left": deque(), "right": deque()}

    def add(self, side: Side, stamp_ns: int, frame: Any) -> Matched | None:
        """Take a frame; give the pair that it completes, if it does."""
        other_side: Side = "right" if side == "left" else "left"
        own, others = self._waiting[side], self._waiting[other_side]
        best = min(range(len(others)), key=lambda k: abs(others[k][0] - stamp_ns), default=-1)
        if best < 0 or abs(others[best][0] - stamp_ns) > self._tolerance_ns:
            own.append((stamp_ns, frame))
            if len(own) > self._depth:
                own.popleft()
                self.unpaired += 1
            return None
        other_ns, other = others[best]
        # both streams are in order: what is older than a pair can't find a partner any more
        for _ in range(best + 1):
            others.popleft()
        self.unpaired += best
        while own and own[0][0] < stamp_ns:
            own.popleft()
            self.unpaired += 1
        if side == "left":
            return Matched(stamp_ns, frame, other)
        return Matched(other_ns, other, frame)

    def finish(self) -> None:
        """Count what still waits as unpaired: nothing more will come."""
        for waiting in self._waiting.values():
            self.unpaired += len(waiting)
            waiting.clear()
