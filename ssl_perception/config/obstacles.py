"""Settings of obstacle distance, time to collision and avoidance."""

from __future__ import annotations

from pydantic import Field, model_validator

from ssl_perception.config.section import Section


class ScanConfig(Section):
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
    min_certain: float = Field(
        0.95,
        ge=0.0,
        le=1.0,
        description="share of a sector's rays in the image that the student must be certain of",
    )
    min_measured: float = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="share of a sector's rays in the image that a depth camera must have measured",
    )
    near: float = Field(
        2.0, ge=0.0, le=500.0, description="m; nearer obstacles count however little else is known"
    )
    near_mono: float = Field(
        1.1, ge=0.0, le=500.0, description="m; likewise where the student sees them"
    )

    frame: str = Field(
        "",
        description="name of the scan's level frame at the camera, x ahead (empty: the camera's, "
        "X_optical_frame as X_frame, X_optical as X)",
    )
    camera_pitch: float = Field(
        0.0, ge=-1.0, le=1.0, description="rad that the camera looks down; the scan is level"
    )
    camera_roll: float = Field(
        0.0, ge=-1.0, le=1.0, description="rad that the camera leans to the right"
    )

    @model_validator(mode="after")
    def _ordered(self) -> ScanConfig:
        if self.range_min >= self.range_max:
            raise ValueError("range_min must be below range_max")
        return self


class LidarScanConfig(Section):
    """Obstacle distance from lidar, for vehicles on the ground; sectors and ranges are ``scan``'s.

    The robot's height band is measured from the ground around it, which the sweep itself shows.
    """

    lowest: float = Field(
        0.3, ge=0.0, le=5.0, description="m above the ground; the robot drives over what is lower"
    )
    clearance: float = Field(
        2.0, gt=0.1, le=50.0, description="m above the ground; it passes below what is higher"
    )
    obstacle_width: float = Field(
        0.3,
        ge=0.05,
        le=5.0,
        description="m; clear means that no obstacle so wide, standing on the ground ...",
    )
    obstacle_height: float = Field(
        0.5, ge=0.1, le=5.0, description="... and so high, m, fits between the beams"
    )
    blind: float = Field(
        3.0,
        ge=0.0,
        le=50.0,
        description="m about the lidar where its beams pass above low obstacles: there clear "
        "speaks of none but those that reach up into the beams",
    )
    min_points: int = Field(
        1, ge=1, le=1000, description="returns at one distance that make an obstacle"
    )
    noise: float = Field(
        0.02, ge=0.0, le=1.0, description="the lidar's range error (std), m, averaged out"
    )
    edge: float = Field(
        0.006,
        ge=0.0,
        le=0.1,
        description="rad from beam to beam at most: so far an obstacle that one has met may reach "
        "into the next sector unseen",
    )
    max_age: float = Field(
        0.3, gt=0.0, le=10.0, description="s between a sweep and the image that it is fused with"
    )
    camera_x: float = Field(
        0.0,
        ge=-50.0,
        le=50.0,
        description="m by which the left camera sits ahead of the lidar: both scans have its place",
    )
    camera_y: float = Field(0.0, ge=-50.0, le=50.0, description="m to the left of the lidar")
    camera_yaw: float = Field(
        0.0, ge=-3.1416, le=3.1416, description="where it looks, rad, to the left positive"
    )
    frame: str = Field("", description="name of the scan's frame (empty: the lidar's)")

    @model_validator(mode="after")
    def _ordered(self) -> LidarScanConfig:
        if self.lowest >= self.clearance:
            raise ValueError("lowest must be below clearance")
        if self.obstacle_height < self.lowest:
            raise ValueError("obstacle_height must not be below lowest")
        return self


class CollisionConfig(Section):
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
        description="m/s; slower approaches can't be separated from noise at rest: unknown",
    )

    @property
    def has_footprint(self) -> bool:
        """Whether the robot's box is set."""
        return self.width > 0.0

    @model_validator(mode="after")
    def _all_or_none(self) -> CollisionConfig:
        sizes = (self.front, self.rear, self.width, self.below, self.above)
        if any(sizes) and not all(sizes):
            raise ValueError("set all of front, rear, width, below and above, or none of them")
        return self


class AvoidConfig(Section):
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
    def _ordered(self) -> AvoidConfig:
        if self.trigger > self.clear:
            raise ValueError("trigger must not be above clear")
        return self
