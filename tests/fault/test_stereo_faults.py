"""Stereo fails in flight: within half a second trust is right, and unknown is never free."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from ssl_perception.config import ScanConfig, StereoConfig, TrustConfig
from ssl_perception.depth.student.architecture import NANO
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.depth.trust.fusion import CueFusion, Fused, absent
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.update import update
from ssl_perception.obstacles.avoid import Command
from ssl_perception.obstacles.scan import nearest_ahead
from ssl_perception.pipeline import DepthPipeline, DepthResult
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    StereoPair,
)
from ssl_perception_sim.experiments.students import DRONE
from ssl_perception_sim.sensors.picture_faults import Picture, Side
from ssl_perception_sim.world import worlds

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
GRID = CameraModel(40, 30, 208.5 / 8, 208.5 / 8, 19.5, 14.5)  # what the student sees
BASELINE = 0.06
RATE = 10.0  # frames a second
IN_TIME = 5  # frames: half a second
WALL = 16  # disparity, px: an obstacle at 0.78 m
FAR = 3  # disparity, px: a wall at 4.2 m
OPTIONS = TrustConfig(mono_drives=False)
SCAN = ScanConfig(range_min=0.2, range_max=8.0, below=0.35, above=0.3)
PAN = 3  # px that the picture moves from frame to frame
_NOISE = np.random.default_rng(0).standard_normal((240, 1200)).astype(np.float32)
_SMOOTH = cv2.GaussianBlur(_NOISE, (0, 0), 2.0)
SCENE = 128 + 40 * _SMOOTH / _SMOOTH.std()

Fault = Callable[[list[np.ndarray]], np.ndarray]  # of the right images up to now, newest last


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    noise = 2.0 * np.random.default_rng(seed).standard_normal(image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def right_at(frame: int, disparity: int) -> np.ndarray:
    start = PAN * frame + disparity
    return noisy(SCENE[:, start : start + 320], 2 * frame + 1)


def trusted() -> Trust:
    """The state after ten minutes in which the student was right."""
    trust, random = Trust(), np.random.default_rng(0)
    for k in range(2000):
        distance = random.uniform(0.5, 1.0) if k % 4 == 0 else random.uniform(1.5, 6.0)
        stamp = 0.3 * (k - 2000)
        trust = update(trust, Observation(stamp, True, distance, distance, bias=0.0), OPTIONS)
    assert trust.trusted
    return trust


def fly(trust: Trust, fault: Fault, disparity: int, model: bool = True) -> list[Fused]:
    """One good second before a wall, then one with the fault; the results of the faulty frames."""
    matcher = StereoMatcher(StereoConfig(disparities=48, max_depth=20.0))
    fusion = CueFusion(SCAN, OPTIONS, trust)
    distance = CAMERA.fx * BASELINE / disparity
    rights: list[np.ndarray] = []
    answers = []
    for frame in range(20):
        stamp = frame / RATE
        left = noisy(SCENE[:, PAN * frame : PAN * frame + 320], 2 * frame)
        rights.append(right_at(frame, disparity))
        right = fault(rights) if frame >= 10 else rights[-1]
        stereo = matcher.depth(StereoPair(left, right, CAMERA, BASELINE, stamp))
        mono = absent(Cue.MONO, GRID, stamp, "no model")
        if model:
            depth = np.full((30, 40), distance, np.float32)
            mono = DepthMap(depth, GRID, stamp, Cue.MONO)
        fused = fusion.update(stereo, mono, pseudo_label(stereo))
        if frame == 9:
            assert fused.trust.active_cue is ActiveCue.STEREO, fused.trust.reason
        elif frame > 9:
            answers.append(fused)
    return answers


def black(rights: list[np.ndarray]) -> np.ndarray:
    return np.zeros_like(rights[-1])


def blank(rights: list[np.ndarray]) -> np.ndarray:
    return np.full_like(rights[-1], 200)


def frozen(rights: list[np.ndarray]) -> np.ndarray:
    return rights[9]


def row_up(rights: list[np.ndarray]) -> np.ndarray:
    return np.roll(rights[-1], 1, axis=0)


def pitched(rights: list[np.ndarray]) -> np.ndarray:
    rows = round(CAMERA.fy * math.tan(math.radians(1.0)))
    return np.roll(rights[-1], rows, axis=0)


def rolled(rights: list[np.ndarray]) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((159.5, 119.5), 1.0, 1.0)
    return cv2.warpAffine(rights[-1], matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)


SEEN_BY_THE_GATE = [black, blank, frozen, row_up, pitched, rolled]


@pytest.mark.parametrize("fault", SEEN_BY_THE_GATE)
def test_a_trusted_student_goes_on_at_once_and_still_sees_the_wall(fault: Fault) -> None:
    for fused in fly(trusted(), fault, WALL)[:IN_TIME]:
        assert fused.trust.active_cue is ActiveCue.MONO
        assert nearest_ahead(fused.scan, OPTIONS.ahead) < OPTIONS.trigger


@pytest.mark.parametrize("model", [True, False], ids=["untrusted", "no model"])
@pytest.mark.parametrize("fault", SEEN_BY_THE_GATE)
def test_without_trust_everything_is_unknown_at_once(fault: Fault, model: bool) -> None:
    for fused in fly(Trust(), fault, WALL, model):
        assert fused.trust.active_cue is ActiveCue.NONE
        assert np.isnan(fused.scan.ranges).all()


def yawed(rights: list[np.ndarray]) -> np.ndarray:
    """By 1 degree: all disparities are 3.6 px less, as if things were farther away."""
    columns = -CAMERA.fx * math.tan(math.radians(1.0))
    matrix = np.array([[1.0, 0.0, -columns], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(rights[-1], matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)


def late(rights: list[np.ndarray]) -> np.ndarray:
    """By 300 ms, with the stamp of now; while the picture moves this looks like a yaw."""
    return rights[-4]


@pytest.mark.parametrize("fault", [yawed, late])
def test_the_student_reveals_a_right_camera_that_matches_well_and_is_wrong(fault: Fault) -> None:
    answers = fly(trusted(), fault, WALL)
    assert any(fused.stereo.cue is Cue.STEREO for fused in answers), "the gate can't see it"
    for fused in answers[IN_TIME:]:
        assert fused.trust.active_cue is ActiveCue.MONO and fused.trust.teacher_suspect


def one_column(rights: list[np.ndarray]) -> np.ndarray:
    """All disparities are a pixel less."""
    matrix = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    return cv2.warpAffine(rights[-1], matrix, (320, 240), borderMode=cv2.BORDER_REFLECT)


def test_one_column_shows_where_things_are_far() -> None:
    for fused in fly(trusted(), one_column, FAR)[IN_TIME:]:
        assert fused.trust.active_cue is ActiveCue.MONO and fused.trust.teacher_suspect


def test_one_column_before_a_near_wall_passes_and_the_wall_is_still_seen() -> None:
    """What isn't detected, and what it costs: 0.78 m reads as 0.83 m."""
    for fused in fly(trusted(), one_column, WALL):
        assert fused.trust.active_cue is ActiveCue.STEREO
        assert nearest_ahead(fused.scan, OPTIONS.ahead) == pytest.approx(0.83, abs=0.03)


