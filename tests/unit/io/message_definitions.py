"""Definitions of other packages' messages, without comments and constants, as they install them."""

from __future__ import annotations

from pathlib import Path

DEFINITIONS = {
    "vision_msgs": {
        "Detection3DArray": "std_msgs/Header header\nDetection3D[] detections\n",
        "Detection3D": (
            "std_msgs/Header header\nObjectHypothesisWithPose[] results\n"
            "BoundingBox3D bbox\nstring id\n"
        ),
        "ObjectHypothesisWithPose": (
            "ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose\n"
        ),
        "ObjectHypothesis": "string class_id\nfloat64 score\n",
        "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n",
    },
    "autoware_perception_msgs": {
        "DetectedObjects": "std_msgs/Header header\nDetectedObject[] objects\n",
        "DetectedObject": (
            "float32 existence_probability\nObjectClassification[] classification\n"
            "DetectedObjectKinematics kinematics\nShape shape\n"
        ),
        "DetectedObjectKinematics": (
            "geometry_msgs/PoseWithCovariance pose_with_covariance\nbool has_position_covariance\n"
            "uint8 orientation_availability\n"
            "geometry_msgs/TwistWithCovariance twist_with_covariance\n"
            "bool has_twist\nbool has_twist_covariance\n"
        ),
        "TrackedObjects": "std_msgs/Header header\nTrackedObject[] objects\n",
        "TrackedObject": (
            "unique_identifier_msgs/UUID object_id\nfloat32 existence_probability\n"
            "ObjectClassification[] classification\nTrackedObjectKinematics kinematics\n"
            "Shape shape\n"
        ),
        "TrackedObjectKinematics": (
            "geometry_msgs/PoseWithCovariance pose_with_covariance\n"
            "geometry_msgs/TwistWithCovariance twist_with_covariance\n"
            "geometry_msgs/AccelWithCovariance acceleration_with_covariance\n"
            "uint8 orientation_availability\nbool is_stationary\n"
        ),
        "ObjectClassification": "uint8 label\nfloat32 probability\n",
        "Shape": (
            "uint8 type\ngeometry_msgs/Polygon footprint\ngeometry_msgs/Vector3 dimensions\n"
        ),
    },
    "px4_msgs": {
        "ObstacleDistance": (
            "uint64 timestamp\nuint8 frame\nuint8 sensor_type\nuint16[72] distances\n"
            "float32 increment\nuint16 min_distance\nuint16 max_distance\nfloat32 angle_offset\n"
        ),
    },
}


def install(prefix: Path, *packages: str) -> None:
    """Put definitions where an installation has them."""
    for package in packages:
        folder = prefix / "share" / package / "msg"
        folder.mkdir(parents=True)
        for name, text in DEFINITIONS[package].items():
            (folder / f"{name}.msg").write_text(text)
