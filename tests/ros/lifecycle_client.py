"""Take a node through its life and print each state: configure, activate, and back again."""

from __future__ import annotations

import sys
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

TRANSITIONS = (
    Transition.TRANSITION_CONFIGURE,
    Transition.TRANSITION_ACTIVATE,
    Transition.TRANSITION_DEACTIVATE,
    Transition.TRANSITION_CLEANUP,
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
)


def main(name: str) -> None:
    rclpy.init()
    node = rclpy.create_node("lifecycle_client")

    def call(kind: Any, service: str, request: Any) -> Any:
        client = node.create_client(kind, f"/{name}/{service}")
        if not client.wait_for_service(60.0):
            raise SystemExit(f"/{name}/{service} isn't there")
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=60.0)
        return future.result()

    def state() -> str:
        return call(GetState, "get_state", GetState.Request()).current_state.label

    print(state())
    for transition in TRANSITIONS:
        request = ChangeState.Request(transition=Transition(id=transition))
        if not call(ChangeState, "change_state", request).success:
            raise SystemExit(f"transition {transition} refused")
        print(state())
    rclpy.shutdown()


main(sys.argv[1])
