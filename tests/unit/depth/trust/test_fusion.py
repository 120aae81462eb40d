"""Two depth maps in; the trust state and the scan that the robot gets out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ssl_perception.config import Config, ScanConfig, StudentConfig, TrustConfig
from ssl_perception.depth.student.architecture import (
    NANO,
)
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.trust.fusion import CueFusion, Fused, absent, calibrated
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.update import update
from ssl_perception.obstacles.scan import nearest_ahead, obstacle_scan
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.types import CameraModel, Cue, DepthMap, StereoPair

CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
GRID = CameraModel(40, 30, 208.5 / 8, 208.5 / 8, 19.5, 14.5)  # the student's
SCAN = ScanConfig(range_min=0.2, range_max=8.0, below=0.35, above=0.3)
OPTIONS = TrustConfig()


def stereo(distance: float, stamp: float = 0.0, valid: bool = True, reason: str = "") -> DepthMap:
    depth = np.full((240, 320), distance, np.float32)
    return DepthMap(depth, CAMERA, stamp, Cue.STEREO, valid, reason)


def mono(distance: float, stamp: float = 0.0, valid: bool = True, reason: str = "") -> DepthMap:
    depth = np.full((30, 40), distance, np.float32)
    return DepthMap(depth, GRID, stamp, Cue.MONO, valid, reason)


def earned() -> Trust:
    """After 600 tests that the student passed, without bias."""
    trust = Trust()
    for k in range(-600, 0):
        distance = 0.7 if k % 4 == 0 else 3.0
        seen = Observation(0.3 * k, True, distance, distance, 0.0)
        trust = update(trust, seen, OPTIONS)
    assert trust.trusted
    return trust


def test_it_carries_the_state_on_from_frame_to_frame() -> None:
    """One frame after another gives what ``update`` gives by hand, bit for bit."""
    fusion, trust = CueFusion(SCAN, OPTIONS), Trust()
    random = np.random.default_rng(0)
    for k in range(60):
        real = float(random.uniform(0.5, 3.0))
        left, right = stereo(real, 0.3 * k), mono(real * 1.1, 0.3 * k)
        label = pseudo_label(left)
        fused = fusion.update(left, right, label)
        near, predicted = (
            nearest_ahead(obstacle_scan(d, SCAN), OPTIONS.ahead) for d in (left, right)
        )
        assert label is not None
        bias = float(np.median((np.log(right.depth) - label)[np.isfinite(label)]))
        seen = Observation(0.3 * k, True, near, predicted, bias)
        trust = update(trust, seen, OPTIONS)
        assert repr(fused.trust) == repr(trust) and fusion.trust is fused.trust
    assert trust.bias_slow == pytest.approx(math.log(1.1), abs=1e-3)


def test_where_it_starts_is_the_state_that_was_given() -> None:
    trust = earned()
    assert CueFusion(SCAN, OPTIONS, trust).trust is trust
    lost = stereo(3.0, 0.1, valid=False, reason="no texture")
    fused = CueFusion(SCAN, OPTIONS, trust).update(lost, mono(3.0, 0.1))
    assert fused.trust.active_cue is ActiveCue.MONO and fused.scan.cue is Cue.MONO
    assert "stereo is invalid: no texture" in fused.trust.reason


def test_without_student_the_scan_is_that_of_stereo_and_unknown_where_stereo_is() -> None:
    fusion = CueFusion(SCAN, OPTIONS)
    fused = fusion.update(stereo(2.0), None)
    assert fused.mono is None and fused.scan is fused.stereo
    assert fused.trust.active_cue is ActiveCue.STEREO
    fused = fusion.update(stereo(2.0, 0.1, valid=False, reason="no texture"), None)
    assert fused.trust.active_cue is ActiveCue.NONE and np.isnan(fused.scan.ranges).all()
    assert fused.trust.reason == "stereo is invalid: no texture"


def test_of_a_lidar_that_teaches_the_sweep_says_what_is_free() -> None:
    """The student is tested on it: clear views by the sweep's scan, which its depth can't claim."""
    seen = replace(stereo(3.0, 0.1), cue=Cue.LIDAR)
    clear = obstacle_scan(stereo(3.0, 0.1), SCAN)
    sweep = replace(clear, cue=Cue.LIDAR)
    alone = CueFusion(SCAN, OPTIONS).update(seen, mono(3.0, 0.1))
    assert np.isnan(alone.stereo.ranges).all()
    fused = CueFusion(SCAN, OPTIONS).update(seen, mono(3.0, 0.1), None, sweep)
    np.testing.assert_array_equal(fused.stereo.ranges, clear.ranges)
    old = replace(sweep, stamp=-1.0)
    late = CueFusion(SCAN, OPTIONS).update(seen, mono(3.0, 0.1), None, old)
    assert np.isnan(late.scan.ranges).all(), "a sweep too old says nothing"
    blind = replace(seen, valid=False, reason="sweep too old")
    assert np.isnan(CueFusion(SCAN, OPTIONS).update(blind, None, None, sweep).stereo.ranges).all()


def test_no_trusted_cue_all_unknown_and_the_scan_names_none() -> None:
    fusion = CueFusion(SCAN, OPTIONS)
    fused = fusion.update(stereo(2.0, valid=False), mono(2.0))
    assert fused.trust.active_cue is ActiveCue.NONE and fused.scan.cue is Cue.NONE
    assert np.isnan(fused.scan.ranges).all()
    assert np.isfinite(nearest_ahead(fused.mono or fused.scan, OPTIONS.ahead)), "mono does know"


def guarded() -> CueFusion:
    """In flight: mono is trusted and guarded by stereo."""
    fusion = CueFusion(SCAN, OPTIONS, earned())
    fused = fusion.update(stereo(3.0, 0.1), mono(3.0, 0.1), pseudo_label(stereo(3.0)))
    assert fused.trust.active_cue is ActiveCue.GUARDED, fused.trust.reason
    return fusion


@pytest.mark.parametrize(("seen", "predicted"), [(2.0, 4.0), (4.0, 2.0)])
def test_guarded_scan_is_the_nearer_of_both_cues(seen: float, predicted: float) -> None:
    fused = guarded().update(stereo(seen, 0.2), mono(predicted, 0.2))
    assert fused.trust.active_cue is ActiveCue.GUARDED and fused.mono is not None
    scaled = calibrated(fused.mono, fused.trust.threshold, OPTIONS)
    expected = np.fmin(fused.stereo.ranges, scaled.ranges)
    np.testing.assert_array_equal(fused.scan.ranges, expected)
    assert nearest_ahead(fused.scan, OPTIONS.ahead) < 3.5


def test_scan_is_that_of_stereo_while_stereo_overrides() -> None:
    fusion = guarded()
    fused: Fused | None = None
    for k in range(3):
        stamp = 0.2 + 0.1 * k
        fused = fusion.update(stereo(0.3, stamp), mono(4.0, stamp))
    assert fused is not None and fused.trust.overriding
    np.testing.assert_array_equal(fused.scan.ranges, fused.stereo.ranges)


def test_bias_is_not_measured_without_a_label_or_on_an_invalid_mono_depth() -> None:
    """Where mono is out of distribution it is the student that is wrong, not the teacher."""
    left = stereo(2.0, 0.2)
    label = pseudo_label(left)
    wrong = mono(4.0, 0.2)
    before = guarded().trust
    assert guarded().update(left, wrong, label).trust.bias_count == before.bias_count + 1
    for other, given in (
        (wrong, None),
        (replace(wrong, valid=False, reason="out of distribution"), label),
        (absent(Cue.MONO, GRID, 0.2, "no mono depth"), label),
    ):
        after = guarded().update(left, other, given).trust
        assert (after.bias_fast, after.bias_count) == (before.bias_fast, before.bias_count)


def student(limit: float) -> StudentInference:
    """Predicts 2.7 m everywhere, and has one feature in memory that no image has."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in NANO.weight_shapes().items()}
    weights["head.bias"][:] = 1.0
    weights["encoder5b.bias"][0] = 1.0  # the feature of every image
    inference = StudentInference(StudentConfig(max_novelty=limit))
    inference.load(weights, 1, np.eye(NANO.features, dtype=np.float32)[1:2])
    return inference


