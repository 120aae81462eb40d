"""Models are handed over by the sensor's time: how fast a log is replayed changes nothing."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.config import LearnerConfig, ReplayMemoryConfig
from ssl_perception.depth.learning.online import OnlineLearner
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore

OPTIONS = LearnerConfig(
    prior="none", batch=2, memory=ReplayMemoryConfig(frames=16), save_seconds=1.0
)
LABEL = np.linspace(-0.5, 1.5, 1200, dtype=np.float32).reshape(30, 40)


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def generations(stamps: np.ndarray, delay: float = 0.0) -> list[int]:
    """The generation in use after each frame; and so much wall time between frames."""
    student = StudentInference()
    learner = OnlineLearner(OPTIONS, student=student)
    found = []
    for k, stamp in enumerate(stamps):
        learner.learn(image(k), LABEL, float(stamp))
        assert student.generation == learner.generation
        found.append(learner.generation or 0)
        time.sleep(delay)
    return found


def test_hand_over_goes_by_the_stamps_not_by_the_wall_clock() -> None:
    stamps = 1.7e9 + np.arange(25) / 5  # 5 Hz: one hand-over in five frames
    fast = generations(stamps)
    assert fast == [k // 5 for k in range(25)]
    assert generations(stamps, delay=0.06) == fast, "1.5 s of wall time, and no hand-over more"


def test_same_log_gives_the_same_models_at_any_speed() -> None:
    predictions = []
    for delay in (0.0, 0.05):
        student = StudentInference()
        learner = OnlineLearner(OPTIONS, seed=3, student=student)
        for k in range(13):
            learner.learn(image(k), LABEL, 0.2 * k)
            time.sleep(delay)
        prediction = student.predict(image(99))
        assert prediction is not None
        predictions.append(prediction)
    first, second = predictions
    assert first.generation == second.generation == 2
    np.testing.assert_array_equal(first.log_depth, second.log_depth)
    assert first.novelty == second.novelty > 0.0, "the memory's features come with the model"


def test_inference_uses_the_model_of_the_hand_over_until_the_next() -> None:
    student = StudentInference()
    learner = OnlineLearner(OPTIONS, student=student)
    learner.learn(image(0), LABEL, 0.0)
    assert student.generation is None
    learner.learn(image(1), LABEL, 1.0)
    assert student.generation == learner.generation == 1
    before = student.predict(image(9))
    learner.learn(image(2), LABEL, 1.9)
    again = student.predict(image(9))
    assert before is not None and again is not None
    np.testing.assert_array_equal(before.log_depth, again.log_depth)
    learner.learn(image(3), LABEL, 2.0)
    newer = student.predict(image(9))
    assert newer is not None and newer.generation == 2
    assert not np.array_equal(newer.log_depth, before.log_depth)


def test_stamps_that_go_back_are_another_recording_whose_time_counts_anew() -> None:
    learner = OnlineLearner(OPTIONS)
    for stamp in (100.0, 101.0):
        learner.learn(image(0), LABEL, stamp)
    assert learner.generation == 1
    for stamp, generation in ((5.0, 2), (5.5, 2), (5.9, 2), (6.1, 3)):
        learner.learn(image(0), LABEL, stamp)
        assert learner.generation == generation, stamp


def test_label_without_a_known_cell_teaches_nothing_and_hands_nothing_over() -> None:
    learner = OnlineLearner(OPTIONS)
    learner.learn(image(0), LABEL, 0.0)
    assert learner.learn(image(1), np.full_like(LABEL, np.nan), 50.0) is None
    assert learner.steps == 1 and learner.generation is None and learner.learnt_stamp == 0.0


def test_labels_of_a_suspect_teacher_are_taken_back() -> None:
    learner = OnlineLearner(OPTIONS)
    memory = learner.learner.memory
    for k in range(6):
        learner.learn(image(k), LABEL + k, 0.1 * k)
    serials = memory.serial[:6].copy()
    assert learner.take_back(since=0.35) == 2, "0.4 and 0.5 s"
    known = np.isfinite(memory.frames(np.arange(6)).labels).all(axis=(1, 2))
    assert known.tolist() == [True] * 4 + [False] * 2
    assert (memory.serial[:4] == serials[:4]).all() and (memory.serial[4:6] > serials.max()).all()
    assert learner.take_back(since=0.35) == 0, "only once"
    step = learner.learn(image(9), LABEL, 0.6)
    assert step is not None and math.isfinite(step.loss) and not step.rollback


def test_nothing_is_handed_over_twice() -> None:
    learner = OnlineLearner(OPTIONS)
    assert learner.hand_over() is None, "there is nothing to hand over yet"
    assert math.isnan(learner.learnt_stamp) and not learner.due
    learner.learn(image(0), LABEL, 0.0)
    assert [learner.hand_over(), learner.hand_over()] == [1, 1]


def test_each_hand_over_is_a_generation_of_the_store_and_learning_goes_on_from_it(
    tmp_path: Path,
) -> None:
    with ModelStore(tmp_path) as store, OnlineLearner(OPTIONS, store=store) as learner:
        for k in range(12):
            learner.learn(image(k), LABEL, 0.25 * k)
        assert learner.generation == store.newest() == 2
    found = ModelStore(tmp_path).load()
    assert found is not None and found.number == 3, "leaving it saves the last steps"
    assert found.notes["steps"] == 12
    student = StudentInference()
    with ModelStore(tmp_path) as store:
        again = OnlineLearner(OPTIONS, seed=9, student=student, store=store)
        assert (again.steps, again.generation) == (12, 3)
        for name, weight in learner.learner.weights().items():
            np.testing.assert_array_equal(again.learner.weights()[name], weight)
        again.learn(image(0), LABEL, 0.0)
        again.learn(image(1), LABEL, 1.0)
        assert again.generation == student.generation == 4


def test_full_disk_is_reported_once_an_interval_and_learning_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with ModelStore(tmp_path) as store:
        learner = OnlineLearner(OPTIONS, store=store)
        learner.learn(image(0), LABEL, 0.0)
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(OSError, match="No space"):
                learner.learn(image(1), LABEL, 1.0)
            learner.learn(image(2), LABEL, 1.5)  # not due again yet: no error at every frame
            with pytest.raises(OSError, match="No space"):
                learner.learn(image(3), LABEL, 2.0)
        learner.learn(image(4), LABEL, 3.0)
        assert learner.steps == 5 and store.newest() == 1
    found = ModelStore(tmp_path).load()
    assert found is not None and found.notes["steps"] == 5


def test_store_of_another_network_is_refused(tmp_path: Path) -> None:
    with ModelStore(tmp_path) as store:
        OnlineLearner(OPTIONS, store=store).learn(image(0), LABEL, 0.0)
        store.commit({"student.safetensors": b"", "training.safetensors": b"x"})
        with pytest.raises(InputError, match="not safetensors"):
            OnlineLearner(OPTIONS, store=store)
