"""How a node is doing, as /diagnostics tells it (REP 107: one line and the figures behind it)."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ssl_perception.runtime.resident_memory import resident_megabytes

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_WINDOW = 200  # results that the latency percentiles are of, and inputs that rates are of
_RECENT = 5.0  # s that rates are of at most


def _rate(times: deque[float]) -> float:
    """Hz, of what came within the last seconds."""
    now = time.monotonic()
    recent = [when for when in times if when > now - _RECENT]
    if not recent:
        return 0.0
    # while nothing is older: of the time since the first
    passed = _RECENT if len(recent) < len(times) else now - recent[0]
    return len(recent) / passed if passed > 0.0 else 0.0


def _period(times: deque[float]) -> float | None:
    """Seconds from one input to the next, the median of the newest; None: too few."""
    newest = list(times)[-20:]
    return float(np.median(np.diff(newest))) if len(newest) >= 5 else None


class Health:
    """Counts, latencies and complaints about one stream of input. Safe from any thread.

    Args:
        subject: what comes in, e.g. ``sweeps``.
        timeout: s without input before it counts as lost.
        clock: gives the seconds that silence is measured in.

    Attributes:
        deadline_misses: results that took longer than inputs lie apart.
    """

    def __init__(
        self, subject: str, timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.subject = subject
        self.timeout = timeout
        self._clock = clock
        self.received = self.published = self.skipped = self.refused = self.failed = 0
        self.last_problem = ""
        self.busy = ""  # what it does instead of becoming active
        self._lock = threading.RLock()  # silence is read under it
        self._latencies: deque[float] = deque(maxlen=_WINDOW)
        self._inputs: deque[float] = deque(maxlen=_WINDOW)  # when they came, steady clock
        self._results: deque[float] = deque(maxlen=_WINDOW)  # when they went out
        self.deadline_misses = 0
        self._values: dict[str, Any] = {}
        self._warnings: list[str] = []
        self._error = ""
        self._since = self._clock()
        self._told = (0, 0, 0)

    def activated(self) -> None:
        """Silence counts from now on."""
        with self._lock:
            self._since = self._clock()

    @property
    def silence(self) -> float:
        """Seconds since the last input, or since activation."""
        now = self._clock()
        with self._lock:
            self._since = min(self._since, now)  # a simulated clock may go back
            return now - self._since

    def input(self) -> None:
        """Something came in."""
        with self._lock:
            self.received += 1
            self._since = self._clock()
            self._inputs.append(time.monotonic())

    def skip(self) -> None:
        """An input gave way to newer ones."""
        with self._lock:
            self.skipped += 1

    def refuse(self, problem: str) -> None:
        """An input that can't be used."""
        with self._lock:
            self.refused += 1
            self.last_problem = problem

    def fail(self, problem: str) -> None:
        """The work itself broke: a fault of this software, not of the input."""
        with self._lock:
            self.failed += 1
            self.last_problem = problem

    def publish(
        self, seconds: float, values: Mapping[str, Any], *warnings: str, error: str = ""
    ) -> None:
        """A result went out.

        Args:
            seconds: from the arrival of its input to now.
            values: figures about it, shown until the next one.
            warnings: what is doubtful about it; empty strings don't count.
            error: why the robot can't go by it; empty when it can.
        """
        with self._lock:
            self.published += 1
            self._latencies.append(seconds)
            self._results.append(time.monotonic())
            period = _period(self._inputs)
            if period is not None and seconds > period:
                self.deadline_misses += 1
            self._values = dict(values)
            self._warnings = [warning for warning in warnings if warning]
            self._error = error

    def update(self, values: Mapping[str, Any]) -> None:
        """Figures that no longer hold, as they are now."""
        with self._lock:
            self._values |= values

    def status(self, node: str, active: bool) -> DiagnosticStatus:
        """The state since the last call."""
        with self._lock:
            level, message = self._verdict(active)
            self._told = (self.refused, self.skipped, self.failed)
            values: dict[str, Any] = {
                "received": self.received,
                "published": self.published,
                "skipped": self.skipped,
                "refused": self.refused,
                "failed": self.failed,
                "last_problem": self.last_problem,
                "seconds_since_input": f"{self.silence:.3f}",
            }
            values |= {
                "input_hz": f"{_rate(self._inputs):.2f}",
                "output_hz": f"{_rate(self._results):.2f}",
                "deadline_misses": self.deadline_misses,
                "memory_mib": f"{resident_megabytes():.0f}",
            }
            if self._latencies:
                for share in (50, 95, 99):
                    latency = 1e3 * float(np.percentile(self._latencies, share))
                    values[f"latency_ms_p{share}"] = f"{latency:.1f}"
            values |= self._values
        return DiagnosticStatus(
            level=level,
            name=f"{node}: {self.subject}",
            message=message,
            hardware_id="ssl_perception",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )

    def _verdict(self, active: bool) -> tuple[bytes, str]:
        if not active:
            return OK, self.busy or "not active"
        refused, skipped, failed = (
            now - before
            for now, before in zip(
                (self.refused, self.skipped, self.failed), self._told, strict=True
            )
        )
        if failed:
            return ERROR, f"{failed} {self.subject} failed: {self.last_problem}"
        if self.silence > self.timeout:
            level = ERROR if self.received else WARN
            since = "" if self.received else ", none so far"
            return level, f"no {self.subject} for {self.silence:.1f} s{since}"
        if self._error:
            return ERROR, self._error
        if refused:
            return WARN, f"{refused} {self.subject} refused: {self.last_problem}"
        if self._warnings:
            return WARN, "; ".join(self._warnings)
        if skipped:
            return WARN, f"{skipped} {self.subject} skipped: they come faster than the work is done"
        return OK, "running" if self.published else f"waiting for {self.subject}"