def test_sudden_disagreement_out_of_distribution_is_not_the_teachers_fault() -> None:
    """A student in a place unlike all that it learnt from parts from stereo: stereo stays."""
    results = {}
    for limit in (0.5, 2.0):  # at 2 nothing is ever out of distribution
        fusion, inference = guarded(), student(limit)
        for k in range(10):
            stamp = 0.2 + 0.1 * k
            left = np.full((240, 320), k, np.uint8)
            predicted = inference.depth(left, CAMERA, stamp)
            assert predicted.valid is (limit == 2.0) and predicted.novelty > 1.4
            seen = stereo(5.0, stamp)
            fused = fusion.update(seen, predicted, pseudo_label(seen))
        results[limit] = fused.trust
    assert results[0.5].active_cue is ActiveCue.STEREO and not results[0.5].teacher_suspect
    assert results[2.0].active_cue is ActiveCue.MONO and results[2.0].teacher_suspect
    assert "disagree in a known place" in results[2.0].reason


def test_out_of_distribution_without_stereo_nothing_is_known() -> None:
    fusion, inference = guarded(), student(0.5)
    predicted = inference.depth(np.zeros((240, 320), np.uint8), CAMERA, 0.2)
    fused = fusion.update(stereo(5.0, 0.2, valid=False, reason="black"), predicted)
    assert fused.trust.active_cue is ActiveCue.NONE and np.isnan(fused.scan.ranges).all()
    assert "mono is invalid: out of distribution" in fused.trust.reason


