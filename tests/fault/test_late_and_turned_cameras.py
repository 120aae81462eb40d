"""A right image that is late while the robot turns, a right camera that turns slowly or by a pixel:
rows give them away, whatever the student believes by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ssl_perception.config import StereoConfig
from ssl_perception.depth.teacher.relative_yaw import relative_yaw
from ssl_perception.depth.teacher.stereo import Disparity, StereoMatcher
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.types import CameraModel, FloatArray, StereoPair
from ssl_perception_sim.experiments.students import DRONE

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
BASELINE, WALL = 0.06, 1.5  # m: 8.3 px
RATE = 10.0
REFERENCE = 2.0  # s of good pairs at the beginning
OPTIONS = StereoConfig(disparities=48, max_depth=20.0, yaw_reference=REFERENCE)
STEADY = 20  # frames, in which the reference is learnt

_NOISE = np.random.default_rng(0).standard_normal((1200, 2400)).astype(np.float32)
_FINE, _COARSE = (cv2.GaussianBlur(_NOISE, (0, 0), s) for s in (2.0, 7.0))
TEXTURE = 128 + 30 * _FINE / _FINE.std() + 25 * _COARSE / _COARSE.std()

Angle = Callable[[float], float]  # rad to the left, of the time in s


def look(yaw: float, side: float, seed: int) -> np.ndarray:
    """What a camera sees of a wall at ``WALL`` m, ``side`` m to the right, turned left by ``yaw``;
    not the wall's middle, so that nothing is symmetrical."""
    k = np.array([[CAMERA.fx, 0, CAMERA.cx], [0, CAMERA.fy, CAMERA.cy], [0, 0, 1]])
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    wall = np.array([[1, 0, -side], [0, 1, 0], [0, 0, WALL]])  # of metres on the wall
    metres = np.array([[1 / 150, 0, -8.2], [0, 1 / 150, -3.8], [0, 0, 1]])  # of texels
    seen = k @ turn @ wall @ metres
    image = cv2.warpPerspective(TEXTURE, seen, (320, 240), flags=cv2.INTER_LINEAR)
    noise = 2.0 * np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def pair(frame: int, robot: Angle, late: float = 0.0, knocked: float = 0.0) -> StereoPair:
    """The right image ``late`` s late; its camera turned left by ``knocked`` rad."""
    stamp = frame / RATE
    right, yaw = robot(stamp - late), robot(stamp)
    left_image = look(yaw, 0.0, 2 * frame)
    right_image = look(right + knocked, BASELINE * math.cos(right), 2 * frame + 1)
    return StereoPair(left_image, right_image, CAMERA, BASELINE, stamp)


def still(time: float) -> float:
    return 0.0


def turning(rate: float) -> Angle:
    """Swings left and right, 0.25 rad wide, at up to ``rate`` rad/s; still at first."""
    pace = rate / 0.25
    return lambda time: 0.25 * math.sin(pace * max(time - REFERENCE, 0.0))


def first_look(yaw: float) -> Disparity:
    return StereoMatcher(OPTIONS).match(pair(0, still, knocked=yaw))


@pytest.mark.parametrize("pixels", [-3.0, -1.0, 0.0, 1.0, 3.0])
def test_rows_tell_by_how_much_the_right_camera_is_turned(pixels: float) -> None:
    """One turned left sees everything farther right: disparities are less."""
    yaw = -first_look(pixels / CAMERA.fx).yaw
    assert yaw == pytest.approx(pixels, abs=0.2 + 0.15 * abs(pixels))


def test_a_shift_of_the_disparities_is_no_yaw() -> None:
    left = look(0.0, 0.0, 0)
    for side in (0.03, 0.09, 0.18):  # a wall nearer or farther
        right = look(0.0, side, 1)
        shift = np.full(left.shape, CAMERA.fx * side / WALL, np.float32)
        agreed = np.zeros(left.shape, bool)
        agreed[:, 50:] = True
        yaw = relative_yaw(left, right, shift, agreed, CAMERA)
        assert abs(yaw.pixels) < 0.15 and yaw.sigma < 0.1


def test_a_few_matches_tell_nothing() -> None:
    left = look(0.0, 0.0, 0)
    agreed = np.zeros(left.shape, bool)
    agreed[100:110, 100:110] = True
    yaw = relative_yaw(left, left, np.zeros(left.shape, np.float32), agreed, CAMERA)
    assert math.isnan(yaw.pixels) and math.isnan(yaw.sigma)


def reasons(pairs: list[StereoPair]) -> list[str]:
    matcher = StereoMatcher(OPTIONS)
    return [matcher.match(p).reason for p in pairs]


