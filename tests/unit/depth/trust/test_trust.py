"""The student is used only on evidence, and the teacher is checked as well."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.fusion import fuse
from ssl_perception.depth.trust.persistence import from_json, to_json
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.statistics import Tally, calibrate, rate_bounds, wilson
from ssl_perception.depth.trust.travel import travel
from ssl_perception.depth.trust.update import update, update_without_student
from ssl_perception.types import Cue, ObstacleScan, Odometry

OPTIONS = TrustConfig()
DT = 0.3


class Flight:
    """Feeds frames; stereo sees an obstacle at 0.7 m in one frame of four, else at 3 m."""

    def __init__(self, options: TrustConfig = OPTIONS, seed: int = 0) -> None:
        self.options = options
        self.trust = Trust()
        self.now = 0.0
        self.random = np.random.default_rng(seed)

    def frame(self, **fields: float | bool | str) -> Trust:
        self.now += DT
        values = {"stereo_valid": True, "stereo": 3.0, "mono": 3.0, "bias": 0.0, **fields}
        self.trust = update(self.trust, Observation(self.now, **values), self.options)  # type: ignore[arg-type]
        return self.trust

    def fly(self, frames: int, tpr: float = 1.0, fpr: float = 0.0) -> Trust:
        for k in range(frames):
            near = k % 4 == 0
            called = self.random.random() < (tpr if near else fpr)
            self.frame(stereo=0.7 if near else 3.0, mono=0.7 if called else 3.0)
        return self.trust


def test_a_good_student_is_trusted_and_becomes_the_guarded_cue() -> None:
    flight = Flight()
    assert flight.fly(40).active_cue is ActiveCue.STEREO
    trust = flight.fly(400)
    assert trust.trusted and trust.active_cue is ActiveCue.GUARDED


@pytest.mark.parametrize(("tpr", "fpr"), [(0.5, 0.0), (1.0, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_a_bad_student_never_does(tpr: float, fpr: float) -> None:
    flight = Flight()
    for _ in range(20):
        assert flight.fly(40, tpr, fpr).active_cue in (ActiveCue.STEREO, ActiveCue.NONE)
    assert not flight.trust.trusted


def test_few_obstacles_are_not_enough_evidence() -> None:
    flight = Flight()
    for _ in range(500):
        flight.frame()
    assert not flight.trust.trusted


def test_frames_in_quick_succession_count_once() -> None:
    trust = Trust()
    for k in range(100):
        trust = update(trust, Observation(0.01 * k, True, 0.7, 0.7), OPTIONS)
    assert len(trust.under_stereo.near) + len(trust.calibration) == 4


def test_a_threshold_is_not_judged_by_what_it_was_made_from() -> None:
    """Every other near obstacle is judged; a student that guesses calibrates well and fails."""
    flight = Flight()
    for k in range(400):
        flight.frame(stereo=0.7, mono=0.7 if k % 2 == 0 else 3.0)
    trust = flight.trust
    assert len(trust.calibration) == len(trust.under_stereo.near) == OPTIONS.near_window
    assert max(trust.calibration) < trust.threshold < min(trust.under_stereo.near)
    assert rate_bounds(trust.under_stereo, trust.threshold, OPTIONS.z).tpr == 0.0


def test_an_obstacle_a_little_beyond_trigger_is_no_false_alarm_and_no_test() -> None:
    flight = Flight()
    for _ in range(100):
        flight.frame(stereo=OPTIONS.trigger * (1 + OPTIONS.margin) - 0.01, mono=0.9)
    assert flight.trust.under_stereo == Tally()
    flight.frame(stereo=OPTIONS.trigger * (1 + OPTIONS.margin) + 0.01, mono=0.9)
    assert flight.trust.under_stereo == Tally(clear=(0.9,))


def test_early_predictions_do_not_calibrate_the_student_that_came_of_it() -> None:
    """A beginner that calls near things 1.5 m needs a long threshold, and cries wolf with it."""
    flight = Flight(TrustConfig(sample_interval=0.2))  # every frame is a test
    for k in range(200):
        flight.frame(stereo=0.7 if k % 4 == 0 else 1.4, mono=1.5)
    assert flight.trust.threshold > 1.4 and not flight.trust.trusted
    for k in range(8 * OPTIONS.near_window + OPTIONS.clear_window):
        distance = 0.7 if k % 4 == 0 else 1.4
        flight.frame(stereo=distance, mono=distance)
    assert flight.trust.threshold < 1.0 and flight.trust.trusted


def test_stereo_lost_trusted_mono_is_active_at_once() -> None:
    flight = Flight()
    flight.fly(400)
    trust = flight.frame(stereo_valid=False, stereo=math.nan)
    assert trust.active_cue is ActiveCue.MONO


def test_stereo_lost_untrusted_student_no_cue_is_active() -> None:
    flight = Flight()
    flight.fly(40)
    trust = flight.frame(stereo_valid=False, stereo=math.nan)
    assert trust.active_cue is ActiveCue.NONE
    assert "mono is not trusted yet" in trust.reason


def test_stereo_lost_no_model_no_cue_is_active() -> None:
    trust = Flight().frame(stereo_valid=False, stereo=math.nan, mono=math.nan)
    assert trust.active_cue is ActiveCue.NONE and "mono is unknown" in trust.reason


def test_stereo_counts_again_only_after_some_good_frames() -> None:
    flight = Flight()
    flight.fly(40)
    flight.frame(stereo_valid=False)
    cues = [flight.frame().active_cue for _ in range(6)]
    assert cues[:4] == [ActiveCue.NONE] * 4 and cues[5] is ActiveCue.STEREO


def test_valid_stereo_that_recovers_is_not_called_invalid() -> None:
    """On each frame until stereo counts again, with a trusted student and without one."""
    for frames, active in ((40, ActiveCue.NONE), (400, ActiveCue.MONO)):
        flight = Flight()
        flight.fly(frames)
        lost = flight.frame(stereo_valid=False, stereo=math.nan, stereo_reason="too few matches")
        assert "stereo is invalid: too few matches" in lost.reason
        for count in range(1, OPTIONS.recover_frames):
            trust = flight.frame()
            assert trust.active_cue is active
            assert f"stereo is recovering: {count} of 5 good frames" in trust.reason
            assert "invalid" not in trust.reason
        assert "recovering" not in flight.frame().reason
        again = flight.frame(stereo_valid=False, stereo=math.nan, stereo_reason="frozen")
        assert "stereo is invalid: frozen" in again.reason


def test_without_student_stereo_is_active_while_it_is_valid_and_the_reason_is_given() -> None:
    valid = Observation(1.0, True, 2.0, math.nan)
    trust = update_without_student(Trust(), valid)
    assert trust.active_cue is ActiveCue.STEREO
    trust = update_without_student(
        trust, replace(valid, stereo_valid=False, stereo_reason="no texture")
    )
    assert trust.active_cue is ActiveCue.NONE and "invalid: no texture" in trust.reason


def test_on_policy_failure_takes_trust_away() -> None:
    """Good marks under stereo don't excuse bad ones on the pictures that it makes itself see."""
    flight = Flight()
    flight.fly(400)
    assert flight.trust.active_cue is ActiveCue.GUARDED
    for _ in range(100):
        before = flight.trust
        if not flight.fly(4, tpr=0.3).trusted:
            break
    assert not flight.trust.trusted and flight.trust.active_cue is ActiveCue.STEREO
    stereo, mono = (
        rate_bounds(t, before.threshold, OPTIONS.z)
        for t in (before.under_stereo, before.under_mono)
    )
    assert stereo.tpr > 0.9 > mono.tpr


