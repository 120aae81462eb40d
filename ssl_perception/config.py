"""Every setting of the runtime, declared once.

The YAML file, the ROS parameters, the command line's ``--set`` and the table in the docs all derive
from this tree. Each setting has a default that works, a unit, bounds, and a reason. Unknown keys
and values out of bounds are refused with one line that names the key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ssl_perception.errors import InputError

MAX_YAML_BYTES = 1 << 20


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


class Topics(Section):
    """Which recorded topics to use.

    Empty: the only one, or the obvious one, of the right type. "-": don't use this sensor.
    """

    points: str = Field("", description="sensor_msgs/PointCloud2 with lidar sweeps")
    odom: str = Field("", description="nav_msgs/Odometry; used for ego motion when given")
    left_image: str = Field("", description="sensor_msgs/Image, left, rectified")
    right_image: str = Field("", description="sensor_msgs/Image, right, rectified")
    left_info: str = Field("", description="sensor_msgs/CameraInfo of the left image")
    right_info: str = Field("", description="sensor_msgs/CameraInfo of the right image")
    stereo_tolerance: float = Field(
        0.002, ge=0.0, le=0.02, description="stamps of left and right may differ by so much, s"
    )


class LidarMount(Section):
    """Where the lidar sits on the body that the odometry speaks of (REP 103, body from lidar)."""

    x: float = Field(0.0, ge=-100.0, le=100.0, description="ahead of the body's origin, m")
    y: float = Field(0.0, ge=-100.0, le=100.0, description="left of it, m")
    z: float = Field(0.0, ge=-100.0, le=100.0, description="above it, m")
    roll: float = Field(0.0, ge=-3.1416, le=3.1416, description="about x, rad")
    pitch: float = Field(0.0, ge=-3.1416, le=3.1416, description="about y, rad, nose down positive")
    yaw: float = Field(0.0, ge=-3.1416, le=3.1416, description="about z, rad, to the left positive")


class EgoMotion(Section):
    """Sweep-to-sweep registration (small_gicp)."""

    points: int = Field(
        40_000, ge=1000, description="at most so many points enter, at an even stride"
    )
    voxel: float = Field(0.35, ge=0.05, le=5.0, description="down-sampling edge, m")
    max_correspondence: float = Field(1.0, gt=0.0, le=10.0, description="match radius, m")
    iterations: int = Field(30, ge=1, le=200, description="at most so many Gauss-Newton steps")
    threads: int = Field(2, ge=1, le=64, description="threads for registration")


class Ground(Section):
    """Ground segmentation (Patchwork++)."""

    sensor_height: float = Field(
        1.73, ge=0.0, le=10.0, description="lidar above the ground, m (0: estimate from the sweep)"
    )
    max_range: float = Field(80.0, gt=1.0, le=500.0, description="ignore points beyond, m")
    min_range: float = Field(1.0, ge=0.0, le=20.0, description="ignore points nearer, m")


class Online(Section):
    """Sweep after sweep."""

    max_range: float = Field(
        50.0, gt=1.0, le=300.0, description="flow within |x|, |y| of the sensor, m; beyond: unknown"
    )
    min_range: float = Field(
        1.6,
        ge=0.0,
        le=50.0,
        description="nearer may be the robot itself, m: motion unknown (1.6 clears a car's roof)",
    )
    deskew: bool = Field(
        True, description="undo the robot's motion inside a sweep where points carry a time"
    )


class Evidence(Section):
    """When a claimed motion is believed: what the beams of earlier sweeps went through."""

    sweeps: int = Field(5, ge=1, le=50, description="earlier sweeps that are remembered")
    min_points: int = Field(
        5, ge=1, le=1000, description="sampled points that can't have stood still ..."
    )
    min_share: float = Field(
        0.12, ge=0.0, le=1.0, description="... and their share of those sampled (at most 128)"
    )
    max_contradicted: float = Field(
        0.25, ge=0.0, le=1.0, description="share of earlier places that may have been seen free"
    )


class Tracks(Section):
    """Moving objects from sweep to sweep (constant-velocity Kalman filter)."""

    acceleration: float = Field(
        3.0, gt=0.0, le=100.0, description="how much objects accelerate, m/s² (process noise)"
    )
    gate: float = Field(
        4.0, gt=0.0, le=100.0, description="standard deviations within which a track goes on"
    )
    keep: float = Field(0.5, ge=0.0, le=10.0, description="s that a track lives on unseen")
    confirm: int = Field(3, ge=1, le=20, description="sweeps until an object is fully believed")


class NeuralPrior(Section):
    """NSFP (NeurIPS 2021); defaults as in the authors' code, on all points."""

    # as published: the authors' run scripts differ in patience alone (KITTI, Argoverse)
    PRESETS: ClassVar[dict[str, dict[str, float | int]]] = {
        "kitti": {"patience": 70, "points": 0},
        "kitti-8192": {"patience": 70, "points": 8192},
        "argoverse": {"patience": 30, "points": 0},
        "argoverse-8192": {"patience": 30, "points": 8192},
        "argoverse-2048": {"patience": 30, "points": 2048},
    }

    hidden: int = Field(128, ge=4, le=1024, description="units per hidden layer")
    layers: int = Field(8, ge=1, le=32, description="hidden layers")
    learning_rate: float = Field(8e-3, gt=0, le=1.0, description="Adam step")
    iterations: int = Field(5000, ge=1, le=100_000, description="at most so many steps")
    patience: int = Field(100, ge=1, le=10_000, description="steps without gain before stopping")
    min_delta: float = Field(1e-4, ge=0, le=1.0, description="least loss change that is gain, m²")
    points: int = Field(0, ge=0, le=10_000_000, description="random points to fit (0: all)")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: the GPU where there is one"
    )


