"""A worker thread beside the caller's, on another processor."""

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


class RunTwo(Protocol):
    """Runs two functions and returns both results: ``WorkerThread.run_in_parallel``, or
    ``run_in_sequence``."""

    def __call__(
        self, in_caller: Callable[[], A], in_worker: Callable[[], B], /
    ) -> tuple[A, B]: ...


class WorkerThread:
    """One worker for pieces of work of a millisecond or so.

    Where processors share no cache that Linux knows of, such as in virtual machines, it wakes a
    thread on the processor of the thread that woke it, and both take turns there for several
    milliseconds while another processor idles. So the worker is kept off the caller's processor.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "worker")
        self._thread = self._pool.submit(threading.get_native_id).result()
        self._avoided = -1

    def run_in_parallel(
        self, in_caller: Callable[[], A], in_worker: Callable[[], B]
    ) -> tuple[A, B]:
        """Run both at once, the first in the caller's thread; returns when both have ended.

        They gain what they spend in kernels, which release the GIL.
        """
        self._keep_off(_processor())
        future = self._pool.submit(in_worker)
        try:
            first = in_caller()
        finally:
            wait((future,))  # also after an error: the worker writes to the caller's arrays
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
    """The number of the processor that runs this; -1 where the system doesn't say."""
    return -1 if _LIBC is None else int(_LIBC.sched_getcpu())


def run_in_sequence(in_caller: Callable[[], A], in_worker: Callable[[], B]) -> tuple[A, B]:
    """``WorkerThread.run_in_parallel`` without a worker."""
    return in_caller(), in_worker()
