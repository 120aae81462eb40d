"""The student learns, notices when it goes wrong, and goes back to when it was right."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from ssl_perception.config import LearnerConfig, ReplayMemoryConfig
from ssl_perception.depth.learning.augmentation import nearer
from ssl_perception.depth.learning.calibration import calibrated, excess
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.learning.losses import frame_losses, uncertainty_losses
from ssl_perception.depth.student.architecture import FIRST_QUANTILE, QUANTILE
from ssl_perception.depth.student.inference import Prediction, StudentInference
from ssl_perception.errors import InputError

SMALL = LearnerConfig(
    prior="none", batch=4, memory=ReplayMemoryConfig(frames=64), snapshot_steps=10
)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose brightness is depth, cell by cell; and its label."""
    random = np.random.default_rng(seed)
    log_depth = cv2.resize(random.uniform(-1, 1.5, (3, 4)).astype(np.float32), (40, 30))
    bright = 128 + 60 * log_depth + random.normal(0, 3, (30, 40))
    image = cv2.resize(bright.astype(np.float32), (160, 120)).clip(0, 255).astype(np.uint8)
    return np.dstack([image] * 3), log_depth


def taught(steps: int, options: LearnerConfig = SMALL, seed: int = 0) -> Learner:
    learner = Learner(options, seed)
    for k in range(steps):
        learner.step(*scene(k))
    return learner


@pytest.fixture(scope="module")
def state() -> dict[str, np.ndarray]:
    """Of a learner after 50 steps; the tests restore from it rather than train again."""
    return taught(50).state()


def restored(state: dict[str, np.ndarray], options: LearnerConfig = SMALL) -> Learner:
    learner = Learner(options, seed=1)
    learner.restore(state)
    for k in range(10):
        learner.memory.add(*scene(k), np.random.default_rng(k).random(96).astype(np.float32))
    return learner


def prediction_of(learner: Learner, image: np.ndarray) -> Prediction:
    found = StudentInference()
    found.load(learner.weights(), 1)
    prediction = found.predict(image)
    assert prediction is not None
    return prediction


def test_error_before_learning_falls() -> None:
    learner = Learner(SMALL)
    errors = [learner.step(*scene(k)).error for k in range(50)]
    assert np.mean(errors[-10:]) < 0.5 * np.mean(errors[:10])


def test_error_is_taken_before_the_frame_is_learnt() -> None:
    """The same frame for ever: the first error is that of an untrained student."""
    learner = Learner(SMALL)
    image, _ = scene(0)
    label = np.full((30, 40), 3.0, np.float32)
    assert learner.step(image, label).error > 1.5


def test_a_step_changes_neither_image_nor_label_and_remembers_them_as_they_are() -> None:
    """Augmentation works on copies, at the first frame too, when there is no memory yet."""
    options = SMALL.model_copy(update={"zoom_share": 1.0})
    image, label = scene(0)
    given = image.copy(), label.copy()
    for seed in range(4):  # some of them mirror
        learner = Learner(options, seed)
        for slot in range(2):
            learner.step(image, label)
            np.testing.assert_array_equal(image, given[0])
            np.testing.assert_array_equal(label, given[1])
            frame = learner.memory.frames(np.array([slot]))
            np.testing.assert_array_equal(frame.images[0], image)
            np.testing.assert_allclose(frame.labels[0], label, atol=1e-3)


def test_unknown_cells_teach_nothing() -> None:
    predicted = torch.zeros((1, 30, 40))
    labels = torch.full((1, 30, 40), 1.0)
    half = labels.clone()
    half[:, :15] = torch.nan
    whole, part = (frame_losses(predicted, t, SMALL) for t in (labels, half))
    assert torch.isfinite(part).all() and part.item() == pytest.approx(whole.item(), abs=1e-5)
    garbage = predicted.clone()
    garbage[:, :15] = 50.0
    assert frame_losses(garbage, half, SMALL).item() == pytest.approx(part.item(), abs=1e-5)


