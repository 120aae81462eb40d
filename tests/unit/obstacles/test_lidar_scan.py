"""A lidar above flat ground, among pillars that stand on it: what its scan says of each sector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_perception.config import Config, override
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.obstacles.lidar_scan import lidar_scan
from ssl_perception.types import Cue, ObstacleScan, PointCloud, SceneFlow

HEIGHT = 1.73  # m, of the lidar above the ground
DENSE = np.concatenate([np.linspace(-24.33, -8.83, 32), np.linspace(-8.33, 2.0, 32)])
SPARSE = np.linspace(-15.0, 15.0, 16)
CONFIG = Config()
SECTOR = 2 * np.pi / CONFIG.scan.sectors

Pillar = tuple[float, float, float, float]  # distance m, azimuth rad, radius m, height m


def sweep(
    pillars: Sequence[Pillar] = (),
    elevations: np.ndarray = DENSE,
    wall: float = 60.0,
    lost: float = 0.0,
    seed: int = 0,
    bottom: float = 0.0,
    ground: bool = True,
    motion: np.ndarray | None = None,
    shift: Sequence[float] = (0.0, 0.0, 0.0),
    confidence: float = 1.0,
) -> SweepFlow:
    """What comes back to a lidar that turns in steps of 0.25 degrees.

    Args:
        wall: m, radius of a round wall, 20 m high, about everything.
        lost: share of the pulses that don't come back.
        bottom: m above the ground at which the pillars begin.
        ground: whether the ground reflects.
        motion: (4, 4) ego motion; None: it stands.
        shift: m, flow of every point.
        confidence: of every point's flow.
    """
    rng = np.random.default_rng(seed)
    azimuth = np.deg2rad(np.arange(0, 360, 0.25)) + 1e-3
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, np.deg2rad(elevations)))
    slope = np.tan(e)
    with np.errstate(divide="ignore"):
        floor = np.where(slope < 0, HEIGHT / np.maximum(-slope, 1e-12), np.inf)
    distance = np.minimum(floor, wall)
    on_ground = floor < wall
    for away, direction, radius, height in pillars:
        across = away * np.sin(direction - a)
        along = away * np.cos(direction - a)
        with np.errstate(invalid="ignore"):
            front = along - np.sqrt(radius**2 - across**2)
        at = HEIGHT + slope * front
        met = (front > 0) & (front < distance) & (at > bottom) & (at < bottom + height)
        distance = np.where(met, front, distance)
        on_ground &= ~met
    back = (distance < 100.0) & (rng.random(len(a)) >= lost) & (ground | ~on_ground)
    points = np.stack([distance * np.cos(a), distance * np.sin(a), distance * slope], 1)[back]
    n = len(points)
    flow = SceneFlow(
        np.tile(np.asarray(shift, np.float32), (n, 1)),
        np.zeros(n, bool),
        np.full(n, confidence, np.float32),
        -0.1,
    )
    cloud = PointCloud(points, stamp=5.0, frame="lidar")
    return SweepFlow(cloud, flow, on_ground[back], np.eye(4) if motion is None else motion, [], {})


def look(result: SweepFlow, *changes: str) -> ObstacleScan:
    return lidar_scan(result, override(CONFIG, list(changes)))


def at(scan: ObstacleScan, azimuth: float) -> float:
    """What the sector in a direction says."""
    return float(scan.ranges[np.abs(scan.angles - azimuth).argmin()])


AHEAD = SECTOR / 2  # the middle of the first sector to the left


def test_the_scan_covers_the_circle_and_says_whose_it_is() -> None:
    scan = look(sweep())
    assert len(scan.ranges) == 72 and scan.cue is Cue.LIDAR
    assert (scan.stamp, scan.frame) == (5.0, "lidar")
    assert scan.angles[0] == pytest.approx(-np.pi + SECTOR / 2)
    assert np.isposinf(scan.ranges).all(), "a place of 60 m radius, nothing in it"
    assert scan.closing_speed is not None
    assert np.isnan(scan.closing_speed).all(), "nothing comes nearer where there is nothing"


@pytest.mark.parametrize("distance", [4.0, 12.0, 30.0])
def test_a_round_wall_is_as_far_as_it_is_all_around(distance: float) -> None:
    np.testing.assert_allclose(look(sweep(wall=distance)).ranges, distance, atol=1e-3)


def test_a_pole_counts_in_its_sector_alone_and_hides_nothing_beside_it() -> None:
    scan = look(sweep([(15.0, AHEAD, 0.05, 3.0)]))
    assert at(scan, AHEAD) == pytest.approx(14.95, abs=0.02)
    others = np.abs(scan.angles - AHEAD) > 1e-3
    assert np.isposinf(scan.ranges[others]).all()


def test_an_obstacle_beside_the_sectors_edge_may_reach_into_it() -> None:
    """Two beams are a quarter of a degree apart: between them a pole may stand across the edge."""
    scan = look(sweep([(20.0, SECTOR + 0.004, 0.03, 3.0)]))
    assert at(scan, SECTOR + AHEAD) == pytest.approx(19.97, abs=0.02)
    assert at(scan, AHEAD) == pytest.approx(19.97, abs=0.02), "not clear"


def test_where_no_beam_comes_back_nothing_is_known() -> None:
    result = sweep()
    azimuth = np.arctan2(result.cloud.points[:, 1], result.cloud.points[:, 0])
    dark = (azimuth > 0.2) & (azimuth < 0.8)
    scan = look(_only(result, ~dark))
    inside = (scan.angles > 0.2 - SECTOR / 2) & (scan.angles < 0.8 + SECTOR / 2)
    assert np.isnan(scan.ranges[inside]).all()
    assert np.isposinf(scan.ranges[~inside]).all()


def test_a_gap_wider_than_an_obstacle_is_unknown_a_narrower_one_is_clear() -> None:
    """One beam of those a quarter of a degree apart is missing: a gap of 0.35 m at 40 m."""
    result = sweep()
    x, y = result.cloud.points[:, 0], result.cloud.points[:, 1]
    azimuth = np.arctan2(y, x)
    holed = _only(result, np.abs(azimuth - AHEAD) > np.deg2rad(0.15))
    assert len(holed.cloud) < len(result.cloud)
    for width, known in ((0.3, False), (0.5, True)):
        scan = look(holed, f"lidar_scan.obstacle_width={width}")
        assert bool(np.isposinf(at(scan, AHEAD))) is known, width


def test_only_the_sky_is_no_evidence() -> None:
    """Returns from high up on a wall prove nothing about obstacles that stand below the beams."""
    scan = look(sweep(elevations=np.linspace(0.0, 10.0, 20)))
    assert np.isnan(scan.ranges).all() and scan.cue is Cue.NONE


def test_ground_that_ends_early_is_no_evidence_of_what_is_farther() -> None:
    low = DENSE[DENSE < -4.0]  # the last ring of ground is 24 m away
    assert np.isnan(look(sweep(elevations=low)).ranges).all()
    assert np.isposinf(look(sweep(elevations=low), "scan.range_max=20").ranges).all()


def test_ground_that_swallows_the_beams_is_unknown() -> None:
    assert np.isnan(look(sweep(wall=1000.0, ground=False)).ranges).all()


def test_a_sparse_lidar_sees_walls_but_does_not_call_clear_what_its_rings_leave_out() -> None:
    scan = look(sweep([(20.0, AHEAD, 1.0, 3.0)], SPARSE), "lidar_scan.blind=5")
    assert at(scan, AHEAD) == pytest.approx(19.0, abs=0.02)
    assert not np.isposinf(scan.ranges).any(), "half a metre fits between its rings at 40 m"
    near = look(sweep(elevations=SPARSE), "scan.range_max=12", "lidar_scan.blind=5")
    assert np.isposinf(near.ranges).all()


def test_clear_is_not_said_where_the_blind_zone_is_larger_than_the_settings_admit() -> None:
    upper = DENSE[DENSE > -10.0]  # the ground begins 9.8 m away, and half a metre at 7
    assert np.isnan(look(sweep(elevations=upper)).ranges).all()
    assert np.isposinf(look(sweep(elevations=upper), "lidar_scan.blind=8").ranges).all()


def test_behind_an_obstacle_the_nearer_one_counts() -> None:
    scan = look(sweep([(9.0, AHEAD, 0.3, 1.2), (25.0, AHEAD, 0.6, 3.0)]))
    assert at(scan, AHEAD) == pytest.approx(8.7, abs=0.02)


def test_the_robot_drives_over_a_kerb_and_under_a_bridge() -> None:
    kerb, bridge = (10.0, AHEAD, 1.0, 0.2), (10.0, AHEAD, 1.0, 2.0)
    assert not np.isfinite(at(look(sweep([kerb])), AHEAD))
    assert not np.isfinite(at(look(sweep([bridge], bottom=2.4)), AHEAD))
    assert np.isfinite(at(look(sweep([bridge], bottom=1.8)), AHEAD)), "it hangs too low"


def test_a_car_beside_the_robot_that_was_taken_for_ground_is_an_obstacle() -> None:
    result = sweep([(3.5, AHEAD, 1.5, 1.4)])
    taken = result.ground | (np.linalg.norm(result.cloud.points[:, :2], axis=1) < 6.0)
    result = SweepFlow(result.cloud, result.flow, taken, np.eye(4), [], {})
    assert at(look(result), AHEAD) == pytest.approx(2.0, abs=0.05)


def test_returns_inside_the_robots_box_are_its_own_and_no_others() -> None:
    rack = (1.0, AHEAD, 0.1, 1.6)
    own = [f"collision.{side}=1.5" for side in ("front", "rear", "width", "below", "above")]
    without_box = look(sweep([rack]))
    assert at(without_box, AHEAD) == pytest.approx(0.9, abs=0.02)
    assert not np.isfinite(at(look(sweep([rack]), *own), AHEAD))
    outside = look(sweep([(2.0, AHEAD, 0.1, 1.6)]), *own)
    assert at(outside, AHEAD) == pytest.approx(1.9, abs=0.02)


def test_too_close_is_minus_infinity() -> None:
    scan = look(sweep([(0.8, AHEAD, 0.4, 2.0)]), "scan.range_min=0.5")
    assert at(scan, AHEAD) == -np.inf


def test_a_tilted_lidar_sees_the_same() -> None:
    level = sweep([(12.0, AHEAD, 0.4, 2.0)])
    pitch = 0.2  # nose down: what is ahead is seen higher
    c, s = np.cos(pitch), np.sin(pitch)
    tilt = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    cloud = PointCloud(level.cloud.points @ tilt, stamp=5.0, frame="lidar")
    tilted = SweepFlow(cloud, level.flow, level.ground, np.eye(4), [], {})
    scan = look(tilted, f"lidar_mount.pitch={pitch}")
    np.testing.assert_allclose(scan.ranges, look(level).ranges, atol=1e-3)


def test_the_scan_is_seen_from_the_camera() -> None:
    pillar = (10.0, 0.0, 0.3, 2.0)
    scan = look(sweep([pillar]), "lidar_scan.camera_x=2", "lidar_scan.camera_y=-0.4")
    apart = np.hypot(8.0, 0.4) - 0.3
    assert at(scan, np.arctan2(0.4, 8.0)) == pytest.approx(apart, abs=0.03)
    assert np.isposinf(scan.ranges).sum() > 60
    turned = look(sweep([pillar]), "lidar_scan.camera_yaw=1.0")
    assert at(turned, -1.0) == pytest.approx(9.7, abs=0.02)


def test_closing_speed_is_that_of_the_nearest_obstacle_against_the_robot() -> None:
    ahead = np.eye(4)
    ahead[0, 3] = -0.5  # the robot drives 5 m/s
    scan = look(sweep([(12.0, 0.04, 0.4, 2.0)], motion=ahead))
    assert scan.closing_speed is not None
    speed = scan.closing_speed[np.isfinite(scan.ranges)]
    np.testing.assert_allclose(speed, 5.0, atol=0.05)
    # it drives ahead as fast: its flow points to where it was
    same = look(sweep([(12.0, 0.04, 0.4, 2.0)], motion=ahead, shift=(-0.5, 0.0, 0.0)))
    assert same.closing_speed is not None
    np.testing.assert_allclose(same.closing_speed[np.isfinite(same.ranges)], 0.0, atol=0.05)
    unknown = look(sweep([(12.0, 0.04, 0.4, 2.0)], motion=ahead, confidence=0.0))
    assert unknown.closing_speed is not None and np.isnan(unknown.closing_speed).all()


def test_lone_returns_do_not_make_an_obstacle_where_several_are_asked_for_nor_clear() -> None:
    result = sweep()
    stray = np.array([[10.0 * np.cos(AHEAD), 10.0 * np.sin(AHEAD), -0.5]], np.float32)
    cloud = PointCloud(np.concatenate([result.cloud.points, stray]), stamp=5.0, frame="lidar")
    n = len(cloud)
    flow = SceneFlow(np.zeros((n, 3), np.float32), np.zeros(n, bool), np.ones(n, np.float32), -0.1)
    result = SweepFlow(cloud, flow, np.append(result.ground, False), np.eye(4), [], {})
    assert at(look(result), AHEAD) == pytest.approx(10.0, abs=0.01)
    assert np.isnan(at(look(result, "lidar_scan.min_points=3"), AHEAD))


def test_clear_is_clear_from_where_the_robot_gets_until_the_scan_is_too_old() -> None:
    # farther than 57 m the beams are too far apart
    motion = np.eye(4)
    assert np.isposinf(look(sweep(motion=motion), "scan.range_max=56").ranges).all()
    motion[0, 3] = -1.0  # 10 m/s ahead: 3 m in 0.3 s
    driving = look(sweep(motion=motion), "scan.range_max=56")
    assert driving.velocity == pytest.approx((10.0, 0.0, 0.0))
    assert np.isnan(at(driving, AHEAD)) and np.isposinf(at(driving, np.pi))
    assert np.isposinf(look(sweep(motion=motion), "scan.range_max=54").ranges).all()
    turned = look(sweep(motion=motion), f"lidar_scan.camera_yaw={np.pi / 2}")
    assert turned.velocity == pytest.approx((0.0, -10.0, 0.0), abs=1e-9)


@settings(max_examples=40)
@given(
    pillars=st.lists(
        st.tuples(
            st.floats(4.0, 38.0), st.floats(-3.14, 3.14), st.floats(0.15, 1.5), st.floats(0.5, 3.0)
        ),
        max_size=12,
    ),
    elevations=st.sampled_from([DENSE, SPARSE, DENSE[::2]]),
    wall=st.floats(20.0, 90.0),
    lost=st.sampled_from([0.0, 0.1, 0.5, 0.9]),
    seed=st.integers(0, 1000),
    range_max=st.sampled_from([8, 15, 40]),
)
def test_a_sector_that_reads_clear_contains_no_obstacle(
    pillars: list[Pillar],
    elevations: np.ndarray,
    wall: float,
    lost: float,
    seed: int,
    range_max: int,
) -> None:
    """Of those that it promises to see; and nothing reads nearer than there is something."""
    scan = look(sweep(pillars, elevations, wall, lost, seed), f"scan.range_max={range_max}")
    surface = np.full(72, wall)
    for away, azimuth, radius, _ in pillars:
        half = np.arcsin(min(radius / away, 1.0))
        off = np.abs((scan.angles - azimuth + np.pi) % (2 * np.pi) - np.pi)
        surface[off < half + SECTOR / 2 + 0.007] = np.minimum(
            surface[off < half + SECTOR / 2 + 0.007], away - radius
        )
        deep = off < half + SECTOR / 2 - 0.007
        if away < range_max:
            assert not np.isposinf(scan.ranges[deep]).any(), (away, azimuth, radius)
    known = np.isfinite(scan.ranges)
    assert (scan.ranges[known] > surface[known] - 0.02).all()
    if wall < range_max:
        assert not np.isposinf(scan.ranges).any()


def _only(result: SweepFlow, keep: np.ndarray) -> SweepFlow:
    flow = result.flow
    kept = SceneFlow(flow.flow[keep], flow.moving[keep], flow.confidence[keep], flow.interval)
    return SweepFlow(result.cloud.select(keep), kept, result.ground[keep], np.eye(4), [], {})
