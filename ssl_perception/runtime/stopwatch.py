"""Seconds per stage of something done in stages."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from the start.

    Attributes:
        stages: seconds of each lap, by name, in their order.
    """

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """What was done since the last lap was ``stage``."""
        now = time.perf_counter()
        self.stages[stage] = now - self._last
        self._last = now