def test_mono_out_of_distribution_is_not_used_and_the_reason_is_given() -> None:
    flight = Flight()
    flight.fly(400)
    novel: dict[str, Any] = {
        "mono": math.nan,
        "bias": math.nan,
        "mono_reason": "out of distribution: novelty 0.9",
    }
    trust = flight.frame(stereo_valid=False, stereo=math.nan, **novel)
    assert trust.active_cue is ActiveCue.NONE
    assert "mono is invalid: out of distribution" in trust.reason
    assert flight.frame(stereo_valid=False, stereo=math.nan).active_cue is ActiveCue.MONO


def test_old_evidence_lapses() -> None:
    flight = Flight(TrustConfig(max_age=60.0))
    flight.fly(400)
    assert flight.frame(stereo_valid=False, stereo=math.nan).active_cue is ActiveCue.MONO
    flight.now += 61.0
    assert flight.frame(stereo_valid=False, stereo=math.nan).active_cue is ActiveCue.NONE


def at(x: float, stamp: float, frame: str = "odom") -> Odometry:
    pose = np.eye(4)
    pose[0, 3] = x
    return Odometry(pose, stamp, frame, "base_link")


def test_evidence_from_far_away_lapses() -> None:
    flight = Flight(TrustConfig(max_distance=30.0))
    flight.fly(400)
    for metre in range(30):
        flight.trust = travel(flight.trust, at(1000.0 - metre, flight.now))
    trust = flight.frame(stereo_valid=False, stereo=math.nan)
    assert trust.travelled == pytest.approx(29.0) and trust.active_cue is ActiveCue.MONO
    for metre in range(30, 33):
        flight.trust = travel(flight.trust, at(1000.0 - metre, flight.now))
    trust = flight.frame(stereo_valid=False, stereo=math.nan)
    assert trust.active_cue is ActiveCue.NONE and "32 m ago" in trust.reason
    flight.fly(10)
    assert flight.trust.travelled == 0.0, "a test where the robot is now"


