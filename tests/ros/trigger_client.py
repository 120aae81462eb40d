"""Call a std_srvs/Trigger service and print what it answers: ``python trigger_client.py NAME``."""

import sys

import rclpy
from std_srvs.srv import Trigger

rclpy.init()
node = rclpy.create_node("trigger_client")
client = node.create_client(Trigger, sys.argv[1])
if not client.wait_for_service(timeout_sec=20.0):
    sys.exit(f"no service {sys.argv[1]}")
future = client.call_async(Trigger.Request())
rclpy.spin_until_future_complete(node, future, timeout_sec=30.0)
answer = future.result()
print(answer.success, answer.message)
rclpy.try_shutdown()
