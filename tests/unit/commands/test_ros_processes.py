"""Node processes are waited for until they are active, and not by accident until they are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ssl_perception.errors import InputError
from ssl_perception.runtime.ros_processes import Nodes

ACTIVE = "[INFO] [1700000000.123456789] [stereo_depth]: active\n"
IN_NAMESPACE = "[INFO] [1700000000.123456789] [robot_1.stereo_depth]: active\n"
NOT_ACTIVE = [
    "[INFO] [1700000000.123456789] [stereo_depth]: inactive\n",
    "[WARN] [1700000000.123456789] [stereo_depth]: nothing is published before it is active\n",
    "[INFO] [1700000000.123456789] [interactive]: starting\n",
    "[ERROR] [1700000000.123456789] [stereo_depth]: active\n",
]

# Like the nodes, it handles SIGINT even if it inherits SIGINT ignored (nohup, background jobs).
SLEEPER = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
time.sleep(60)
"""


def ready_with(log: str, folder: Path) -> None:
    """``Nodes.ready`` of a process that lives and has logged this."""
    with Nodes({}, folder) as nodes:
        nodes.processes["stereo_depth"] = subprocess.Popen(
            [sys.executable, "-c", SLEEPER], start_new_session=True
        )
        (folder / "stereo_depth.log").write_text(log)
        nodes.ready(0.2)


@pytest.mark.parametrize("log", ["", *NOT_ACTIVE])
def test_a_node_that_only_mentions_the_word_is_not_ready(log: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="stereo_depth isn't active"):
        ready_with(log, tmp_path)


@pytest.mark.parametrize("log", [ACTIVE, IN_NAMESPACE, NOT_ACTIVE[0] + ACTIVE])
def test_a_node_that_has_logged_that_it_is_active_is_ready(log: str, tmp_path: Path) -> None:
    ready_with(log, tmp_path)
