"""Does odometry tell of the motion that the sweeps show? Where odometry is given it is believed,
and a wrong wheel radius, a lidar turned on its mast or mirrored y would go unnoticed.

Now and then two sweeps are registered all the same, from rest, so that odometry has no say in it.
What sweeps can't show, such as the way along a tunnel's plain walls, looks like a disagreement.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import EgoMotionConfig
from ssl_perception.flow.online.ego_motion import EgoMotion, Pose, sensor_twist
from ssl_perception.types import FloatArray

OFTEN, RARELY = 4, 40  # sweeps from one comparison to the next, before and after KEPT of them
KEPT = 12  # comparisons of which the median counts
ENOUGH = 4  # of them
POINTS, VOXEL = 12_000, 0.5  # of the registration: coarse will do
MOVES, TURNS = 0.5, 0.1  # m/s and rad/s from which speeds and rates are compared
MAX_RATIO = 1.25  # of speeds, and its inverse
MAX_RATE_RATIO = 1.5  # of yaw rates, which are smaller against their noise
MAX_HEADING = np.deg2rad(10.0)  # between the two directions of travel
OPPOSITE = -0.7  # mean cosine between the axes of turning below which they are opposite


class _Comparison(NamedTuple):
    """(6,) the sensor's velocity, m/s, then rad/s, as odometry and as the sweeps have it."""

    told: NDArray[np.float64]
    seen: NDArray[np.float64]


class OdometryCheck:
    """Compares odometry with registration now and then.

    Attributes:
        doubt: empty, or how they disagree, in one line that stays the same while they do.
    """

    def __init__(self, options: EgoMotionConfig) -> None:
        coarse = {"points": POINTS, "voxel": max(VOXEL, options.voxel)}
        self._registration = EgoMotion(options.model_copy(update=coarse))
        self.reset()

    def reset(self) -> None:
        """Forget the comparisons."""
        self.doubt = ""
        self._comparisons: deque[_Comparison] = deque(maxlen=KEPT)
        self.start_anew()

    def start_anew(self) -> None:
        """The next sweep follows no other."""
        self._sweeps = 0

    def add(self, points: FloatArray, interval: float, observed: Pose | None) -> None:
        """Take a sweep; most are passed over.

        Args:
            points: (N, 3) m, in the sensor's axes.
            interval: s since the sweep before.
            observed: (4, 4) ``current_from_previous`` of the sensor as odometry has it; None: this
                is the first one.
        """
        period = OFTEN if len(self._comparisons) < KEPT else RARELY
        turn = self._sweeps % period
        self._sweeps += 1
        if turn == 0:
            self._registration.reset()
            self._registration.register(points, interval)
        elif turn == 1 and observed is not None:
            motion = self._registration.register(points, interval)
            if motion is not None:
                told, seen = sensor_twist(observed, interval), sensor_twist(motion, interval)
                self._comparisons.append(_Comparison(told, seen))
                self._judge()

    def _judge(self) -> None:
        wrong = disagreement(list(self._comparisons))
        if bool(wrong) != bool(self.doubt):
            self.doubt = f"odometry and sweeps disagree: {wrong}" if wrong else ""


def disagreement(comparisons: list[_Comparison]) -> str:
    """What is wrong, and what it may come from; empty: nothing, or too little to tell."""
    if len(comparisons) < ENOUGH:
        return ""
    told, seen = (np.array(side) for side in zip(*comparisons, strict=True))
    fast, quick = (np.linalg.norm(side[:, :3], axis=1) for side in (told, seen))
    told_rate, seen_rate = (np.linalg.norm(side[:, 3:], axis=1) for side in (told, seen))
    turning = np.maximum(told_rate, seen_rate) > TURNS
    both_turn = np.minimum(told_rate, seen_rate) > TURNS
    moving = np.maximum(fast, quick) > MOVES
    both_move = np.minimum(fast, quick) > MOVES
    if both_turn.sum() >= ENOUGH:
        cosine = (told[both_turn, 3:] * seen[both_turn, 3:]).sum(axis=1)
        cosine /= told_rate[both_turn] * seen_rate[both_turn]
        if cosine.mean() < OPPOSITE:
            return "it turns the other way: is the lidar's y mirrored, or lidar_mount.roll unset?"
    if moving.sum() >= ENOUGH:
        a, b = float(np.median(fast[moving])), float(np.median(quick[moving]))
        if not 1.0 / MAX_RATIO < a / max(b, 1e-9) < MAX_RATIO:
            return f"it says {a:.1f} m/s where they show {b:.1f}: check its scale, and that it runs"
    if both_move.sum() >= ENOUGH:
        heading = _median_heading(told[both_move], seen[both_move])
        if abs(heading) > MAX_HEADING:
            side = "left" if heading > 0.0 else "right"
            return (
                f"it moves {np.degrees(abs(heading)):.0f} degrees to the {side} of what they show: "
                "set lidar_mount.yaw"
            )
    if turning.sum() >= ENOUGH:
        a, b = float(np.median(told_rate[turning])), float(np.median(seen_rate[turning]))
        if not 1.0 / MAX_RATE_RATIO < a / max(b, 1e-9) < MAX_RATE_RATIO:
            return f"it turns by {a:.2f} rad/s where they show {b:.2f}: check its yaw"
    return ""


def _median_heading(told: NDArray[np.float64], seen: NDArray[np.float64]) -> float:
    """rad to the left from the direction of travel that is seen to the one that is told."""
    left = seen[:, 0] * told[:, 1] - seen[:, 1] * told[:, 0]
    along = seen[:, 0] * told[:, 0] + seen[:, 1] * told[:, 1]
    middle = np.arctan2(left.sum(), along.sum())  # angles near half a turn have no median
    around = np.angle(np.exp(1j * (np.arctan2(left, along) - middle)))
    return float(np.angle(np.exp(1j * (middle + np.median(around)))))
