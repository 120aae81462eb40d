"""Settings of scene flow."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ssl_perception.config.section import Section


class EgoMotionConfig(Section):
    """Sweep-to-sweep registration (small_gicp)."""

    points: int = Field(
        40_000, ge=1000, description="at most so many points enter, at an even stride"
    )
    voxel: float = Field(0.35, ge=0.05, le=5.0, description="down-sampling edge, m")
    max_correspondence: float = Field(
        1.0, gt=0.0, le=10.0, description="match radius, m; the last one is 0.3 of it"
    )
    iterations: int = Field(30, ge=1, le=200, description="at most so many Gauss-Newton steps")
    threads: int = Field(
        2,
        ge=1,
        le=64,
        description="threads for registration; 1: the same bits each time, more: sums in another "
        "order each time, motions that differ by less than 0.00001 m and flow by up to about 1 mm",
    )
    max_speed: float = Field(
        70.0, ge=1.0, le=300.0, description="a motion that is faster, m/s, is none: start anew"
    )
    max_acceleration: float = Field(
        50.0, ge=1.0, le=1000.0, description="likewise one whose speed changes faster, m/s2"
    )


class GroundConfig(Section):
    """Ground segmentation (Patchwork++)."""

    sensor_height: float = Field(
        1.73, ge=0.0, le=10.0, description="lidar above the ground, m (0: as found in the sweeps)"
    )
    max_range: float = Field(80.0, gt=1.0, le=500.0, description="ignore points beyond, m")
    min_range: float = Field(1.0, ge=0.0, le=20.0, description="ignore points nearer, m")


class VehicleConfig(Section):
    """The robot's own body in the lidar's axes; returns inside are its own. All 0: none are.

    Reach from the lidar to each side. It may be any box that holds what the lidar sees of the robot
    (``collision`` is the whole robot, which must not be touched).
    """

    front: float = Field(0.0, ge=0.0, le=50.0, description="m along +x")
    rear: float = Field(0.0, ge=0.0, le=50.0, description="m along -x")
    left: float = Field(0.0, ge=0.0, le=50.0, description="m along +y")
    right: float = Field(0.0, ge=0.0, le=50.0, description="m along -y")
    below: float = Field(0.0, ge=0.0, le=50.0, description="m along -z, ending above the ground")
    above: float = Field(0.0, ge=0.0, le=50.0, description="m along +z")

    @property
    def is_set(self) -> bool:
        """Whether the box holds anything."""
        return min(self.front + self.rear, self.left + self.right, self.below + self.above) > 0.0

    @model_validator(mode="after")
    def _all_or_none(self) -> VehicleConfig:
        reach = (self.front, self.rear, self.left, self.right, self.below, self.above)
        if any(reach) and not self.is_set:
            raise ValueError("the box has no volume: set a reach along each of x, y and z")
        return self


class OnlineConfig(Section):
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
    min_interval: float = Field(
        0.01,
        ge=0.001,
        le=0.1,
        description="sweeps nearer in time, s, aren't compared: errors of range would be speeds",
    )
    max_coordinate: float = Field(
        1000.0,
        ge=100.0,
        le=100_000.0,
        description="points with an |x|, |y| or |z| beyond, m, are no returns: motion unknown",
    )
    deskew: bool = Field(
        True, description="undo the robot's motion inside a sweep where points carry a time"
    )
    vehicle: VehicleConfig = VehicleConfig()


class EvidenceConfig(Section):
    """Validation of detections by free space: what the beams of earlier sweeps went through."""

    sweeps: int = Field(5, ge=1, le=50, description="earlier sweeps that are remembered")
    min_points: int = Field(
        5,
        ge=1,
        le=1000,
        description="sampled points that free space shows to have moved ...",
    )
    min_share: float = Field(
        0.12, ge=0.0, le=1.0, description="... and their share of those sampled (at most 128)"
    )
    max_contradicted: float = Field(
        0.25,
        ge=0.0,
        le=1.0,
        description="share of earlier positions that may have been free",
    )


class TrackingConfig(Section):
    """Moving objects from sweep to sweep (constant-velocity Kalman filter)."""

    acceleration: float = Field(
        3.0, gt=0.0, le=100.0, description="how much objects accelerate, m/s² (process noise)"
    )
    gate: float = Field(4.0, gt=0.0, le=100.0, description="association gate, standard deviations")
    keep: float = Field(0.5, ge=0.0, le=10.0, description="s that a track lives without detection")
    confirm: int = Field(3, ge=1, le=20, description="sweeps until an object has full confidence")


class NsfpConfig(Section):
    """NSFP (NeurIPS 2021); defaults: the authors' command for all points of Argoverse."""

    _ALL: ClassVar[dict[str, dict[str, float | int | bool]]] = {
        "kitti": {"learning_rate": 1e-3, "patience": 100, "backward": False},
        "argoverse": {"learning_rate": 3e-3, "patience": 100, "backward": True},
    }
    PRESETS: ClassVar[dict[str, dict[str, float | int | bool]]] = {
        # as published: the authors' four commands
        "kitti": {**_ALL["kitti"], "points": 0},
        "argoverse": {**_ALL["argoverse"], "points": 0},
        "kitti-2048": {"learning_rate": 8e-3, "patience": 70, "backward": True, "points": 2048},
        "argoverse-2048": {"learning_rate": 8e-3, "patience": 30, "backward": True, "points": 2048},
        # ours: their settings for all points on 8192; they publish none for so many
        "kitti-8192": {**_ALL["kitti"], "points": 8192},
        "argoverse-8192": {**_ALL["argoverse"], "points": 8192},
    }

    hidden: int = Field(128, ge=4, le=1024, description="units per hidden layer")
    layers: int = Field(8, ge=1, le=32, description="hidden layers")
    learning_rate: float = Field(3e-3, gt=0, le=1.0, description="Adam step")
    backward: bool = Field(True, description="a second network maps the moved points back")
    iterations: int = Field(5000, ge=1, le=100_000, description="at most so many steps")
    patience: int = Field(100, ge=1, le=10_000, description="steps without gain before stopping")
    min_delta: float = Field(1e-4, ge=0, le=1.0, description="least loss change that is gain, m²")
    points: int = Field(0, ge=0, le=10_000_000, description="random points to fit (0: all)")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto: the GPU where there is one"
    )