def test_the_scale_of_the_error_is_learnt_and_the_depth_does_not_learn_from_it() -> None:
    """Laplace: the likeliest scale is the mean absolute error."""
    predicted = torch.full((1, 30, 40), 1.0, requires_grad=True)
    labels = torch.full((1, 30, 40), 1.2)
    labels[:, 20:] = torch.nan
    log_scale = torch.zeros((1, 30, 40), requires_grad=True)
    costs = {
        scale: uncertainty_losses(predicted, log_scale + math.log(scale), labels).item()
        for scale in (0.1, 0.2, 0.4)
    }
    assert min(costs, key=lambda scale: costs[scale]) == 0.2
    uncertainty_losses(predicted, log_scale, labels).sum().backward()
    assert predicted.grad is None and log_scale.grad is not None
    assert not log_scale.grad[:, 20:].any() and log_scale.grad[:, :20].all()


def test_the_bound_misses_as_few_near_cells_as_asked() -> None:
    """The share of near cells that lie nearer than the bounds around them, before each frame is
    learnt."""
    options = SMALL.model_copy(update={"miss_rate": 0.1, "calibration_rate": 0.5})
    learner = Learner(options)
    missed, cells = [], []
    for k in range(160):
        image, label = scene(k)
        prediction = prediction_of(learner, image)
        near = label < math.log(options.near)
        nearest = cv2.erode(prediction.log_depth - prediction.error_bound, np.ones((3, 3)))
        missed.append(int((label < nearest)[near].sum()))
        cells.append(int(near.sum()))
        learner.step(image, label)
    assert 0.04 < sum(missed[60:]) / sum(cells[60:]) < 0.16
    assert learner.weights()[QUANTILE][0] != pytest.approx(FIRST_QUANTILE, rel=0.05)


def test_a_missed_cell_moves_the_bound_as_much_as_it_says_of_an_obstacle() -> None:
    """One cell of 1200 is next to nothing, half of the image counts in full; and an outline that is
    a cell off is no miss."""
    options = LearnerConfig(miss_rate=0.01, calibration_rate=0.2)
    log_depth, scale = np.full((30, 40), 1.0, np.float32), np.full((30, 40), 0.2, np.float32)
    cell, half = np.full((2, 30, 40), np.nan, np.float32)
    cell[10, 10], half[:, :20] = -0.5, -0.5
    quantile = math.log(3.0)  # 1.0 - 3 x 0.2 lies beyond -0.5
    little = calibrated(quantile, excess(log_depth, scale, cell, options), options) - quantile
    much = calibrated(quantile, excess(log_depth, scale, half, options), options) - quantile
    assert little == pytest.approx(0.2 * 0.99 / 60) and much == pytest.approx(0.2 * 0.99)
    np.testing.assert_allclose(excess(log_depth, scale, cell, options), [7.5])
    log_depth[:, :19] = -0.5
    assert calibrated(quantile, excess(log_depth, scale, half, options), options) < quantile


def test_a_state_of_before_the_student_knew_its_error_goes_on(state: dict[str, np.ndarray]) -> None:
    """What was learnt stays; the error is large until it is learnt, and so is the bound."""
    old = {
        name: array[:1] if ".head." in name and array.ndim else array
        for name, array in state.items()
    }
    old["health"] = state["health"][:-1]
    learner = restored(old)
    new = restored(state)
    assert learner.steps == new.steps
    image, _ = scene(200)
    before, after = prediction_of(learner, image), prediction_of(new, image)
    np.testing.assert_allclose(before.log_depth, after.log_depth, atol=1e-5)
    np.testing.assert_allclose(before.error_bound, FIRST_QUANTILE * math.exp(-1.0), rtol=1e-4)
    step = learner.step(*scene(3))
    assert math.isfinite(step.loss) and not step.rollback


