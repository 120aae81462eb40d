"""One job after another, or several at a time in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ssl_perception.runtime.worker_processes import worker_pool

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(work: Callable[[Job], Result], jobs: Iterable[Job], processes: int) -> Iterator[Result]:
    """The results in the order of the jobs; ``work`` is pickled where ``processes`` is not 1."""
    if processes == 1:
        yield from map(work, jobs)
        return
    with worker_pool(processes) as pool:
        yield from pool.map(work, jobs)
