"""Every setting of the runtime, declared once.

The YAML file, the ROS parameters, the command line's ``--set`` and the table in the docs all derive
from this tree. Each setting has a default that works, a unit, bounds, and a reason. Unknown keys
and values out of bounds are refused with one line that names the key.
"""

from __future__ import annotations

from ssl_perception.config.depth import (
    DepthCameraConfig,
    LearnerConfig,
    LidarTeacherConfig,
    PseudoLabelConfig,
    ReplayMemoryConfig,
    StereoConfig,
    StudentConfig,
    TeacherConfig,
    TextonsConfig,
    TrustConfig,
)
from ssl_perception.config.flow import (
    AccumulationConfig,
    EgoMotionConfig,
    EvidenceConfig,
    FastNsfConfig,
    FlowConfig,
    GroundConfig,
    NeuralPriorConfig,
    NsfpConfig,
    OnlineConfig,
    RefinementConfig,
    RigidClusterConfig,
    ScoopConfig,
    TrackingConfig,
    VehicleConfig,
)
from ssl_perception.config.loading import (
    RENAMED,
    from_dict,
    load,
    override,
    preset,
    presets,
)
from ssl_perception.config.obstacles import (
    AvoidConfig,
    CollisionConfig,
    LidarScanConfig,
    ScanConfig,
)
from ssl_perception.config.outputs import FURTHER_OUTPUTS, OutputsConfig
from ssl_perception.config.section import AnySection, Section, Setting, flat, settings
from ssl_perception.config.sensors import (
    CameraConfig,
    CameraMountConfig,
    FilesConfig,
    LidarMountConfig,
    PointsConfig,
    TopicsConfig,
)
from ssl_perception.config.table import markdown_table
from ssl_perception.config.tree import Config
from ssl_perception.config.yaml_text import parse_yaml, read_yaml, shown

__all__ = [
    "FURTHER_OUTPUTS",
    "RENAMED",
    "AccumulationConfig",
    "AnySection",
    "AvoidConfig",
    "CameraConfig",
    "CameraMountConfig",
    "CollisionConfig",
    "Config",
    "DepthCameraConfig",
    "EgoMotionConfig",
    "EvidenceConfig",
    "FastNsfConfig",
    "FilesConfig",
    "FlowConfig",
    "GroundConfig",
    "LearnerConfig",
    "LidarMountConfig",
    "LidarScanConfig",
    "LidarTeacherConfig",
    "NeuralPriorConfig",
    "NsfpConfig",
    "OnlineConfig",
    "OutputsConfig",
    "PointsConfig",
    "PseudoLabelConfig",
    "RefinementConfig",
    "ReplayMemoryConfig",
    "RigidClusterConfig",
    "ScanConfig",
    "ScoopConfig",
    "Section",
    "Setting",
    "StereoConfig",
    "StudentConfig",
    "TeacherConfig",
    "TextonsConfig",
    "TopicsConfig",
    "TrackingConfig",
    "TrustConfig",
    "VehicleConfig",
    "flat",
    "from_dict",
    "load",
    "markdown_table",
    "override",
    "parse_yaml",
    "preset",
    "presets",
    "read_yaml",
    "settings",
    "shown",
]
