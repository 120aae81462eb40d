"""Threads of the registration sleep while they wait, unless the environment says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

LOAD = """
import os
before = dict(os.environ)
import ssl_perception.flow.online.ego_motion
assert dict(os.environ) == before
"""


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [({}, "PASSIVE", "'0'"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE", "'30000000000'")],
)
def test_how_the_registrations_threads_wait(given: dict[str, str], policy: str, spins: str) -> None:
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    shown = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**clean, "OMP_DISPLAY_ENV": "verbose", **given},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in shown
    assert f"GOMP_SPINCOUNT = {spins}" in shown