class FastNeuralPrior(Section):
    """FastNSF (ICCV 2023); defaults: the authors' full-cloud setting with a patient stop."""

    # README: the authors' two commands. They stop after some twenty steps on ego-compensated
    # clouds, where statics dominate the loss; "patient" is OpenSceneFlow's stop.
    PRESETS: ClassVar[dict[str, dict[str, float | int]]] = {
        "readme": {"learning_rate": 8e-3, "patience": 10, "min_delta": 1e-3, "points": 0},
        "readme-8192": {"learning_rate": 1e-2, "patience": 5, "min_delta": 1e-3, "points": 8192},
        "patient": {"learning_rate": 8e-3, "patience": 30, "min_delta": 5e-5, "points": 0},
        "patient-8192": {"learning_rate": 8e-3, "patience": 30, "min_delta": 5e-5, "points": 8192},
        "patient-2048": {"learning_rate": 8e-3, "patience": 30, "min_delta": 5e-5, "points": 2048},
    }

    hidden: int = Field(128, ge=4, le=1024, description="units per hidden layer")
    layers: int = Field(8, ge=1, le=32, description="hidden layers")
    learning_rate: float = Field(8e-3, gt=0, le=1.0, description="Adam step")
    iterations: int = Field(5000, ge=1, le=100_000, description="at most so many steps")
    patience: int = Field(30, ge=1, le=10_000, description="steps without gain before stopping")
    min_delta: float = Field(5e-5, ge=0, le=1.0, description="least loss change that is gain, m")
    cell: float = Field(0.1, gt=0.01, le=2.0, description="edge of a distance-transform cell, m")
    points: int = Field(0, ge=0, le=10_000_000, description="random points to fit (0: all)")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: the GPU where there is one"
    )


class RigidCluster(Section):
    """Our solver: static unless a cluster earns its motion."""

    max_range: float = Field(
        50.0, gt=1.0, le=300.0, description="solve within |x|,|y| of the sensor <= this, m"
    )
    max_speed: float = Field(
        30.0, gt=0.0, le=100.0, description="fastest motion over ground searched for, m/s"
    )
    match_base: float = Field(
        0.22, gt=0.0, le=2.0, description="voxels nearer than this to one of the other sweep, m ..."
    )
    match_per_metre: float = Field(
        0.004, ge=0.0, le=0.1, description="... plus so much per metre of range, haven't moved"
    )
    max_hover: float = Field(
        3.0,
        gt=0.0,
        le=1000.0,
        description="what hangs higher than this above all within some 15 m doesn't move, m: "
        "foliage, roofs (1000: anything may fly)",
    )
    threads: int = Field(
        2, ge=1, le=2, description="threads for a pair of sweeps; the answer is the same"
    )