class FastNsfConfig(Section):
    """FastNSF (ICCV 2023); defaults: the authors' full-cloud setting with a patient stop."""

    # "readme": the authors' two commands. They stop after some twenty steps on ego-compensated
    # clouds, where statics dominate the loss. "patient" isn't theirs: OpenSceneFlow's stop.
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


class RigidClusterConfig(Section):
    """Our solver: a cluster is static unless a rigid motion explains clearly more."""

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
    max_height_above_ground: float = Field(
        3.0,
        gt=0.0,
        le=1000.0,
        description="clusters whose bottom is higher above the lowest points within some 15 m are "
        "static, m: foliage, roofs (1000: anything may fly)",
    )
    threads: int = Field(
        2, ge=1, le=2, description="threads for a pair of sweeps; the result is the same"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu",
        description="where clusters are registered; cpu: compiled kernels, without PyTorch; auto: "
        "the faster of both by the first sweeps, or cpu without a GPU",
    )


class NeuralPriorConfig(Section):
    """The prior fitted only to moving clusters, about their rigid motion.

    That motion is found with the settings of ``rigid_cluster``.
    """

    hidden: int = Field(32, ge=4, le=1024, description="units per hidden layer")
    layers: int = Field(3, ge=1, le=32, description="hidden layers")
    learning_rate: float = Field(4e-3, gt=0, le=1.0, description="Adam step")
    iterations: int = Field(40, ge=1, le=100_000, description="at most so many steps a cluster")
    patience: int = Field(20, ge=1, le=10_000, description="steps without gain before stopping")
    min_delta: float = Field(1e-4, ge=0, le=1.0, description="least loss change that is gain, m")
    cell: float = Field(0.05, gt=0.01, le=2.0, description="edge of a distance-field cell, m")
    truncation: float = Field(0.3, gt=0.0, le=5.0, description="m, beyond is no gradient")
    stiffness: float = Field(20.0, ge=0.0, le=1e3, description="deformation penalty, 1/m")
    min_points: int = Field(20, ge=3, le=100_000, description="smaller clusters stay rigid")
    max_size: float = Field(
        2.5, gt=0.0, le=100.0, description="m; longer clusters stay rigid, as vehicles are"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu", description="where deformations are fitted; these are small, a GPU need not pay"
    )


