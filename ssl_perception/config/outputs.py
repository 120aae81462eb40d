"""Settings of what comes out beside the usual messages."""

from __future__ import annotations

from pydantic import Field, field_validator

from ssl_perception.config.section import Section

# further outputs by name -> message; those of other packages need these to be installed
FURTHER_OUTPUTS = {
    "detections": "vision_msgs/msg/Detection3DArray",
    "detected_objects": "autoware_perception_msgs/msg/DetectedObjects",
    "tracked_objects": "autoware_perception_msgs/msg/TrackedObjects",
    "px4_obstacle_distance": "px4_msgs/msg/ObstacleDistance",
    "depth_points": "sensor_msgs/msg/PointCloud2",
    "obstacle_points": "sensor_msgs/msg/PointCloud2",
}


class OutputsConfig(Section):
    """Further outputs, for consumers with messages of their own."""

    also: str = Field(
        "", description="further outputs, separated by spaces: " + ", ".join(FURTHER_OUTPUTS)
    )

    @field_validator("also")
    @classmethod
    def _are_known(cls, names: str) -> str:
        for name in names.split():
            if name not in FURTHER_OUTPUTS:
                raise ValueError(f"there is no output {name!r}")
        return names
