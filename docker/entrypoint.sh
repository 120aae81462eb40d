#!/bin/bash
# The environment of ROS, of the nodes and of the library, then whatever is asked for.
set -e
# shellcheck source=/dev/null
source "/opt/ros/${ROS_DISTRO}/setup.bash"
# shellcheck source=/dev/null
source /opt/ssl_perception/.venv/bin/activate
# shellcheck source=/dev/null
source /opt/ssl_perception/ros_ws/install/setup.bash
exec "$@"
