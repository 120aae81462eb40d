"""Settings of the teacher (stereo, depth camera, lidar), the student, its learning, its trust."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ssl_perception.config.section import Section


class StereoConfig(Section):
    """Stereo as teacher: OpenCV semi-global block matching, and the gate that says when to trust
    it."""

    disparities: int = Field(
        0,
        ge=0,
        le=1024,
        multiple_of=16,
        description="search range, px, a multiple of 16 (0: an eighth of the image's width)",
    )
    block: int = Field(5, ge=3, le=21, description="window edge, px (odd)")
    mode: Literal["sgbm", "3way", "hh"] = Field("3way", description="OpenCV SGBM mode")
    uniqueness: int = Field(15, ge=0, le=100, description="margin of the best match, percent")
    speckle_window: int = Field(100, ge=0, le=10_000, description="px, smaller islands dropped")
    speckle_range: int = Field(2, ge=0, le=100, description="px, disparity step within an island")
    min_valid_fraction: float = Field(
        0.2, ge=0.0, le=1.0, description="share of pixels that must match, else invalid"
    )
    check_block: int = Field(
        9, ge=5, le=51, description="window edge of the block matcher that checks, px (odd)"
    )
    min_agreement: float = Field(
        0.2, ge=0.0, le=1.0, description="share of pixels where both matchers must agree"
    )
    texture: int = Field(
        12, ge=1, le=1000, description="horizontal Sobel response, grey levels, that is texture"
    )
    min_texture: float = Field(
        0.1, ge=0.0, le=1.0, description="share of the image near texture, else invalid"
    )
    max_row_offset: float = Field(
        0.5, gt=0.0, le=10.0, description="px the right image's rows may be off, else invalid"
    )
    max_yaw: float = Field(
        0.003,
        gt=0.0,
        le=0.2,
        description="rad the right camera may be turned sideways against the start, else invalid",
    )
    max_yaw_once: float = Field(
        0.0075, gt=0.0, le=0.2, description="rad that a single frame may show, else invalid"
    )
    yaw_window: float = Field(2.0, gt=0.0, le=600.0, description="s over which yaw is averaged")
    yaw_reference: float = Field(
        5.0, gt=0.0, le=600.0, description="s at the start that show the calibration's residue"
    )
    max_depth: float = Field(80.0, gt=0.1, le=1000.0, description="m, beyond is unknown")


class DepthCameraConfig(Section):
    """A depth camera as teacher: its range, and the gate that says when not to trust it."""

    min_depth: float = Field(0.2, ge=0.0, le=100.0, description="m, nearer is unknown")
    max_depth: float = Field(10.0, gt=0.1, le=1000.0, description="m, beyond is unknown")
    min_known: float = Field(
        0.2, ge=0.0, le=1.0, description="share of pixels with a depth in range, else invalid"
    )

    @model_validator(mode="after")
    def _ordered(self) -> DepthCameraConfig:
        if self.min_depth >= self.max_depth:
            raise ValueError("min_depth must be below max_depth")
        return self


class LidarTeacherConfig(Section):
    """A lidar as teacher: its newest sweep seen from the camera, and the gate."""

    min_depth: float = Field(0.5, ge=0.0, le=100.0, description="m before the camera; nearer: left")
    max_depth: float = Field(80.0, gt=0.1, le=1000.0, description="m, beyond is unknown")
    min_known: float = Field(
        0.05, ge=0.0, le=1.0, description="share of the depth grid's cells with a point, or invalid"
    )
    max_age: float = Field(
        0.25, gt=0.0, le=2.0, description="s between sweep and image; moved by the ego motion"
    )
    max_age_unmoved: float = Field(
        0.01, ge=0.0, le=2.0, description="s between them while the ego motion isn't known"
    )
    beam_gap: float = Field(
        0.035,
        ge=0.002,  # the search grid has a cell for a third of it
        le=0.2,
        description="rad between neighbouring beams, the largest (16 beams: 0.035, 64: 0.009); "
        "what is nearer by so small an angle may hide a point from the camera",
    )
    occlusion: bool = Field(
        True, description="leave out points that something nearer hides from the camera"
    )

    @model_validator(mode="after")
    def _ordered(self) -> LidarTeacherConfig:
        if self.min_depth >= self.max_depth:
            raise ValueError("min_depth must be below max_depth")
        return self


class TeacherConfig(Section):
    """Which range sensor is trusted, and teaches the student."""

    source: Literal["stereo", "depth", "lidar"] = Field(
        "stereo",
        description="stereo: two cameras; depth: a depth camera; lidar: sweeps seen by a camera",
    )
    depth: DepthCameraConfig = DepthCameraConfig()
    lidar: LidarTeacherConfig = LidarTeacherConfig()


class PseudoLabelConfig(Section):
    """From the teacher's depth to the student's training target."""

    min_known: float = Field(
        0.3, ge=0.0, le=1.0, description="mean confidence that a cell of the label needs"
    )


class StudentConfig(Section):
    """The network that learns depth from one image."""

    size: Literal["nano", "small", "base"] = Field(
        "nano",
        description="of a new network; nano and small see 160x120 px, base 320x240",
    )
    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        "cpu", description="what runs it; refused, not replaced, where it is missing"
    )
    fall_back: bool = Field(False, description="take the next best provider instead of refusing")
    threads: int = Field(1, ge=1, le=64, description="threads for inference")
    free: float = Field(
        1.1, gt=0.0, le=500.0, description="m; a cell that reads so much or more claims free space"
    )
    exclude: float = Field(
        0.6,
        ge=0.0,
        le=500.0,
        description="m; unless its error's bound excludes an obstacle so near, it is unknown",
    )
    max_novelty: float = Field(
        0.5,
        gt=0.0,
        le=2.0,
        description="feature distance to the replay memory beyond which mono is invalid",
    )
    place_window: float = Field(
        15.0, gt=0.0, le=600.0, description="s over which novelty tells a new place from a known"
    )
    new_place: float = Field(
        1.25,
        gt=1.0,
        le=100.0,
        description="mean novelty there, as a multiple of what is usual in known places",
    )


class ReplayMemoryConfig(Section):
    """The frames that the student learns from again and again."""

    frames: int = Field(2000, ge=8, le=100_000, description="kept at most")
    megabytes: float = Field(128.0, ge=1.0, le=65_536.0, description="memory at most, MiB")
    policy: Literal["coverage", "recent"] = Field(
        "coverage", description="what stays: the most varied frames, or the newest"
    )


class LearnerConfig(Section):
    """How the student learns from stereo while the robot works."""

    learning_rate: float = Field(2e-3, gt=0.0, le=1.0, description="AdamW step; never decays")
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0, description="AdamW decay")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where the student learns; auto: the GPU where there is one"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of a step's convolutions; weights and losses are always float32",
    )
    prior: str = Field(
        "shipped",
        description="what a fresh student starts from: shipped (nano only), none, or a file",
    )
    pinned_share: float = Field(
        0.12, ge=0.0, le=1.0, description="of the remembered frames in a batch are the prior's"
    )
    batch: int = Field(8, ge=2, le=256, description="the newest frame and the rest from memory")
    averaging: float = Field(
        0.03,
        gt=0.0,
        le=1.0,
        description="rate of the exponential moving average of the deployed weights",
    )
    huber: float = Field(0.1, gt=0.0, le=10.0, description="log depth error where L2 turns to L1")
    gradient_weight: float = Field(
        0.5, ge=0.0, le=100.0, description="weight of the depth gradient term"
    )
    near_weight: float = Field(
        3.0, ge=0.0, le=100.0, description="extra weight of a cell at 1 m; of one at 2 m half of it"
    )
    uncertainty_weight: float = Field(
        0.1, ge=0.0, le=100.0, description="weight of what teaches the student its own error"
    )
    near: float = Field(
        1.1, gt=0.0, le=100.0, description="m; the error's bound is calibrated on what is nearer"
    )
    miss_rate: float = Field(
        0.01,
        gt=0.0,
        lt=0.5,
        description="share of near cells that may lie nearer than their bound and those beside it",
    )
    calibration_rate: float = Field(
        0.2, gt=0.0, le=1.0, description="step of the bound's calibration, per frame"
    )
    take_back: float = Field(
        1.0,
        ge=0.0,
        le=60.0,
        description="s before stereo came under suspicion whose labels are taken back",
    )
    clip: float = Field(5.0, gt=0.0, le=1000.0, description="largest gradient norm")
    boost: float = Field(
        1.0, ge=0.0, le=10.0, description="extra step size, as a share, in a new scene"
    )
    boost_steps: float = Field(
        100.0, gt=0.0, le=100_000.0, description="steps in which the boost falls to 37 %"
    )
    zoom: float = Field(
        2.0, ge=1.0, le=8.0, description="largest enlargement that stands in for being nearer"
    )
    zoom_share: float = Field(0.25, ge=0.0, le=1.0, description="of the frames are enlarged")
    gain: float = Field(0.15, ge=0.0, le=0.9, description="random brightness, +- this share")
    snapshot_steps: int = Field(
        100, ge=1, le=100_000, description="steps between good states to roll back to"
    )
    save_seconds: float = Field(
        5.0, gt=0.0, le=3600.0, description="s between generations in the model store"
    )
    memory: ReplayMemoryConfig = ReplayMemoryConfig()


class TextonsConfig(Section):
    """The baseline: texton histograms and a regressor (van Hecke et al., arXiv 1603.08047)."""

    words: int = Field(30, ge=2, le=1000, description="per dictionary (intensity, gradient)")
    dictionary_frames: int = Field(
        30, ge=1, le=10_000, description="images from which the dictionaries are made"
    )
    samples: int = Field(4500, ge=10, le=1_000_000, description="frames remembered")
    regressor: Literal["knn", "ridge"] = Field("ridge", description="what maps textons to distance")
    neighbours: int = Field(5, ge=1, le=1000, description="k of knn")
    ridge: float = Field(0.1, gt=0.0, le=1000.0, description="regularisation of ridge")
    far: float = Field(5.0, gt=0.1, le=1000.0, description="m; farther counts as this")


class TrustConfig(Section):
    """When the student may drive."""

    trigger: float = Field(1.1, gt=0.0, le=100.0, description="an obstacle is nearer than this, m")
    ahead: float = Field(
        0.35, gt=0.0, le=3.15, description="rad either side of ahead that the tests look at"
    )
    target_tpr: float = Field(
        0.95, gt=0.0, le=1.0, description="true positive rate that calibration aims at"
    )
    threshold_cap: float = Field(
        1.8, gt=0.0, le=200.0, description="m; calibration goes no farther"
    )
    min_tpr: float = Field(0.8, ge=0.0, le=1.0, description="lower bound of TPR to earn trust")
    max_fpr: float = Field(0.2, ge=0.0, le=1.0, description="upper bound of FPR to earn trust")
    hysteresis: float = Field(
        0.1, ge=0.0, le=1.0, description="by how much a bound may slip before trust is lost"
    )
    z: float = Field(1.645, gt=0.0, le=5.0, description="of the Wilson bounds (1.645: 95 %)")
    min_positives: int = Field(
        20, ge=1, le=10_000, description="near obstacles seen before anything is judged"
    )
    margin: float = Field(
        0.15, ge=0.0, le=1.0, description="an obstacle so much beyond trigger is no false alarm"
    )
    near_window: int = Field(
        60, ge=1, le=10_000, description="newest near obstacles that calibrate, and that judge"
    )
    clear_window: int = Field(150, ge=50, le=100_000, description="newest clear views that judge")
    sample_interval: float = Field(
        0.3, ge=0.0, le=60.0, description="s between tests; closer frames are one and the same"
    )
    max_age: float = Field(
        900.0, gt=0.0, le=1e6, description="s since the last test beyond which trust lapses"
    )
    max_distance: float = Field(
        300.0,
        gt=0.0,
        le=1e6,
        description="m of odometry since the last test beyond which trust lapses",
    )
    recover_frames: int = Field(
        5, ge=1, le=1000, description="valid stereo frames in a row before stereo counts again"
    )
    bias_jump: float = Field(
        0.25, gt=0.0, le=5.0, description="sudden change of log(mono / stereo) that is a fault"
    )
    drift_slack: float = Field(
        0.1, ge=0.0, le=5.0, description="error above its mean that is no drift, log depth"
    )
    drift_limit: float = Field(
        8.0, gt=0.0, le=1000.0, description="accumulated excess error that is drift"
    )
    override: float = Field(
        0.6, gt=0.0, le=100.0, description="m; stereo may override mono nearer than this"
    )
    override_sum: float = Field(
        3.0, ge=0.0, le=1000.0, description="accumulated override / distance that overrides"
    )
    mono_drives: bool = Field(
        True, description="let a trusted student drive while stereo guards it"
    )
