"""The ROS 2 package; the library itself (``ssl_perception``) is installed with pip."""

from pathlib import Path

from setuptools import setup

NAME = "ssl_perception_ros"
NODES = (
    "scene_flow",
    "stereo_depth",
    "mono_depth",
    "depth_learner",
    "obstacle_distance",
    "avoid",
    "sim_world",
    "bag_player",
    "bag_recorder",
)
# launch/ lies at the repository's top level, where people look for it; setuptools wants paths
# relative to this file.
LAUNCH = Path("..", "..", "..", "launch")

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/config", [str(path) for path in sorted(Path("config").iterdir())]),
        (f"share/{NAME}/rviz", [str(path) for path in sorted(Path("rviz").iterdir())]),
        (f"share/{NAME}/launch", [str(path) for path in sorted(LAUNCH.glob("*.launch.py"))]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    maintainer="ssl_perception maintainers",
    maintainer_email="maintainers@example.org",
    description="ROS 2 nodes of ssl_perception",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{node} = {NAME}.{node}:main" for node in NODES]},
)
