"""A thread that works beside the caller's, on another processor."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

A = TypeVar("A")
B = TypeVar("B")


class Both(Protocol):
    """Does two things and gives both answers: ``SecondThread.both``, or ``in_turn``."""

    def __call__(self, here: Callable[[], A], beside: Callable[[], B], /) -> tuple[A, B]: ...


class SecondThread:
    """One worker for pieces of work of a millisecond or so.

    Where processors share no cache that Linux knows of, such as in virtual machines, it wakes a
    thread on the processor of whoever woke it, and both take turns there for several milliseconds
    while another processor idles. So this thread is kept off the caller's processor.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "second")
        self._thread = self._pool.submit(threading.get_native_id).result()
        self._avoided = -1

    def both(self, here: Callable[[], A], beside: Callable[[], B]) -> tuple[A, B]:
        """Do both at once, ``here`` in the caller's thread.

        They gain what they spend in kernels, which let go of the GIL.
        """
        self._keep_off(_processor())
        future = self._pool.submit(beside)
        try:
            first = here()
        finally:
            wait((future,))  # whatever happened here, nothing goes on in our caller's arrays
        return first, future.result()

    def _keep_off(self, processor: int) -> None:
        if processor == self._avoided or processor < 0:
            return
        others = os.sched_getaffinity(0) - {processor}
        if others:
            with contextlib.suppress(OSError):  # a sandbox that forbids it: slower, no worse
                os.sched_setaffinity(self._thread, others)
        self._avoided = processor


def _processor() -> int:
    """The number of the processor that runs this; -1 where nobody tells."""
    return -1 if _LIBC is None else int(_LIBC.sched_getcpu())


def in_turn(here: Callable[[], A], beside: Callable[[], B]) -> tuple[A, B]:
    """``SecondThread.both`` without one."""
    return here(), beside()
