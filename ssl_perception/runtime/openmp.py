"""How a library's OpenMP threads wait for work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ASLEEP = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}


@contextmanager
def threads_wait_asleep() -> Iterator[None]:
    """A library that is loaded inside, with an OpenMP runtime of its own, lets its threads sleep
    until there is work.

    By default they spin. In a registration of 20 ms on two threads that is most of the processor
    time spent, and where other programs run, too, those that spin keep away the one that is waited
    for. What the environment already says stays. OpenMP reads it once, when it is loaded: of a
    library that is loaded already nothing changes.
    """
    added = {} if _ASLEEP.keys() & os.environ.keys() else _ASLEEP
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
