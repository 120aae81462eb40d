"""Two things at once, and both done before anything goes on."""

from __future__ import annotations

import threading
import time

import pytest

from ssl_perception.runtime.worker_thread import WorkerThread, run_in_sequence


def test_one_runs_in_the_caller_and_one_in_the_worker() -> None:
    in_caller, in_worker = WorkerThread().run_in_parallel(threading.get_ident, threading.get_ident)
    assert in_caller == threading.get_ident() != in_worker
    assert run_in_sequence(lambda: 1, lambda: 2) == (1, 2)


def test_they_go_on_at_once() -> None:
    met = threading.Barrier(2, timeout=10.0)
    WorkerThread().run_in_parallel(met.wait, met.wait)


@pytest.mark.parametrize("where", ["caller", "worker"])
def test_a_failure_is_raised_once_the_other_has_ended(where: str) -> None:
    ended = []

    def work() -> None:
        time.sleep(0.05)
        ended.append(True)

    def fail() -> None:
        raise ValueError("broken")

    worker = WorkerThread()
    with pytest.raises(ValueError, match="broken"):
        worker.run_in_parallel(*((fail, work) if where == "caller" else (work, fail)))
    assert ended
    assert worker.run_in_parallel(lambda: 1, lambda: 2) == (1, 2), "and it can be used again"
