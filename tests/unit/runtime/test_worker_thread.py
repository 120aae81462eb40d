"""Two things at once, and both done before anything goes on."""

from __future__ import annotations

import threading
import time

import pytest

from ssl_perception.runtime.worker_thread import SecondThread, in_turn


def test_both_are_done_here_and_elsewhere() -> None:
    here, beside = SecondThread().both(threading.get_ident, threading.get_ident)
    assert here == threading.get_ident() != beside
    assert in_turn(lambda: 1, lambda: 2) == (1, 2)


def test_they_go_on_at_once() -> None:
    met = threading.Barrier(2, timeout=10.0)
    SecondThread().both(met.wait, met.wait)


@pytest.mark.parametrize("where", ["here", "beside"])
def test_a_failure_is_told_once_the_other_has_ended(where: str) -> None:
    ended = []

    def work() -> None:
        time.sleep(0.05)
        ended.append(True)

    def fail() -> None:
        raise ValueError("broken")

    second = SecondThread()
    with pytest.raises(ValueError, match="broken"):
        second.both(*((fail, work) if where == "here" else (work, fail)))
    assert ended
    assert second.both(lambda: 1, lambda: 2) == (1, 2), "and it can be used again"