def test_an_error_weighs_more_where_things_are_near() -> None:
    """Half of the picture at 0.5 m, half at 8 m, and the student wrong by a tenth in one half."""
    labels = torch.full((1, 30, 40), math.log(8.0))
    labels[:, :15] = math.log(0.5)
    wrong = {"near": labels.clone(), "far": labels.clone()}
    wrong["near"][:, :15] += 0.1
    wrong["far"][:, 15:] += 0.1
    even, weighted = (
        {k: frame_losses(p, labels, options).item() for k, p in wrong.items()}
        for options in (LearnerConfig(near_weight=0.0), LearnerConfig(near_weight=3.0))
    )
    assert even["near"] == pytest.approx(even["far"], rel=1e-4)
    # the gradient term is the same in both; of the weights 1 + 3 * 2 are near, 1 + 3 / 8 far
    slope = even["near"] - 0.5 * 0.1**2 / (2 * 0.1)
    near, far = weighted["near"] - slope, weighted["far"] - slope
    assert near / far == pytest.approx(7.0 / 1.375, rel=1e-3)


def test_label_without_a_known_cell_is_refused() -> None:
    with pytest.raises(InputError, match="no known cell"):
        Learner(SMALL).step(scene(0)[0], np.full((30, 40), np.nan, np.float32))


def test_same_seed_same_student() -> None:
    a, b = (taught(6).weights() for _ in range(2))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_the_seed_decides_the_first_weights() -> None:
    """Whatever random numbers the process has drawn before."""
    first = Learner(SMALL, seed=5).weights()
    torch.rand(7)
    again, other = Learner(SMALL, seed=5).weights(), Learner(SMALL, seed=6).weights()
    for name, weight in first.items():
        np.testing.assert_array_equal(again[name], weight)
    assert not np.array_equal(first["encoder3.weight"], other["encoder3.weight"])


@pytest.mark.parametrize("threads", [1, 3])
def test_the_process_keeps_its_threads_and_its_random_numbers(threads: int) -> None:
    """Of PyTorch: its number of threads and the state of its global random generator."""
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(threads)
    torch.manual_seed(123)
    try:
        expected = torch.rand(5)
        torch.manual_seed(123)
        learner = Learner(SMALL, seed=4, threads=2)
        assert torch.get_num_threads() == threads
        for k in range(3):
            learner.step(*scene(k))
            assert torch.get_num_threads() == threads
        learner.restore(learner.state())
        learner.weights()
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.rand(5), expected)
    finally:
        torch.set_num_threads(before)
        torch.set_rng_state(state)


