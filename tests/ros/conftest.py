"""What the tests of the nodes share: a ROS domain of their own, and processes that end with it."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ssl_perception.runtime.ros_processes import Nodes, environment

# `demo --ros` and `experiment flight --ros` take one of the first hundred themselves
DOMAINS = range(101, 201)
# A killed process stays known in its domain for seconds: the next test takes another one.
_turn = itertools.count(7 * os.getpid())


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain that no other test is in, of this run or of another one on this machine."""
    for number in itertools.islice(_turn, len(DOMAINS)):
        domain = DOMAINS[number % len(DOMAINS)]
        lock = Path(tempfile.gettempdir()) / f"ssl_perception_test_domain_{domain}"
        with lock.open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain
            return
    pytest.fail("every ROS domain is taken")


@pytest.fixture
def nodes(domain: int, tmp_path: Path) -> Iterator[Nodes]:
    """Node processes in the test's own domain; they end with it."""
    with Nodes(environment(domain), tmp_path) as started:
        yield started
