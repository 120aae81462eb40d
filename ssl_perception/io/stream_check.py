"""Do a sensor's messages come as they should? Their rate, their stamps and their frame, by headers
alone: for ``preflight`` over a log's first seconds, and for the nodes while they run."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MEMORY = 100  # messages that count
ENOUGH = 5  # of them, before anything is said
JITTER = 0.2  # of the period, that intervals may be off at the median
MISSING = 0.05  # share of messages that may be
GAP = 1.6  # periods; a longer interval lacks a message
BEHIND, AHEAD = 1.0, 0.05  # s that a message may be received after its stamp, and before it


@dataclass(frozen=True)
class Header:
    """What every message of a sensor says.

    Attributes:
        topic: where it came from.
        stamp_ns: its own stamp.
        frame: its frame_id.
        received_ns: when it was recorded, or came; None: not known.
    """

    topic: str
    stamp_ns: int
    frame: str
    received_ns: int | None = None


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        subject: topic or sensor.
        wrong: what is, in a few words that stay the same while it lasts.
        mend: what to do about it.
    """

    subject: str
    wrong: str
    mend: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.wrong} ({self.mend})"


class StreamCheck:
    """Looks at the newest headers of one topic.

    Args:
        topic: its name.
        slowest, fastest: s, periods between which its messages should come.
    """

    def __init__(self, topic: str, slowest: float, fastest: float = 0.0) -> None:
        self.topic = topic
        self._slowest, self._fastest = slowest, fastest
        self._headers: deque[Header] = deque(maxlen=MEMORY)
        self.count = 0

    def add(self, header: Header) -> None:
        """Take the header of the message that came next."""
        self.count += 1
        self._headers.append(header)

    @property
    def stamps(self) -> NDArray[np.int64]:
        """(n,) ns, as they came."""
        return np.array([header.stamp_ns for header in self._headers], np.int64)

    @property
    def period(self) -> float:
        """s, the median; NaN: too few messages."""
        intervals = self._intervals()
        return float(np.median(intervals)) if len(intervals) else float("nan")

    @property
    def jitter(self) -> float:
        """s that intervals are off the period at the median; NaN: too few messages."""
        intervals = self._intervals()
        if not len(intervals):
            return float("nan")
        return float(np.median(np.abs(intervals - np.median(intervals))))

    @property
    def missing(self) -> int:
        """Messages that long intervals lack."""
        intervals, period = self._intervals(), self.period
        if not period > 0.0:
            return 0
        long = intervals[intervals > GAP * period]
        return int((np.round(long / period) - 1).sum())

    @property
    def frame(self) -> str:
        """Of the newest message."""
        return self._headers[-1].frame if self._headers else ""

    def _intervals(self) -> NDArray[np.float64]:
        """(n,) s between stamps that follow one another."""
        steps = np.diff(self.stamps) * 1e-9
        return steps[steps > 0.0]

    def findings(self) -> list[Finding]:
        """What is wrong; nothing is, as long as there are too few messages."""
        if len(self._headers) < ENOUGH:
            return []
        found = [*self._stamps_wrong(), *self._frames_wrong()]
        return [Finding(self.topic, wrong, mend) for wrong, mend in found]

    def _stamps_wrong(self) -> list[tuple[str, str]]:
        stamps = self.stamps
        steps = np.diff(stamps)
        if not stamps.any():
            return [("stamps are 0", "let the driver stamp its messages")]
        found = []
        if (steps < 0).any():
            found.append(
                (
                    "stamps go back",
                    "two publishers on one topic, a recording that starts again, or a clock set "
                    "back: use one clock (PTP, NTP) that is never stepped",
                )
            )
        if (steps == 0).any():
            found.append(
                ("stamps come twice", "one publisher a topic; one message a sweep or image")
            )
        return found + self._rate_wrong() + self._clock_wrong()

    def _rate_wrong(self) -> list[tuple[str, str]]:
        period = self.period
        if period > self._slowest:
            return [
                (
                    f"{1.0 / period:.2g} Hz; at least {1.0 / self._slowest:.2g} Hz are needed",
                    "set the sensor's rate, and see what its network or USB port can carry",
                )
            ]
        if period < self._fastest:
            return [
                (
                    f"{1.0 / period:.3g} Hz; at most {1.0 / self._fastest:.3g} Hz can be used",
                    "publish whole sweeps, not packets",
                )
            ]
        found = []
        if self.missing > MISSING * len(self._headers):
            found.append(
                (
                    "messages are missing",
                    "a network, USB port or disk that can't keep up, or too short a QoS queue",
                )
            )
        if self.jitter > JITTER * period:
            found.append(
                (
                    "stamps jitter by more than a fifth of their period",
                    "stamp when the sensor measures, not when the message is made (PTP, trigger)",
                )
            )
        return found

    def _clock_wrong(self) -> list[tuple[str, str]]:
        late = [
            (header.received_ns - header.stamp_ns) * 1e-9
            for header in self._headers
            if header.received_ns is not None
        ]
        if not late or -AHEAD <= float(np.median(late)) <= BEHIND:
            return []
        apart = float(np.median(late))
        way = "behind" if apart > 0 else "ahead of"
        return [
            (
                f"stamps are {abs(apart):.3g} s {way} the time of recording",
                "let the sensor and the computer share one clock (PTP, NTP)",
            )
        ]

    def _frames_wrong(self) -> list[tuple[str, str]]:
        frames = {header.frame for header in self._headers}
        if "" in frames:
            return [("frame_id is empty", "name the sensor's frame in its driver's parameters")]
        if len(frames) > 1:
            return [("frame_id changes", "one sensor a topic: the runtime starts anew each time")]
        return []


def offsets(left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[float, float]:
    """s by which right stamps lie after the nearest left ones: median, and the largest distance;
    NaN where one has none.

    Args:
        left, right: (n,), (m,) ns.
    """
    if not len(left) or not len(right):
        return float("nan"), float("nan")
    start, end = max(left.min(), right.min()), min(left.max(), right.max())
    inside = right[(right >= start) & (right <= end)]
    inside = inside if len(inside) else right
    apart = (inside[:, None] - left[None]).astype(np.float64) * 1e-9
    nearest = apart[np.arange(len(apart)), np.abs(apart).argmin(axis=1)]
    return float(np.median(nearest)), float(np.abs(nearest).max())
