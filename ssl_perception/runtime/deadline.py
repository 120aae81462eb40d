"""A point in time by which a result is needed."""

from __future__ import annotations

import math
import time
from copy import copy


class DeadlinePassed(Exception):
    """Time is up in the midst of work that has no part of an answer yet."""


class Deadline:
    """``Deadline(0.05)``: fifty milliseconds from now. ``Deadline(None)``: none."""

    def __init__(self, seconds: float | None = None) -> None:
        self.start = time.perf_counter()
        self.end = math.inf if seconds is None else self.start + seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the deadline was set."""
        return time.perf_counter() - self.start

    @property
    def remaining(self) -> float:
        """Seconds left; negative when passed, ``inf`` without a deadline."""
        return self.end - time.perf_counter()

    @property
    def passed(self) -> bool:
        return time.perf_counter() >= self.end

    def check(self) -> None:
        """For long work, between its parts.

        Raises:
            DeadlinePassed: time is up.
        """
        if self.passed:
            raise DeadlinePassed

    def earlier(self, seconds: float) -> Deadline:
        """The same, so many seconds before: what comes after needs them."""
        other = copy(self)
        other.end -= seconds
        return other


NEVER = Deadline(None)  # for work that may take as long as it takes
