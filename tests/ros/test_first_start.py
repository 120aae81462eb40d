"""A node that is being configured, for minutes if need be: it answers, and ends when asked to."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState

from ssl_perception.runtime.ros_processes import Nodes, environment

pytestmark = pytest.mark.ros


def test_an_end_while_a_node_is_configured_is_no_failure(nodes: Nodes) -> None:
    """Ctrl-C while a world is being built: publishers can't be made any more."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("failing_node.py")), "dying_early"],
        env=nodes._environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_node_that_is_still_compiling_ends_at_once(nodes: Nodes) -> None:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_start_node.py"))],
        env=nodes._environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert any(line == "busy\n" for line in process.stdout)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "")


def test_a_node_that_is_still_compiling_answers_and_says_so(domain: int) -> None:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_start_node.py"))],
        env=environment(domain),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    rclpy.init(domain_id=domain)
    try:
        listener = rclpy.create_node("listener")
        told: list[str] = []

        def take(message: DiagnosticArray) -> None:
            told.extend(status.message for status in message.status)

        listener.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
        client = listener.create_client(GetState, "/slow_start/get_state")
        assert client.wait_for_service(60.0)
        answer = client.call_async(GetState.Request())
        rclpy.spin_until_future_complete(listener, answer, timeout_sec=20.0)
        state = answer.result()
        assert state is not None and state.current_state.label == "configuring"
        until = time.monotonic() + 20.0
        while len(told) < 4 and time.monotonic() < until:  # one a second
            rclpy.spin_once(listener, timeout_sec=0.1)
        assert len(told) == 4 and set(told) == {"compiling kernels"}
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 0 and "compiling kernels ..." in said
    finally:
        process.kill()
        rclpy.try_shutdown()