def test_odometry_at_rest_and_in_a_new_frame_is_no_way() -> None:
    trust = Trust()
    for k in range(1000):
        trust = travel(trust, at(0.02 * (k % 2), 0.02 * k))
    assert trust.travelled == 0.0
    trust = travel(travel(trust, at(70.0, 21.0, "map")), at(72.0, 22.0, "map"))
    assert trust.travelled == pytest.approx(2.0)
    for k in range(100):  # slowly, in steps that are too small one by one
        trust = travel(trust, at(72.0 + 0.01 * k, 23.0 + k, "map"))
    assert trust.travelled == pytest.approx(3.0, abs=0.05)


def test_sudden_disagreement_in_a_known_place_is_the_teachers_fault() -> None:
    """A camera turned sideways: stereo still matches well, and is wrong."""
    flight = Flight()
    flight.fly(600)
    cues = [flight.frame(bias=0.5).active_cue for _ in range(3)]
    assert ActiveCue.MONO in cues[:2] and cues[-1] is ActiveCue.MONO
    for _ in range(100):
        assert flight.frame(bias=0.5).active_cue is ActiveCue.MONO, "and it must not become usual"
    for _ in range(20):
        flight.frame(bias=0.0)
    assert flight.trust.active_cue is ActiveCue.GUARDED


def test_sudden_disagreement_in_a_new_place_is_the_students() -> None:
    flight = Flight()
    flight.fly(600)
    for _ in range(5):
        trust = flight.frame(mono=math.nan, bias=math.nan, mono_reason="out of distribution")
    assert trust.active_cue is ActiveCue.STEREO and not trust.teacher_suspect


def test_drift_takes_trust_away() -> None:
    flight = Flight()
    flight.fly(400)
    for _ in range(60):
        flight.frame(stereo=1.5, mono=0.4)
    assert not flight.trust.trusted
    assert flight.trust.active_cue is ActiveCue.STEREO


def test_training_wheels_need_two_frames_for_a_very_near_obstacle_and_more_for_a_marginal() -> None:
    counts = []
    for distance in (0.25, 0.55):
        flight = Flight()
        flight.fly(400)
        frames = 0
        while not flight.trust.overriding:
            flight.frame(stereo=distance, mono=3.0)
            frames += 1
            assert frames < 10
        counts.append(frames)
    assert counts[0] == 2 and counts[1] > counts[0]