def test_frozen_left_camera_leaves_a_trusted_student_unused() -> None:
    """The student notices it itself: no other part of the pipeline has to."""
    fusion, inference = guarded(), student(2.0)
    stuck = np.full((240, 320), 90, np.uint8)
    cues = []
    for k, left in enumerate((stuck, stuck, stuck, stuck + 1)):
        stamp = 0.2 + 0.1 * k
        predicted = inference.depth(left, CAMERA, stamp)
        fused = fusion.update(stereo(3.0, stamp, valid=False, reason="frozen"), predicted)
        cues.append(fused.trust.active_cue)
        if k in (1, 2):
            assert "mono is invalid: left image frozen" in fused.trust.reason
    assert cues == [ActiveCue.MONO, ActiveCue.NONE, ActiveCue.NONE, ActiveCue.MONO]


def test_calibration_makes_the_threshold_read_trigger() -> None:
    scan = obstacle_scan(mono(2.0), SCAN)
    np.testing.assert_array_equal(calibrated(scan, math.nan, OPTIONS).ranges, scan.ranges)
    scaled = calibrated(scan, 2.0, OPTIONS)
    assert nearest_ahead(scaled, 0.05) == pytest.approx(OPTIONS.trigger, rel=0.01)


class Recorder:
    """Stands for the learner; writes down what is asked of it."""

    def __init__(self) -> None:
        self.learnt: list[float] = []
        self.taken_back: list[float] = []

    def learn(self, image: np.ndarray, label: np.ndarray, stamp: float) -> object:
        self.learnt.append(round(stamp, 1))
        return None

    def take_back(self, since: float) -> int:
        self.taken_back.append(round(since, 1))
        return 0


class Farther:
    """A student that agrees with stereo until 3 s, and then sees everything twice as far."""

    def depth(self, image: np.ndarray, camera: CameraModel, stamp: float) -> DepthMap:
        factor = 1.0 if stamp < 3.0 else 2.0
        values = np.full(NANO.grid, 1.25 * factor, np.float32)
        return DepthMap(values, NANO.grid_camera(camera), stamp, Cue.MONO)


def test_nothing_is_learnt_from_a_teacher_under_suspicion() -> None:
    """And what was learnt in the second before is taken back, once."""
    learner = Recorder()
    trust = replace(guarded().trust, bias_count=1000)
    config = Config().model_copy(update={"trust": OPTIONS})
    pipeline = DepthPipeline(config, Farther(), learner, trust)
    texture = np.random.default_rng(0).integers(0, 256, (240, 336), dtype=np.uint8)
    camera = CameraModel(width=320, height=240, fx=200.0, fy=200.0, cx=160.0, cy=120.0)
    for k in range(50):
        view = np.roll(texture, k, axis=0)  # a camera that is not frozen
        pair = StereoPair(view[:, :320], view[:, 16:], camera, 0.1, stamp=0.1 * k)
        result = pipeline.process(pair)
        assert result.trust.teacher_suspect is (k >= 30), k
    assert learner.learnt == [round(0.1 * k, 1) for k in range(30)]
    assert learner.taken_back == [2.0]


def test_a_sector_that_the_student_is_not_certain_of_takes_nothing_from_the_others() -> None:
    """It is no test of the student; a trusted one goes on with what it is certain of."""
    fusion = guarded()
    before = fusion.trust
    seen = mono(3.0, 0.1)
    seen.depth[:, 18:20] = np.nan
    fused = fusion.update(stereo(3.0, 0.1, valid=False, reason="black"), seen)
    assert fused.trust.active_cue is ActiveCue.MONO and fused.scan.cue is Cue.MONO
    ahead = fused.scan.ranges[np.abs(fused.scan.angles) <= OPTIONS.ahead]
    assert 0 < np.isnan(ahead).sum() < len(ahead), "unknown is never free"
    assert nearest_ahead(fused.scan, OPTIONS.ahead) > 2.5
    tested = fusion.update(stereo(0.7, 0.5), mono(0.7, 0.5)).trust
    again = fusion.update(stereo(3.0, 0.9), replace(seen, stamp=0.9)).trust
    assert tested.last_sample == again.last_sample == 0.5 > before.last_sample
