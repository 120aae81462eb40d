"""The ROS 2 package; the library itself (``ssl_perception``) is installed with pip."""

from pathlib import Path

from setuptools import setup

NAME = "ssl_perception_ros"
NODES = (
    "scene_flow",
    "stereo_depth",
    "depth_teacher",
    "mono_depth",
    "depth_learner",
    "obstacle_distance",
    "avoid",
    "sim_world",
    "bag_player",
    "bag_recorder",
    "component_container",
)

FOLDERS = ("config", "launch", "rviz")

setup(
    name=NAME,
    version="0.1.0",
    packages=[NAME],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *(
            (f"share/{NAME}/{folder}", [str(path) for path in sorted(Path(folder).glob("*.*"))])
            for folder in FOLDERS
        ),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},  # by which colcon knows how to test
    zip_safe=True,
    maintainer="ssl_perception maintainers",
    maintainer_email="maintainers@example.org",
    description="ROS 2 nodes of ssl_perception",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"{node} = {NAME}.{node}:main" for node in NODES]},
)
