"""Is the right camera where it was, and its image as old as the left one? By yaw over time.

Calibrations are never perfect: their residue shows as a yaw that never changes (0.5 degrees in a
KITTI drive). What it is for this pair of cameras is learnt in the first seconds and never after, so
that a slow drift doesn't become usual. From then on one frame that is far off, or a mean that is
somewhat off, says that disparities can't be believed. Where the excess goes with the motion of the
image, an image is late; where it doesn't, the camera has turned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import StereoConfig
from ssl_perception.depth.teacher.relative_yaw import RelativeYaw
from ssl_perception.types import CameraModel

_FEWEST = 20  # frames that make a reference
_USUAL = 3.0  # standard deviations of the reference's frames that a mean may be off
_MODEL_ERROR = 0.15  # px, beside a frame's own standard error
_SIGNIFICANT = 4.0  # standard errors
_GAP = 60.0  # s without a frame, beyond which it is another recording
_HOLD = 2.0  # s of good frames before stereo counts as good again
_TURNING = 0.1  # rad/s; below it no delay shows


class Frame(NamedTuple):
    """Of one pair.

    Attributes:
        stamp: s.
        yaw: rad, of the right camera in excess of its calibration; NaN: can't tell.
        sigma: rad, its standard error.
        speed: rad/s at which the left image moves, to the right positive; NaN: can't tell.
    """

    stamp: float
    yaw: float
    sigma: float
    speed: float


@dataclass(frozen=True)
class YawState:
    """What is known of this pair of cameras.

    Attributes:
        frames: the measured ones of the last ``yaw_reference`` seconds.
        reference: rad, the calibration's residue; NaN: not known yet.
        spread: rad, standard deviation of the frames that it was learnt from.
        mean, weight: of the excess over it, and what the mean rests on, 1 / rad^2.
        parted: stamp since which the mean has been half of what is allowed; NaN: it isn't.
        stamp: s, of the newest frame. wrong: s, of the newest frame that was off.
        since: s, from when on pairs are suspect; Inf: they aren't.
        reason: why; empty: they aren't.
    """

    frames: tuple[Frame, ...] = ()
    reference: float = math.nan
    spread: float = 0.0
    mean: float = 0.0
    weight: float = 0.0
    parted: float = math.nan
    stamp: float = -math.inf
    wrong: float = -math.inf
    since: float = math.inf
    reason: str = ""


def watch_yaw(state: YawState, frame: Frame, focal: float, options: StereoConfig) -> YawState:
    """The state after one more pair.

    Args:
        focal: px.
    """
    if not 0.0 <= frame.stamp - state.stamp < _GAP:
        state = YawState()
    elapsed = frame.stamp - state.stamp
    if elapsed == 0.0:  # asked about once more
        return state
    wrong = False
    if not math.isnan(frame.yaw):
        oldest = frame.stamp - options.yaw_reference
        kept = tuple(f for f in state.frames if f.stamp >= oldest)
        state = replace(state, frames=(*kept, frame))
        if math.isnan(state.reference):
            state, wrong = _refer(state, options)
        else:
            state, wrong = _compare(state, frame, elapsed, focal, options)
    state = replace(state, stamp=frame.stamp, wrong=frame.stamp if wrong else state.wrong)
    if not wrong and frame.stamp - state.wrong >= _HOLD:
        return replace(state, since=math.inf, reason="")
    if not wrong:
        return state
    since = state.since
    if since == math.inf:
        since = frame.stamp if math.isnan(state.parted) else state.parted
    return replace(state, since=since, reason=_reason(state))


def _refer(state: YawState, options: StereoConfig) -> tuple[YawState, bool]:
    """Learn what is usual; an image that has been late from the beginning is found on the way."""
    frames = state.frames
    spans = frames[-1].stamp - frames[0].stamp
    if len(frames) < _FEWEST or spans < 0.9 * options.yaw_reference:
        return state, False
    yaw = np.array([f.yaw for f in frames])
    usual, delay, explained = _fit(frames)
    if explained and abs(delay) * _fastest(frames) > options.max_yaw_once:
        return replace(state, reference=usual), True
    middle = float(np.median(yaw))
    spread = 1.4826 * float(np.median(np.abs(yaw - middle)))
    if spread < options.max_yaw:
        state = replace(state, reference=middle, spread=spread)
    return state, False


def _compare(
    state: YawState, frame: Frame, elapsed: float, focal: float, options: StereoConfig
) -> tuple[YawState, bool]:
    excess = frame.yaw - state.reference
    # fading memory, each frame by what it is worth
    worth = 1.0 / (frame.sigma**2 + (_MODEL_ERROR / focal) ** 2)
    weight = state.weight * math.exp(-elapsed / options.yaw_window) + worth
    mean = state.mean + worth / weight * (excess - state.mean)
    allowed = max(options.max_yaw, _USUAL * state.spread)
    known = weight > (3.0 / options.max_yaw) ** 2
    parted = math.nan
    if known and abs(mean) > 0.5 * allowed:
        parted = frame.stamp if math.isnan(state.parted) else state.parted
    state = replace(state, mean=mean, weight=weight, parted=parted)
    once = max(options.max_yaw_once, 2.0 * allowed, _SIGNIFICANT * frame.sigma)
    return state, abs(excess) > once or (known and abs(mean) > allowed)


def _fastest(frames: tuple[Frame, ...]) -> float:
    """rad/s, of the image, in either direction; NaN-free."""
    return max((abs(f.speed) for f in frames if not math.isnan(f.speed)), default=0.0)


def _fit(frames: tuple[Frame, ...]) -> tuple[float, float, bool]:
    """Yaw (rad) of a still image, its growth with the image's speed (s, the right image's delay),
    and whether the latter explains most of what varies."""
    known = np.array([(f.yaw, f.speed) for f in frames if not math.isnan(f.speed)])
    if len(known) < 5:
        return math.nan, math.nan, False
    yaw, speed = known.T
    away, moved = yaw - yaw.mean(), speed - speed.mean()
    if float(np.ptp(speed)) < _TURNING:
        return float(yaw.mean()), math.nan, False
    delay = float((away * moved).sum() / (moved * moved).sum())
    left = float(((away - delay * moved) ** 2).sum())
    return float(yaw.mean() - delay * speed.mean()), delay, left < 0.5 * float((away**2).sum())


@cache
def _window(size: tuple[int, int]) -> NDArray[np.float32]:
    """Fades an image of this width and height out towards its edges."""
    return np.asarray(cv2.createHanningWindow(size, cv2.CV_32F), np.float32)


def _reason(state: YawState) -> str:
    newest = state.frames[-1]
    _, delay, explained = _fit(state.frames)
    if explained and abs(delay) * _fastest(state.frames) > abs(newest.yaw - state.reference) / 2:
        return f"{'right' if delay > 0 else 'left'} image about {abs(delay) * 100:.0f}0 ms late"
    turned = math.degrees(newest.yaw - state.reference)
    what = f"right camera turned by {turned:+.2f} degrees since the start"
    return what if _fastest(state.frames) < _TURNING else f"{what}, or an image late"


class YawWatch:
    """``watch_yaw`` from pair to pair, and the motion of the left image that it needs."""

    def __init__(self, options: StereoConfig) -> None:
        self._options = options
        self._camera: CameraModel | None = None
        self._previous: tuple[float, NDArray[np.float32]] | None = None
        self.state = YawState()

    def see(
        self, left: NDArray[np.uint8], yaw: RelativeYaw, camera: CameraModel, stamp: float
    ) -> YawState:
        """The state after one more pair.

        Args:
            left: (H, W) grey.
            yaw: NaN: not measured.
            camera: another one than before: all that was known is forgotten.
            stamp: s.
        """
        if camera != self._camera:
            self._camera, self._previous, self.state = camera, None, YawState()
        speed = self._speed(left, camera, stamp)
        frame = Frame(stamp, yaw.pixels / camera.fx, yaw.sigma / camera.fx, speed)
        self.state = watch_yaw(self.state, frame, camera.fx, self._options)
        return self.state

    def _speed(self, left: NDArray[np.uint8], camera: CameraModel, stamp: float) -> float:
        """rad/s; the whole image's shift since the previous one, by phase correlation."""
        size = (max(camera.width // 4, 16), max(camera.height // 4, 16))
        small = cv2.resize(left, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._previous = self._previous, (stamp, small)
        if before is None or not 0.0 < stamp - before[0] < 0.5:
            return math.nan
        (shift, _), response = cv2.phaseCorrelate(before[1], small, _window(size))
        if response < 0.1:
            return math.nan
        return float(shift) * camera.width / size[0] / camera.fx / (stamp - before[0])
