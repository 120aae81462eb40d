"""A process that is one node, or several: from its start to a clean end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial

import rclpy
from rclpy.exceptions import NameValidationException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.task import Future

from ssl_perception_ros import transport
from ssl_perception_ros.exchange import Exchange
from ssl_perception_ros.node import PerceptionNode


def run(factory: Callable[[], PerceptionNode], arguments: list[str] | None = None) -> int:
    """Live as this node until SIGINT, SIGTERM or its own end.

    Returns:
        0; or 2 when parameters or input can't be used, after one line on stderr.
    """
    return run_together([factory], arguments)


def run_together(
    factories: Sequence[Callable[[], PerceptionNode]], arguments: list[str] | None = None
) -> int:
    """Live as these nodes, in one executor, until SIGINT, SIGTERM or the end of one of them.

    Returns:
        0; or 2 when parameters or input of one can't be used, after one line on stderr.
    """
    transport.use_shared_memory()
    nodes: list[PerceptionNode] = []
    code, initialised = 0, False
    try:
        rclpy.init(args=arguments)
        initialised = True
        executor = SingleThreadedExecutor()
        exchange = Exchange() if len(factories) > 1 else None
        done = Future()
        for factory in factories:
            node = factory()
            node.output.exchange = exchange
            node.done.add_done_callback(partial(_end, done))
            executor.add_node(node)
            nodes.append(node)
        # first all publishers, so that those who subscribe know which are in this process
        if all(node.configure() for node in nodes) and all(node.activate() for node in nodes):
            executor.spin_until_future_complete(done)
            if done.result() is False:
                code = 2
        elif rclpy.ok():
            code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (ValueError, RuntimeError, NameValidationException) as error:
        ending = initialised and not rclpy.ok()  # whatever publishes then fails without a context
        if len(nodes) < len(factories) and not ending:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            code = 2
        elif not ending:
            raise
    # Ctrl-C under `ros2 launch` can come twice; the second must not cut the first one's end short
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for node in nodes:
        node.close()
    rclpy.try_shutdown()
    if any(node.unfinished for node in nodes):
        # A solver still runs in native code. Waiting for it could take minutes, and Python's own
        # end could crash under it. Everything is closed: leave.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _end(done: Future, ended: Future) -> None:
    if not done.done():
        done.set_result(ended.result())
