"""A node that is busy in native code for minutes while it is configured, as a compiler is."""

from __future__ import annotations

import hashlib

from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run


def native_work() -> None:
    print("busy", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


class SlowStartNode(PerceptionNode):
    def __init__(self) -> None:
        super().__init__("slow_start")

    def prepare(self) -> None:
        self.health = Health("sweeps", 0.5)
        self.wait_for(native_work, "compiling kernels")


raise SystemExit(run(SlowStartNode))