class MovingPrior(Section):
    """``neural_prior``: the prior fitted only to moving clusters, about their rigid motion."""

    rigid: RigidCluster = RigidCluster()
    hidden: int = Field(32, ge=4, le=1024, description="units per hidden layer")
    layers: int = Field(3, ge=1, le=32, description="hidden layers")
    learning_rate: float = Field(4e-3, gt=0, le=1.0, description="Adam step")
    iterations: int = Field(40, ge=1, le=100_000, description="at most so many steps a cluster")
    patience: int = Field(20, ge=1, le=10_000, description="steps without gain before stopping")
    min_delta: float = Field(1e-4, ge=0, le=1.0, description="least loss change that is gain, m")
    cell: float = Field(0.05, gt=0.01, le=2.0, description="edge of a distance-field cell, m")
    truncation: float = Field(0.3, gt=0.0, le=5.0, description="m; distances beyond don't pull")
    stiffness: float = Field(20.0, ge=0.0, le=1e3, description="price of bending, 1/m")
    min_points: int = Field(20, ge=3, le=100_000, description="smaller clusters stay rigid")
    max_size: float = Field(
        2.5, gt=0.0, le=100.0, description="m; longer clusters stay rigid: vehicles don't bend"
    )


class Refinement(Section):
    """SCOOP's run-time refinement of each point's flow."""

    steps: int = Field(150, ge=0, le=100_000, description="Adam steps (0: correspondence alone)")
    learning_rate: float = Field(0.2, gt=0, le=10.0, description="Adam step, m")
    smoothness: float = Field(2.0, ge=0.0, le=1e3, description="price of neighbours' difference")
    neighbours: int = Field(32, ge=1, le=256, description="that should move alike")
    reach: float = Field(
        2.0, ge=0.0, le=100.0, description="m; neighbours farther off needn't (0: all must)"
    )
    truncation: float = Field(
        1.0, ge=0.0, le=100.0, description="m; a point farther off pulls no more (0: all pull)"
    )
    two_sided: bool = Field(True, description="target points pull, too")
    settle: float = Field(
        0.03,
        ge=0.0,
        le=1.0,
        description="m that a flow must bring a point's surroundings nearer to the target than "
        "standing still does, or the point stands still (0: as published)",
    )

    @classmethod
    def published(
        cls, steps: int, learning_rate: float, two_sided: bool = False, neighbours: int = 32
    ) -> Refinement:
        """As in the authors' code: untruncated, over all neighbours, nothing settled."""
        return cls(
            steps=steps,
            learning_rate=learning_rate,
            two_sided=two_sided,
            neighbours=neighbours,
            smoothness=1.0,
            reach=0.0,
            truncation=0.0,
            settle=0.0,
        )


class Scoop(Section):
    """SCOOP (CVPR 2023): learned correspondence, then refinement at run time.

    The defaults are for ego-compensated streets, where most points stand still.
    """

    # as published: KITTI_t and KITTI_s, FT3D_s, and all points ("+")
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "kitti": {"support": 10.0, "prior": 0.0, "refinement": Refinement.published(1000, 0.05)},
        "ft3d": {
            "support": 10.0,
            "prior": 0.0,
            "refinement": Refinement.published(1000, 0.1, True, 16),
        },
        "all": {"support": 10.0, "prior": 0.0, "refinement": Refinement.published(150, 0.2)},
        "all-8192": {
            "support": 10.0,
            "prior": 0.0,
            "points": 8192,
            "refinement": Refinement.published(150, 0.2),
        },
        "8192": {"points": 8192},
        "2048": {"points": 2048},
        "correspondence": {"refinement": Refinement(steps=0)},
        "correspondence-8192": {"points": 8192, "refinement": Refinement(steps=0)},
        "correspondence-2048": {"points": 2048, "refinement": Refinement(steps=0)},
    }

    weights: str = Field("", description="safetensors file (empty: models/scoop.safetensors)")
    support: float = Field(
        4.0, gt=0.0, le=100.0, description="m; no correspondence is farther off (published: 10)"
    )
    prior: float = Field(
        0.06, ge=0.0, le=10.0, description="1/m²; cost of a pair's squared length (published: 0)"
    )
    candidates: int = Field(
        128, ge=8, le=8192, description="nearest targets considered above dense_points"
    )
    dense_points: int = Field(
        2048, ge=0, le=8192, description="clouds so large consider all targets in the support"
    )
    points: int = Field(0, ge=0, le=10_000_000, description="random points to solve (0: all)")
    refinement: Refinement = Refinement()
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: the GPU where there is one"
    )
    runtime: Literal["torch", "onnx"] = Field(
        "torch", description="what computes the features: PyTorch or ONNX Runtime"
    )
    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        "cpu", description="of ONNX Runtime; refused, not replaced, where it is missing"
    )
    fall_back: bool = Field(False, description="take the next best provider instead of refusing")