@pytest.mark.parametrize("late", [0.033, 0.1, -0.033])
def test_a_late_image_is_noticed_with_the_turn(late: float) -> None:
    swing = turning(0.8)
    found = reasons([pair(k, swing, late if k > STEADY else 0.0) for k in range(STEADY + 25)])
    assert not any(found[: STEADY + 1])
    assert all(found[STEADY + 4 :]), "and it stays so where the turn comes to rest"
    side = "right" if late > 0 else "left"
    assert any(reason.startswith(f"{side} image about") for reason in found), found[-1]


def test_a_late_image_is_noticed_at_half_the_rate() -> None:
    swing = turning(0.4)
    found = reasons([pair(k, swing, 0.033 if k > STEADY else 0.0) for k in range(STEADY + 15)])
    assert not any(found[: STEADY + 1]) and all(found[STEADY + 5 :])


def test_an_image_that_was_late_from_the_beginning_is_noticed_once_it_can_be_told() -> None:
    pairs = [pair(k, lambda t: 0.25 * math.sin(3.2 * t), 0.033) for k in range(STEADY + 10)]
    found = reasons(pairs)
    assert found[-1].startswith("right image about")


@pytest.mark.parametrize("degrees", [0.02, -0.02])
def test_a_slow_drift_is_noticed_before_a_metre_reads_1_2(degrees: float) -> None:
    """Two frames a second are enough."""
    frames = range(STEADY, STEADY + 200, 5)
    drift = [pair(k, still, knocked=math.radians(degrees) * (k - STEADY) / RATE) for k in frames]
    steady = [pair(k, still) for k in range(STEADY + 1)]
    found = reasons([*steady, *drift[1:]])
    assert not any(found[: STEADY + 1])
    noticed = next(k for k, reason in enumerate(found) if reason) - STEADY
    assert noticed * 0.5 < 15.0, "s; by then a metre reads 1.1"
    assert all(found[STEADY + noticed :]) and "camera turned" in found[-1]


@pytest.mark.parametrize("pixels", [1.0, -1.0, 3.0])
def test_a_step_is_noticed(pixels: float) -> None:
    knock = [pair(k, still, knocked=pixels / CAMERA.fx) for k in range(STEADY + 1, STEADY + 40)]
    found = reasons([*(pair(k, still) for k in range(STEADY + 1)), *knock])
    assert not any(found[: STEADY + 1]) and all(found[STEADY + 35 :])
    if pixels == 3.0:
        assert all(found[STEADY + 1 :]), "at once"


def test_good_cameras_are_never_suspected_while_the_robot_turns_and_shakes() -> None:
    swing = turning(0.8)
    assert not any(reasons([pair(k, swing) for k in range(STEADY + 60)]))


def test_a_residue_of_the_calibration_is_no_fault() -> None:
    """As KITTI's: the pattern is there, and never changes."""
    swing = turning(0.4)
    assert not any(reasons([pair(k, swing, knocked=0.006) for k in range(STEADY + 20)]))


class Notes:
    """In the learner's place."""

    def __init__(self) -> None:
        self.learnt: list[float] = []

    def learn(self, image: np.ndarray, label: FloatArray, stamp: float) -> None:
        self.learnt.append(stamp)

    def take_back(self, since: float) -> int:
        before = len(self.learnt)
        self.learnt = [stamp for stamp in self.learnt if stamp < since]
        return before - len(self.learnt)


class Nobody:
    """A student that knows nothing yet."""

    def depth(self, image: np.ndarray, camera: CameraModel, stamp: float):  # type: ignore[no-untyped-def]
        from ssl_perception.depth.student.architecture import NANO
        from ssl_perception.depth.trust.fusion import absent
        from ssl_perception.types import Cue

        return absent(Cue.MONO, NANO.grid_camera(camera), stamp, "no model yet")


def test_nothing_is_learnt_from_a_drifted_camera_and_the_time_before_is_taken_back() -> None:
    notes = Notes()
    config = DRONE.model_copy(update={"stereo": OPTIONS})
    pipeline = DepthPipeline(config, Nobody(), notes)
    result = None
    for k in range(STEADY + 150):
        drift = math.radians(0.05) * max(k - STEADY, 0) / RATE
        result = pipeline.process(pair(k, still, knocked=drift))
        if not result.stereo.valid:
            break
    assert result is not None and not result.stereo.valid
    assert np.isnan(result.scan.ranges).all()
    assert result.stereo.suspect_since < result.stereo.stamp - 1.0
    assert max(notes.learnt) < result.stereo.suspect_since
    assert len(notes.learnt) >= STEADY
