"""The paper's behaviour: fly straight; before an obstacle stop, turn until clear, a bit more, go.

After van Hecke et al., "Persistent self-supervised learning" (IJMAV 2018), and the flight code of
its authors: hold on an obstacle, draw a random angle, turn until the way is clear, then that much
further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ssl_perception.config import AvoidConfig
from ssl_perception.types import ObstacleScan


@dataclass(frozen=True)
class Command:
    """What a vehicle is asked to do, in its own axes.

    Attributes:
        vx: m/s forward.
        yaw_rate: rad/s, counter-clockwise.
    """

    vx: float = 0.0
    yaw_rate: float = 0.0


class Avoid:
    """Straight, stop, turn. Feed it every scan; it answers with what to do until the next one.

    Unknown is never free: a sector within the corridor whose distance isn't known counts as an
    obstacle right there, so a blinded vehicle stops and turns on the spot.

    Args:
        settings: of the behaviour.
        seed: chooses the random turns.
    """

    def __init__(self, settings: AvoidConfig | None = None, seed: int = 0) -> None:
        self.settings = settings or AvoidConfig()
        self.state: Literal["straight", "stop", "turn", "extra"] = "straight"
        self.turns = 0
        self._rng = np.random.default_rng(seed)
        self._since = -np.inf
        self._further = 0.0
        self._direction = 1.0

    def free_ahead(self, scan: ObstacleScan) -> float:
        """Distance along the corridor ahead that is known to be free, m."""
        settings = self.settings
        angle = (scan.angles + np.pi) % (2 * np.pi) - np.pi
        # the sector matters up to the distance at which its ray leaves the corridor
        aside = np.abs(np.sin(angle)) * scan.range_max
        ahead = np.cos(angle) > 0
        reach = np.where(
            aside > settings.corridor, settings.corridor / np.maximum(np.abs(np.sin(angle)), 1e-6),
            np.inf,
        )  # fmt: skip
        # what decides lies within the distance that the vehicle has to stop in
        near = settings.clear
        matters = ahead & (np.minimum(reach, near) * np.cos(angle) > 0.55 * near)
        if not matters.any():
            return 0.0
        ranges = np.where(np.isnan(scan.ranges), 0.0, scan.ranges)
        ranges = np.where(np.isneginf(ranges), 0.0, ranges)
        along = np.minimum(ranges, scan.range_max) * np.cos(angle)
        blocked = matters & (ranges < reach)
        return float(along[blocked].min()) if blocked.any() else scan.range_max

    def command(self, scan: ObstacleScan) -> Command:
        """What to do now.

        Args:
            scan: newest obstacle scan; its stamp is the clock.
        """
        settings = self.settings
        free = self.free_ahead(scan)
        # after a jump of the clock the state counts from now: it must not last for ever
        self._since = min(self._since, scan.stamp)
        elapsed = scan.stamp - self._since
        if self.state == "straight":
            if free < settings.trigger:
                self._enter("stop", scan.stamp)
                self._direction = self._emptier_side(scan)
                self.turns += 1
            else:
                return Command(settings.speed, 0.0)
        elif self.state == "stop":
            if elapsed >= settings.settle:
                self._enter("turn", scan.stamp)
        elif self.state == "turn":
            if free >= settings.clear:
                self._enter("extra", scan.stamp)
                self._further = self._rng.uniform(0.0, settings.extra_turn) / settings.turn_rate
        elif elapsed >= self._further:
            if free >= settings.clear:
                self._enter("straight", scan.stamp)
                return Command(settings.speed, 0.0)
            self._enter("turn", scan.stamp)
        if self.state == "stop":
            return Command(0.0, 0.0)
        return Command(0.0, self._direction * settings.turn_rate)

    def _enter(self, state: Literal["straight", "stop", "turn", "extra"], stamp: float) -> None:
        self.state = state
        self._since = stamp

    def _emptier_side(self, scan: ObstacleScan) -> float:
        """+1 (left) or -1: at random, but for a side that is plainly the freer one."""
        angle = (scan.angles + np.pi) % (2 * np.pi) - np.pi
        known = np.where(np.isfinite(scan.ranges), scan.ranges, 0.0)
        known = np.where(np.isposinf(scan.ranges), scan.range_max, known)
        left = known[(angle > 0.05) & (angle < 0.7)]
        right = known[(angle < -0.05) & (angle > -0.7)]
        if len(left) and len(right) and abs(left.mean() - right.mean()) > 0.5:
            return 1.0 if left.mean() > right.mean() else -1.0
        return float(self._rng.choice([-1.0, 1.0]))
