"""Ctrl-C and termination that wait for a good moment."""

from __future__ import annotations

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """SIGINT and SIGTERM between the parts of some work, not in their midst.

        with Interrupts() as interrupts:
            for part in work:
                ...
                if interrupts.received:
                    save()
                    interrupts.leave()

    A second signal doesn't wait. Outside of the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def leave(self) -> None:
        """End as the signal would have.

        Raises:
            KeyboardInterrupt: it was SIGINT.
            SystemExit: it was another.
        """
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)

    def _note(self, number: int, _: FrameType | None) -> None:
        waited = self.received is not None
        self.received = signal.Signals(number)
        if waited:
            self.leave()
