"""ROS parameters are the settings: what was renamed is refused by its new name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import rclpy

from ssl_perception.config import RENAMED
from ssl_perception.errors import InputError
from ssl_perception_ros.obstacle_distance import ObstacleDistanceNode

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_setting_is_one_error_that_names_the_new_one(
    old: str, new: str, domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``run`` prints it and ends the process with code 2, as it does for a name that never was."""
    monkeypatch.setenv("ROS_HOME", str(tmp_path))
    rclpy.init(args=["--ros-args", "-p", f"{old}:=0.5"], domain_id=domain)
    try:
        line = f"^parameter '{re.escape(old)}' is now called {re.escape(new)}$"
        with pytest.raises(InputError, match=line):
            ObstacleDistanceNode()
    finally:
        rclpy.try_shutdown()