class Flow(Section):
    """Scene flow on raw sweeps."""

    method: Literal["nsfp", "fast_nsf", "scoop", "rigid_cluster", "neural_prior"] = Field(
        "rigid_cluster", description="solver for what is not static"
    )
    deadline: float = Field(0.0, ge=0.0, le=3600.0, description="s per sweep (0: none)")
    max_gap: float = Field(
        0.5, gt=0.0, le=60.0, description="s between sweeps beyond which flow starts anew"
    )
    nsfp: NeuralPrior = NeuralPrior()
    fast_nsf: FastNeuralPrior = FastNeuralPrior()
    scoop: Scoop = Scoop()
    rigid_cluster: RigidCluster = RigidCluster()
    neural_prior: MovingPrior = MovingPrior()


class Stereo(Section):
    """The teacher: OpenCV semi-global block matching, and the gate that says when to trust it."""

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
    max_depth: float = Field(80.0, gt=0.1, le=1000.0, description="m, beyond is unknown")


class Student(Section):
    """The network that learns depth from one image."""

    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        "cpu", description="what runs it; refused, not replaced, where it is missing"
    )
    fall_back: bool = Field(False, description="take the next best provider instead of refusing")
    threads: int = Field(1, ge=1, le=64, description="threads for inference")


class ReplayMemory(Section):
    """The frames that the student learns from again and again."""

    frames: int = Field(2000, ge=8, le=100_000, description="kept at most")
    megabytes: float = Field(128.0, ge=1.0, le=65_536.0, description="memory at most, MiB")
    policy: Literal["coverage", "recent"] = Field(
        "coverage", description="what stays: the most varied frames, or the newest"
    )


