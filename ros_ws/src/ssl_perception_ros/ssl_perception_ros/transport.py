"""Large messages between processes: Fast DDS's shared memory with room for whole sweeps.

With its default transports a 1.6 MB best-effort cloud arrives once in ten times, a 4 MB one never.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

# Fast DDS 2.14 (Jazzy) reads the second alone, newer ones the first
VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def profile() -> Path:
    """The shared-memory profile: in the wheel, in the source tree, or installed beside the
    launch files."""
    package = Path(__file__).resolve().parent
    beside_source = package.parent / "config" / "fastdds.xml"
    in_wheel = package / "config" / "fastdds.xml"
    for file in (in_wheel, beside_source):
        if file.is_file():
            return file
    try:
        return Path(get_package_share_directory("ssl_perception_ros")) / "config" / "fastdds.xml"
    except (PackageNotFoundError, LookupError):
        return beside_source


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Both variables, so that every Fast DDS reads the same profile: the one that ``given`` names
    already, else ours; empty when there is none."""
    named = next((given[name] for name in VARIABLES if given.get(name)), "")
    if not named and profile().is_file():
        named = str(profile())
    return {name: given.get(name) or named for name in VARIABLES} if named else {}


def use_shared_memory() -> None:
    """Let this process use the profile, unless its environment names one already.

    Must run before ``rclpy.init``.
    """
    os.environ.update(environment(os.environ))