class RefinementConfig(Section):
    """SCOOP's run-time refinement of each point's flow."""

    steps: int = Field(150, ge=0, le=100_000, description="Adam steps (0: correspondence alone)")
    learning_rate: float = Field(0.2, gt=0, le=10.0, description="Adam step, m")
    smoothness: float = Field(2.0, ge=0.0, le=1e3, description="weight of the smoothness term")
    neighbours: int = Field(32, ge=1, le=256, description="others in a point's smoothness term")
    reach: float = Field(
        2.0, ge=0.0, le=100.0, description="m; neighbours farther off don't count (0: all count)"
    )
    truncation: float = Field(
        1.0, ge=0.0, le=100.0, description="m; a point farther off has no gradient (0: all have)"
    )
    two_sided: bool = Field(True, description="target points attract, too")
    last: bool = Field(
        False,
        description="the flow after the last step counts, as published, not that of least loss",
    )
    static_suppression: float = Field(
        0.03,
        ge=0.0,
        le=1.0,
        description="m that a flow must bring a point's surroundings nearer to the target than no "
        "motion does, or the point is static (0: as published)",
    )

    @classmethod
    def published(
        cls, steps: int, learning_rate: float, two_sided: bool = False, neighbours: int = 31
    ) -> RefinementConfig:
        """As in the authors' code: untruncated, over all neighbours, without static suppression.

        They ask for 32 neighbours of a 32-graph whose first is the point itself: 31.
        """
        return cls(
            steps=steps,
            learning_rate=learning_rate,
            two_sided=two_sided,
            neighbours=neighbours,
            smoothness=1.0,
            reach=0.0,
            truncation=0.0,
            last=True,
            static_suppression=0.0,
        )


class ScoopConfig(Section):
    """SCOOP (CVPR 2023): learned correspondence, then refinement at run time.

    The defaults are ours, for ego-compensated streets, where most points are static. The network
    isn't the authors' either, and their weights don't load: docs/scoop.md.
    """

    _PUBLISHED: ClassVar[dict[str, Any]] = {"support": 10.0, "prior": 0.0, "candidates": 0}
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        # as published: the authors' commands for KITTI_o and KITTI_t, KITTI_s, FT3D_s, and for all
        # points ("+")
        "kitti": {
            **_PUBLISHED,
            "points": 2048,
            "refinement": RefinementConfig.published(1000, 0.05),
        },
        "kitti_s": {
            **_PUBLISHED,
            "points": 8192,
            "refinement": RefinementConfig.published(1000, 0.05, two_sided=True),
        },
        "ft3d_s": {
            **_PUBLISHED,
            "points": 8192,
            "refinement": RefinementConfig.published(1000, 0.1, two_sided=True, neighbours=16),
        },
        "all": {**_PUBLISHED, "points": 0, "refinement": RefinementConfig.published(150, 0.2)},
        # ours: their command for all points on 8192 of them, then our own settings
        "all-8192": {
            **_PUBLISHED,
            "points": 8192,
            "refinement": RefinementConfig.published(150, 0.2),
        },
        "8192": {"points": 8192},
        "2048": {"points": 2048},
        "correspondence": {"refinement": RefinementConfig(steps=0)},
        "correspondence-8192": {"points": 8192, "refinement": RefinementConfig(steps=0)},
        "correspondence-2048": {"points": 2048, "refinement": RefinementConfig(steps=0)},
    }

    weights: str = Field("", description="safetensors file (empty: models/scoop.safetensors)")
    support: float = Field(
        4.0, gt=0.0, le=100.0, description="m; no correspondence is farther off (published: 10)"
    )
    prior: float = Field(
        0.06, ge=0.0, le=10.0, description="1/m²; cost of a pair's squared length (published: 0)"
    )
    candidates: int = Field(
        128,
        ge=0,
        le=8192,
        description="nearest targets considered above dense_points (0: all in the support, as "
        "published)",
    )
    dense_points: int = Field(
        2048, ge=0, le=8192, description="clouds so large consider all targets in the support"
    )
    points: int = Field(0, ge=0, le=10_000_000, description="random points to solve (0: all)")
    refinement: RefinementConfig = RefinementConfig()
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


class FlowConfig(Section):
    """Scene flow on raw sweeps."""

    method: Literal["nsfp", "fast_nsf", "scoop", "rigid_cluster", "neural_prior"] = Field(
        "rigid_cluster", description="solver for what is not static"
    )
    deadline: float = Field(0.0, ge=0.0, le=3600.0, description="s per sweep (0: none)")
    max_gap: float = Field(
        0.5, gt=0.0, le=60.0, description="s between sweeps beyond which the runtime is reset"
    )
    nsfp: NsfpConfig = NsfpConfig()
    fast_nsf: FastNsfConfig = FastNsfConfig()
    scoop: ScoopConfig = ScoopConfig()
    rigid_cluster: RigidClusterConfig = RigidClusterConfig()
    neural_prior: NeuralPriorConfig = NeuralPriorConfig()


class AccumulationConfig(Section):
    """The last sweeps as one dense cloud, movers in one place (``points_accumulated``)."""

    sweeps: int = Field(0, ge=0, le=1000, description="held; 0: nothing is accumulated")
    reach: float = Field(
        0.7, ge=0.1, le=10.0, description="m; a point takes over the flow of points so near"
    )
    coast: int = Field(
        2, ge=0, le=100, description="sweeps that a moving point goes on unseen; then it is dropped"
    )
    ground: bool = Field(False, description="accumulate the ground as well")
