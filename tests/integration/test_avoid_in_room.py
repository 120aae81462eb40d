"""The avoid behaviour: straight, stop, turn; and it survives a room on stereo."""

from __future__ import annotations

import numpy as np

from ssl_perception import config
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.types import ObstacleScan
from ssl_perception_sim.experiments.fly import fly

SECTORS = 72


def scan(ahead: float, stamp: float = 0.0, view: float = 0.65, **sectors: float) -> ObstacleScan:
    """All within the view at one distance, nothing known outside; ``left``/``right`` differ."""
    step = 2 * np.pi / SECTORS
    angles = -np.pi + step / 2 + step * np.arange(SECTORS)
    ranges = np.where(np.abs(angles) < view, ahead, np.nan).astype(np.float32)
    ranges[(angles > 0.1) & (angles < view)] = sectors.get("left", ahead)
    ranges[(angles < -0.1) & (angles > -view)] = sectors.get("right", ahead)
    return ObstacleScan(ranges, -np.pi + step / 2, step, 0.2, 8.0, stamp)


def test_it_goes_straight_where_the_way_is_free() -> None:
    assert Avoid().command(scan(np.inf)) == Command(0.5, 0.0)
    assert Avoid().command(scan(3.0)) == Command(0.5, 0.0)


def test_it_stops_then_turns_until_clear_and_goes_on() -> None:
    avoid = Avoid(config.AvoidConfig(settle=0.3, extra_turn=0.0))
    assert avoid.command(scan(0.8, 0.0)) == Command(0.0, 0.0)
    assert avoid.command(scan(0.8, 0.1)) == Command(0.0, 0.0)
    turning = avoid.command(scan(0.8, 0.4))
    assert turning.vx == 0.0
    assert abs(turning.yaw_rate) == 0.8
    assert avoid.command(scan(1.2, 0.5)) == turning  # not clear enough yet
    assert avoid.command(scan(4.0, 0.6)).vx == 0.0
    assert avoid.command(scan(4.0, 0.7)) == Command(0.5, 0.0)
    assert avoid.turns == 1


def test_unknown_is_never_free() -> None:
    avoid = Avoid()
    blind = scan(np.nan)
    assert avoid.free_ahead(blind) == 0.0
    assert avoid.command(blind).vx == 0.0
    for stamp in np.arange(0.1, 20.0, 0.1):
        assert avoid.command(scan(np.nan, float(stamp))).vx == 0.0


def test_one_unknown_sector_ahead_is_enough_to_stop() -> None:
    view = scan(5.0)
    view.ranges[SECTORS // 2] = np.nan
    assert Avoid().command(view).vx == 0.0


def test_a_clock_that_jumps_back_does_not_hold_it_for_ever() -> None:
    avoid = Avoid(config.AvoidConfig(settle=0.4))
    assert avoid.command(scan(0.8, 1000.0)) == Command(0.0, 0.0)
    assert avoid.command(scan(0.8, 5.0)) == Command(0.0, 0.0)
    assert avoid.command(scan(0.8, 5.5)).yaw_rate != 0.0


def test_too_close_to_measure_counts_as_an_obstacle() -> None:
    view = scan(5.0)
    view.ranges[SECTORS // 2] = -np.inf
    assert Avoid().command(view).vx == 0.0


def test_it_turns_to_the_freer_side() -> None:
    for left, right, sign in ((6.0, 0.9, 1.0), (0.9, 6.0, -1.0)):
        avoid = Avoid(config.AvoidConfig(settle=0.0))
        avoid.command(scan(0.9, 0.0, left=left, right=right))
        assert np.sign(avoid.command(scan(0.9, 0.1, left=left, right=right)).yaw_rate) == sign


def test_the_same_seed_turns_the_same_way() -> None:
    def path(seed: int) -> list[Command]:
        avoid = Avoid(seed=seed)
        return [avoid.command(scan(0.8 if k < 12 else 5.0, 0.1 * k)) for k in range(40)]

    assert path(3) == path(3)
    assert any(path(3) != path(seed) for seed in range(4, 9))


def test_a_short_flight_on_stereo_touches_nothing() -> None:
    flight = fly(seed=6, minutes=0.25)
    assert flight["crashes"] == 0
    assert flight["distance"] > 2.0
    assert flight["invalid"] < 0.2