def fly_frozen(side: Side) -> list[DepthResult]:
    """A drone at 0.3 m/s, its student trusted; a camera is frozen from frame 10 up to frame 20.

    The student gives the room's median depth everywhere: good enough for the two cues to agree.
    """
    weights = {name: np.zeros(shape, np.float32) for name, shape in NANO.weight_shapes().items()}
    weights["head.bias"][:] = 1.0
    student = StudentInference()
    student.load(weights, 1)
    frozen = Picture(fault="camera_frozen", side=side, start=1.05, end=2.05)
    world = worlds.room(3).fork([frozen])
    config = DRONE.model_copy(update={"trust": OPTIONS})
    pipeline = DepthPipeline(config, student, trust=trusted())
    return [
        pipeline.process(frame.pair)
        for _ in range(30)
        for frame in world.step(Command(vx=0.3)).frames
    ]


@pytest.mark.parametrize("side", ["left", "both"])
def test_nothing_is_known_while_the_left_camera_is_frozen(side: Side) -> None:
    """Stereo and student both use the left image: a trusted student must not go on with it."""
    results = fly_frozen(side)
    assert len(results) == 30
    for result in results[:10]:
        assert result.mono is not None and result.stereo.valid and result.mono.valid
        assert result.trust.trusted and not np.isnan(result.scan.ranges).all()
    named = "left image" if side == "left" else "left and right images"
    for result in results[10:20]:
        assert result.mono is not None
        assert not result.stereo.valid and result.stereo.reason.startswith(f"{named} frozen")
        assert result.label is None, "nothing is learnt from it"
        assert not result.mono.valid and result.mono.reason.startswith("left image frozen")
        assert result.trust.active_cue is ActiveCue.NONE
        assert np.isnan(result.scan.ranges).all()
        assert result.trust.trusted, "the student's tests are still worth what they were"
    for result in results[20:]:
        assert result.mono is not None and result.stereo.valid and result.mono.valid
    cues = [result.trust.active_cue for result in results[20:]]
    wait = OPTIONS.recover_frames - 1
    assert cues == [ActiveCue.MONO] * wait + [ActiveCue.STEREO] * (10 - wait)
    for result in results[20 : 20 + wait]:
        assert "stereo is recovering" in result.trust.reason
        assert "invalid" not in result.trust.reason


def test_the_student_goes_on_while_the_right_camera_is_frozen() -> None:
    for result in fly_frozen("right")[10:20]:
        assert result.mono is not None and result.mono.valid
        assert result.stereo.reason.startswith("right image frozen")
        assert result.trust.active_cue is ActiveCue.MONO
