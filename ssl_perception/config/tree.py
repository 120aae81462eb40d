"""The whole tree of settings."""

from __future__ import annotations

from ssl_perception.config.depth import (
    LearnerConfig,
    PseudoLabelConfig,
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
    FlowConfig,
    GroundConfig,
    OnlineConfig,
    TrackingConfig,
)
from ssl_perception.config.obstacles import (
    AvoidConfig,
    CollisionConfig,
    LidarScanConfig,
    ScanConfig,
)
from ssl_perception.config.outputs import OutputsConfig
from ssl_perception.config.section import Section
from ssl_perception.config.sensors import (
    CameraConfig,
    CameraMountConfig,
    FilesConfig,
    LidarMountConfig,
    PointsConfig,
    TopicsConfig,
)


class Config(Section):
    """The whole runtime."""

    topics: TopicsConfig = TopicsConfig()
    files: FilesConfig = FilesConfig()
    camera: CameraConfig = CameraConfig()
    points: PointsConfig = PointsConfig()
    lidar_mount: LidarMountConfig = LidarMountConfig()
    camera_mount: CameraMountConfig = CameraMountConfig()
    ego_motion: EgoMotionConfig = EgoMotionConfig()
    ground: GroundConfig = GroundConfig()
    flow: FlowConfig = FlowConfig()
    online: OnlineConfig = OnlineConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    tracks: TrackingConfig = TrackingConfig()
    accumulation: AccumulationConfig = AccumulationConfig()
    teacher: TeacherConfig = TeacherConfig()
    stereo: StereoConfig = StereoConfig()
    pseudo_label: PseudoLabelConfig = PseudoLabelConfig()
    student: StudentConfig = StudentConfig()
    learner: LearnerConfig = LearnerConfig()
    trust: TrustConfig = TrustConfig()
    textons: TextonsConfig = TextonsConfig()
    scan: ScanConfig = ScanConfig()
    lidar_scan: LidarScanConfig = LidarScanConfig()
    collision: CollisionConfig = CollisionConfig()
    avoid: AvoidConfig = AvoidConfig()
    outputs: OutputsConfig = OutputsConfig()