def test_one_wrong_stereo_frame_does_not_override() -> None:
    flight = Flight()
    flight.fly(400)
    for _ in range(10):
        flight.frame(stereo=0.3, mono=3.0)
        flight.frame()
        if not flight.trust.trusted:
            break
        assert not flight.trust.overriding and flight.trust.overrides == 0


def test_override_ends_when_the_obstacle_is_gone() -> None:
    flight = Flight()
    flight.fly(400)
    for _ in range(3):
        flight.frame(stereo=0.3, mono=3.0)
    assert flight.trust.overriding and flight.trust.overrides == 1
    assert not flight.frame().overriding


def test_rates_are_the_textbooks() -> None:
    tally = Tally(near=(0.5,) * 9 + (3.0,), clear=(0.5,) * 5 + (3.0,) * 15)
    marks = rate_bounds(tally, 1.0, OPTIONS.z)
    assert marks.tpr == pytest.approx(0.9) and marks.fpr == pytest.approx(0.25)
    assert (marks.positives, marks.negatives) == (10, 20)
    assert marks.tpr_lower < 0.9 and marks.fpr_upper > 0.25


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_contains_the_share_and_shrinks(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    low, high = wilson(successes, trials, 1.645)
    assert 0 <= low <= successes / trials + 1e-9 and successes / trials - 1e-9 <= high <= 1
    low10, high10 = wilson(10 * successes, 10 * trials, 1.645)
    assert high10 - low10 < high - low


@given(st.lists(st.floats(0.1, 5.0), min_size=20, max_size=80))
def test_calibrated_threshold_reaches_its_rate_unless_capped(distances: list[float]) -> None:
    options = TrustConfig(threshold_cap=10.0)
    threshold = calibrate(distances, options)
    called = np.mean([d < threshold for d in distances])
    assert called >= options.target_tpr
    assert calibrate(distances, OPTIONS) <= OPTIONS.threshold_cap


def scan(value: float) -> ObstacleScan:
    return ObstacleScan(np.array([value, np.nan, value], np.float32), -0.1, 0.1, 0.2, 10.0)


def test_no_active_cue_means_all_unknown() -> None:
    fused = fuse(Trust(), scan(np.inf), scan(np.inf), OPTIONS)
    assert np.isnan(fused.ranges).all() and fused.cue is Cue.NONE


def test_guarded_takes_the_nearer_of_both() -> None:
    trust = replace(Trust(), active_cue=ActiveCue.GUARDED, threshold=OPTIONS.trigger)
    assert fuse(trust, scan(2.0), scan(3.0), OPTIONS).ranges[0] == pytest.approx(2.0)
    assert fuse(trust, scan(3.0), scan(2.0), OPTIONS).ranges[0] == pytest.approx(2.0)


def test_mono_reads_trigger_at_its_threshold() -> None:
    trust = replace(Trust(), active_cue=ActiveCue.MONO, threshold=1.25)
    fused = fuse(trust, scan(np.nan), scan(1.25), OPTIONS)
    assert fused.ranges[0] == pytest.approx(OPTIONS.trigger)


def test_survives_a_restart() -> None:
    flight = Flight()
    flight.fly(600)
    text = json.dumps(to_json(flight.trust), allow_nan=False)
    back = from_json(json.loads(text), OPTIONS)
    assert back.trusted
    assert back.under_stereo == flight.trust.under_stereo
    assert back.threshold == flight.trust.threshold


@pytest.mark.parametrize("values", [{}, {"calibration": "x"}, {"under_stereo": [[1]]}])
def test_unreadable_trust_is_no_trust(values: dict[str, object]) -> None:
    assert from_json(values, OPTIONS) == Trust()


def test_a_few_misses_in_a_row_on_its_own_pictures_are_enough() -> None:
    flight = Flight()
    flight.fly(100)
    while flight.trust.active_cue is not ActiveCue.GUARDED:
        flight.fly(4)
    near = 0
    while flight.trust.trusted:
        near += 1
        for _ in range(3):
            flight.frame()
        flight.frame(stereo=0.7, mono=3.0)
        assert near < 12