class Learner(Section):
    """How the student learns from stereo while the robot works."""

    learning_rate: float = Field(1e-3, gt=0.0, le=1.0, description="AdamW step; never decays")
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0, description="AdamW decay")
    batch: int = Field(8, ge=2, le=256, description="the newest frame and the rest from memory")
    averaging: float = Field(
        0.02, gt=0.0, le=1.0, description="rate of the running mean of weights that flies"
    )
    huber: float = Field(0.1, gt=0.0, le=10.0, description="log depth error where L2 turns to L1")
    gradient_weight: float = Field(
        0.5, ge=0.0, le=100.0, description="weight of the depth gradient term"
    )
    near_weight: float = Field(
        3.0, ge=0.0, le=100.0, description="extra weight of a cell at 1 m; of one at 2 m half of it"
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
    label_min_known: float = Field(
        0.3, ge=0.0, le=1.0, description="mean confidence a label cell needs"
    )
    snapshot_steps: int = Field(
        100, ge=1, le=100_000, description="steps between good states to roll back to"
    )
    save_seconds: float = Field(
        5.0, gt=0.0, le=3600.0, description="s between generations in the model store"
    )
    memory: ReplayMemory = ReplayMemory()


class Textons(Section):
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


class Trust(Section):
    """When the student may drive."""

    trigger: float = Field(1.0, gt=0.0, le=100.0, description="an obstacle is nearer than this, m")
    ahead: float = Field(
        0.35, gt=0.0, le=3.15, description="rad either side of ahead that the tests look at"
    )
    target_tpr: float = Field(
        0.95, gt=0.0, le=1.0, description="true positive rate that calibration aims at"
    )
    threshold_cap: float = Field(
        1.6, gt=0.0, le=200.0, description="m; calibration goes no farther"
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
        3600.0, gt=0.0, le=1e6, description="s since the last test beyond which trust lapses"
    )
    recover_frames: int = Field(
        5, ge=1, le=1000, description="valid stereo frames in a row before stereo counts again"
    )
    bias_jump: float = Field(
        0.25, gt=0.0, le=5.0, description="sudden change of log(mono / stereo) that is a fault"
    )
    novelty: float = Field(
        0.5, gt=0.0, le=2.0, description="feature distance to memory beyond which mono is no use"
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


class Accumulation(Section):
    """The last sweeps as one dense cloud, moving things in one place (``points_accumulated``)."""

    sweeps: int = Field(0, ge=0, le=1000, description="held; 0: nothing is accumulated")
    reach: float = Field(
        0.7, ge=0.1, le=10.0, description="m; a point takes over the flow of points so near"
    )
    coast: int = Field(
        2, ge=0, le=100, description="sweeps that a moving point goes on unseen; then it is dropped"
    )
    ground: bool = Field(False, description="accumulate the ground as well")


class Scan(Section):
    """Obstacle distance in sectors around the robot."""

    sectors: int = Field(72, ge=1, le=3600, description="sectors over the full circle")
    range_min: float = Field(0.2, ge=0.0, le=10.0, description="m")
    range_max: float = Field(40.0, gt=0.1, le=500.0, description="m")
    below: float = Field(
        1.2, ge=0.0, le=50.0, description="robot's height band: so far below the camera, m"
    )
    above: float = Field(
        0.5, ge=0.0, le=50.0, description="robot's height band: so far above the camera, m"
    )
    percentile: float = Field(
        5.0, ge=0.0, le=50.0, description="per cent of a sector's known rays that make an obstacle"
    )
    min_pixels: int = Field(
        20, ge=1, le=100_000, description="known pixels that a sector needs, else unknown"
    )
    min_known: float = Field(
        0.4, ge=0.0, le=1.0, description="share of a sector's rays to be known, else unknown"
    )
    near: float = Field(
        2.0, ge=0.0, le=500.0, description="m; nearer obstacles count however little else is known"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Scan:
        if self.range_min >= self.range_max:
            raise ValueError("range_min must be below range_max")
        return self


class Collision(Section):
    """Time to collision: the robot's own box about the lidar, in the lidar's axes (x ahead).

    The five sizes have no default, for no size fits all robots: until they are set, time to
    collision is unknown. What the lidar sees inside the box is the robot itself; a distance to be
    kept from obstacles belongs in ``margin``, not in the box.
    """

    front: float = Field(
        0.0, ge=0.0, le=50.0, description="m that the robot reaches ahead of the lidar (0: not set)"
    )
    rear: float = Field(
        0.0, ge=0.0, le=50.0, description="m that it reaches behind the lidar (0: not set)"
    )
    width: float = Field(
        0.0,
        ge=0.0,
        le=50.0,
        description="m, half of it on either side of the lidar (0: not set)",
    )
    below: float = Field(
        0.0, ge=0.0, le=50.0, description="m below the lidar, ending above the ground (0: not set)"
    )
    above: float = Field(0.0, ge=0.0, le=50.0, description="m above the lidar (0: not set)")
    margin: float = Field(
        0.0, ge=0.0, le=10.0, description="m to be kept free about the box; nearer is a collision"
    )
    own: float = Field(
        0.0,
        ge=0.0,
        le=5.0,
        description="m to the left and right of the box (never ahead of or behind it) in which "
        "returns are the robot's own as well: mirrors, racks",
    )
    horizon: float = Field(5.0, gt=0.0, le=60.0, description="s looked ahead")
    min_points: int = Field(3, ge=1, le=10_000, description="points that make a collision")
    min_speed: float = Field(
        0.3,
        ge=0.01,
        le=10.0,
        description="m/s; slower approaches aren't told from noise at rest: unknown",
    )

    @property
    def has_footprint(self) -> bool:
        """Whether the robot's box is set."""
        return self.width > 0.0

    @model_validator(mode="after")
    def _all_or_none(self) -> Collision:
        sizes = (self.front, self.rear, self.width, self.below, self.above)
        if any(sizes) and not all(sizes):
            raise ValueError("set all of front, rear, width, below and above, or none of them")
        return self


class Avoid(Section):
    """The behaviour before obstacles: straight, stop, turn."""

    speed: float = Field(0.5, gt=0.0, le=10.0, description="m/s on a straight leg")
    turn_rate: float = Field(0.8, gt=0.0, le=3.2, description="rad/s")
    trigger: float = Field(
        1.1, gt=0.0, le=100.0, description="m; an obstacle nearer than this ahead stops the vehicle"
    )
    clear: float = Field(
        1.4, gt=0.0, le=100.0, description="m that must be free ahead before it goes again"
    )
    corridor: float = Field(
        0.35, gt=0.0, le=10.0, description="m, half the width that must be free, vehicle included"
    )
    extra_turn: float = Field(
        0.8, ge=0.0, le=3.2, description="rad, turned up to so much further once the way is clear"
    )
    settle: float = Field(0.4, ge=0.0, le=10.0, description="s standing still before it turns")

    @model_validator(mode="after")
    def _ordered(self) -> Avoid:
        if self.trigger > self.clear:
            raise ValueError("trigger must not be above clear")
        return self


class Config(Section):
    """The whole runtime."""

    topics: Topics = Topics()
    lidar_mount: LidarMount = LidarMount()
    ego_motion: EgoMotion = EgoMotion()
    ground: Ground = Ground()
    flow: Flow = Flow()
    online: Online = Online()
    evidence: Evidence = Evidence()
    tracks: Tracks = Tracks()
    accumulation: Accumulation = Accumulation()
    stereo: Stereo = Stereo()
    student: Student = Student()
    learner: Learner = Learner()
    trust: Trust = Trust()
    textons: Textons = Textons()
    scan: Scan = Scan()
    collision: Collision = Collision()
    avoid: Avoid = Avoid()


class Setting(NamedTuple):
    """One leaf of the tree, for whoever derives parameters or documentation from it."""

    name: str
    default: Any
    bounds: dict[str, float]
    description: str
    annotation: Any


def from_dict(values: dict[str, Any], source: str = "config") -> Config:
    """Validate a nested dictionary.

    Raises:
        InputError: on an unknown key or a value out of bounds; the line names the first key.
    """
    return _validated(Config, values, source)


def _validated(kind: type[AnySection], values: dict[str, Any], source: str) -> AnySection:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        if first["type"] == "extra_forbidden":
            what = "unknown key"
        else:
            what = f"{first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"
        raise InputError(f"{source}: {key}: {what}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file from outside; an empty file has none.

    Raises:
        InputError: file missing, larger than 1 MiB, not UTF-8, not YAML, or a list.
    """
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise InputError(f"{path}: larger than {MAX_YAML_BYTES} bytes; not a settings file")
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a UTF-8 text file") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold keys and values, not {type(values).__name__}")
    return values


def load(path: Path) -> Config:
    """Read a YAML file; an empty one gives the defaults.

    Raises:
        InputError: the file can't be read (see ``read_yaml``) or isn't valid (see ``from_dict``).
    """
    return from_dict(read_yaml(path), str(path))


def override(config: AnySection, settings: list[str]) -> AnySection:
    """The same configuration with ``section.key=value`` settings applied on top, in order.

    Args:
        config: the whole, or any part of it.

    Raises:
        InputError: a setting without ``=``, an unknown key, or a value out of bounds.
    """
    values = config.model_dump()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write section.key=value")
        *sections, leaf = key.strip().split(".")
        place = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None  # type: ignore[assignment]
        if not isinstance(place, dict) or leaf not in place:
            raise InputError(f"--set {setting}: unknown key {key.strip()!r}")
        try:
            place[leaf] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise InputError(f"--set {setting}: not a YAML value: {text!r}") from None
    return _validated(type(config), values, "--set")


def settings(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[Setting]:
    """Every setting of the tree with its dotted name, default, bounds and description."""
    for name, info in section.model_fields.items():
        if isinstance(info.default, BaseModel):
            yield from settings(type(info.default), f"{prefix}{name}.")
        else:
            bounds = {
                part.name: getattr(rule, part.name)
                for rule in info.metadata
                if is_dataclass(rule)
                for part in fields(rule)
            }
            yield Setting(
                f"{prefix}{name}", info.default, bounds, info.description or "", info.annotation
            )


def markdown_table() -> str:
    """The settings as the table in docs/settings.md."""
    rows = ["| setting | default | bounds | what |", "|---|---|---|---|"]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
    for setting in settings():
        bounds = ", ".join(f"{signs.get(k, k)} {v:g}" for k, v in setting.bounds.items())
        choices = get_args(setting.annotation) if get_origin(setting.annotation) is Literal else ()
        bounds = bounds or " / ".join(map(str, choices))
        default = setting.default if setting.default != "" else "(none)"
        rows.append(f"| `{setting.name}` | {default} | {bounds} | {setting.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    import sys

    title = "# Settings\n\nDerived from `ssl_perception/config.py`. In YAML the dots are levels."
    Path(sys.argv[1]).write_text(f"{title}\n\n{markdown_table()}", encoding="utf-8")