def test_a_step_that_fails_gives_the_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    learner = Learner(SMALL, threads=before + 1)
    seen = []

    def fail(*_: object) -> None:
        seen.append(torch.get_num_threads())
        raise RuntimeError("out of memory")

    monkeypatch.setattr(learner, "_learn", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        learner.step(*scene(0))
    assert seen == [before + 1], "a step runs on the learner's own number of threads"
    assert torch.get_num_threads() == before


def test_state_round_trip_is_exact(state: dict[str, np.ndarray]) -> None:
    again = restored(state).state()
    assert again.keys() == state.keys()
    for name in state:
        np.testing.assert_array_equal(again[name], state[name], err_msg=name)


@pytest.mark.parametrize("damage", ["missing", "shape", "nan"])
def test_state_that_does_not_fit_is_refused(state: dict[str, np.ndarray], damage: str) -> None:
    name = "student.head.weight"
    changed = dict(state)
    if damage == "missing":
        del changed[name]
    else:
        bad = np.zeros(3, np.float32) if damage == "shape" else state[name] * np.nan
        changed[name] = bad
    learner = Learner(SMALL)
    before = learner.state()
    with pytest.raises(InputError, match=name):
        learner.restore(changed)
    np.testing.assert_array_equal(learner.state()[name], before[name])


def test_nan_weights_are_rolled_back(state: dict[str, np.ndarray]) -> None:
    learner = restored(state)
    with torch.no_grad():
        learner.student.head.weight.fill_(torch.nan)
    step = learner.step(*scene(100))
    assert "loss nan" in step.rollback
    assert learner.step(*scene(101)).rollback == ""
    assert all(np.isfinite(w).all() for w in learner.weights().values())


def test_divergence_on_remembered_frames_is_rolled_back(state: dict[str, np.ndarray]) -> None:
    learner = restored(state)
    for k in range(60, 75):
        learner.step(*scene(k))
    assert np.isfinite(learner._health.good_memory_loss)
    good = learner._good["student.head.weight"].copy()
    assert learner.student.head.bias is not None
    with torch.no_grad():
        learner.student.head.bias += 4.0  # and so, slowly, do the deployed weights
    rollbacks = [learner.step(*scene(k)).rollback for k in range(75, 90)]
    first = next(k for k, why in enumerate(rollbacks) if why)
    assert "remembered frames" in rollbacks[first]
    assert not any(rollbacks[first + 1 :])
    assert good.shape == learner._good["student.head.weight"].shape


def test_collapse_is_rolled_back(state: dict[str, np.ndarray]) -> None:
    """A student that predicts the same everywhere and has stopped learning."""
    learner = restored(state, SMALL.model_copy(update={"learning_rate": 1e-9, "batch": 2}))
    learner._health.steps = 500
    learner._health.spread = 0.1
    with torch.no_grad():
        for network in (learner.student, learner._average):
            network.head.weight.zero_()
    whys = [learner.step(*scene(k)).rollback for k in range(20)]
    assert any("all alike" in why for why in whys)
    assert learner.student.head.weight.abs().sum() > 0


def test_new_scene_is_noticed_and_is_no_reason_to_roll_back(
    state: dict[str, np.ndarray],
) -> None:
    learner = restored(state)
    for k in range(60, 80):
        learner.step(*scene(k))
    learner._health.steps = 500  # settled
    steps = []
    for k in range(12):
        image, label = scene(k)
        steps.append(learner.step(255 - image, label + np.float32(2.0)))
    assert any(step.new_scene for step in steps)
    assert sum(step.new_scene for step in steps) == 1
    assert not any(step.rollback for step in steps)


@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0), (0.5, 0.25)])
def test_an_enlarged_frame_is_what_a_nearer_camera_would_see(place: tuple[float, float]) -> None:
    """A plane whose brightness is its column, and its label the same, stay true to each other."""
    columns = np.arange(160, dtype=np.float32)
    image = np.dstack([np.tile(columns.astype(np.uint8), (120, 1))] * 3)
    label = np.tile(columns.reshape(40, 4).mean(axis=1) / 100, (30, 1)).astype(np.float32)
    label[0, 0] = np.nan
    picture, depth = nearer(image, label, 2.0, *place)
    assert picture.shape == image.shape and depth.shape == label.shape
    seen = picture[:, :, 0].reshape(30, 4, 40, 4).mean(axis=(1, 3)) / 100
    known = np.isfinite(depth)
    assert np.abs(depth + np.log(2.0) - seen)[known].max() < 0.03  # half a cell: 0.02
    first = 80 * place[0]
    assert picture[60, 0, 0] == pytest.approx(first, abs=1) and known.sum() >= 1200 - 4


def test_a_frame_enlarged_by_one_is_itself() -> None:
    image, label = scene(0)
    picture, depth = nearer(image, label, 1.0, 0.3, 0.7)
    np.testing.assert_array_equal(picture, image)
    np.testing.assert_array_equal(depth, label)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="cuda, but PyTorch finds no usable GPU"):
        Learner(SMALL.model_copy(update={"device": "cuda"}))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu_it_learns_what_it_learns_on_the_cpu() -> None:
    """Same seed, same frames: the same student but for rounding; and either goes on from either."""
    here, there = taught(20), taught(20, SMALL.model_copy(update={"device": "cuda"}))
    for name, weight in here.weights().items():
        np.testing.assert_allclose(there.weights()[name], weight, atol=0.05)
    here.restore(there.state())
    there.restore(here.state())
    assert there.step(*scene(99)).error == pytest.approx(here.step(*scene(99)).error, abs=1e-3)
