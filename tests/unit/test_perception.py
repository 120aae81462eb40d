"""The whole depth half behind one object: learns in this process, saves at close, goes on later."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ssl_perception.config import Config, from_dict
from ssl_perception.depth.trust.persistence import TRUST_FILE, load_trust
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.pipeline import DepthResult, Perception
from ssl_perception.types import CameraModel, StereoPair

CAMERA = CameraModel(160, 120, 104.0, 104.0, 79.5, 59.5)
CONFIG = from_dict(
    {
        "stereo": {"disparities": 32, "max_depth": 20.0},
        "learner": {"prior": "none", "batch": 2, "save_seconds": 0.5, "memory": {"frames": 16}},
        "student": {"max_novelty": 2.0, "exclude": 0.0},
    }
)
_NOISE = np.random.default_rng(0).standard_normal((120, 800)).astype(np.float32)
_SMOOTH = cv2.GaussianBlur(_NOISE, (0, 0), 1.5)
SCENE = np.clip(128 + 40 * _SMOOTH / _SMOOTH.std(), 0, 255).astype(np.uint8)


def pair(k: int, disparity: int = 8) -> StereoPair:
    """A textured wall that moves by, 0.78 m away."""
    left, right = (SCENE[:, 3 * k + shift : 3 * k + shift + 160] for shift in (0, disparity))
    return StereoPair(left.copy(), right.copy(), CAMERA, 0.06, 0.1 * k)


def run(frames: range, store: Path | None, learn: bool, config: Config = CONFIG) -> list[Any]:
    with Perception(config, store, learn) as perception:
        assert perception.problems == []
        return [perception.stereo(pair(k)) for k in frames]


def content(folder: Path) -> dict[str, str]:
    """Every file's digest, and when it was written."""
    return {
        str(file.relative_to(folder)): f"{hashlib.sha256(file.read_bytes()).hexdigest()} "
        f"{file.stat().st_mtime_ns}"
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[DepthResult]]:
    """A store after eight frames, and what they gave."""
    store = tmp_path_factory.mktemp("learnt") / "store"
    return store, run(range(8), store, learn=True)


def test_it_learns_in_this_process_and_takes_the_new_model(
    first: tuple[Path, list[DepthResult]],
) -> None:
    _, results = first
    monos = [result.mono for result in results]
    assert all(mono is not None for mono in monos)
    assert [mono.generation for mono in monos if mono] == [None] * 6 + [1] * 2
    assert "no model yet" in monos[0].reason if monos[0] else False
    assert monos[-1] is not None and monos[-1].valid
    assert all(result.learnt is not None and result.label is not None for result in results)
    assert "learner" in results[0].stages


def test_it_saves_at_close_and_a_second_run_goes_on_from_it(
    first: tuple[Path, list[DepthResult]], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    results = run(range(8), store, learn=True)
    saved = ModelStore(store).load()
    assert saved is not None and saved.notes["steps"] == 8 and saved.number == 2
    trust, problem = load_trust(store / TRUST_FILE, CONFIG.trust)
    assert not problem and trust.under_stereo == results[-1].trust.under_stereo
    assert trust.calibration == results[-1].trust.calibration != ()

    with Perception(CONFIG, store, learn=True) as perception:
        assert perception.depth.fusion.trust.calibration == trust.calibration
        result = perception.stereo(pair(20))
        assert result.mono is not None and result.mono.valid
        assert result.mono.generation == 2, "the student of the first run, from the first frame"
    again = ModelStore(store).load()
    assert again is not None and again.notes["steps"] == 9 and again.number == 3


def test_closing_twice_saves_once(tmp_path: Path) -> None:
    perception = Perception(CONFIG, tmp_path / "store", learn=True)
    perception.stereo(pair(0))
    perception.close()
    before = content(tmp_path)
    perception.close()
    assert content(tmp_path) == before and ModelStore(tmp_path / "store").newest() == 1


def test_a_store_that_is_only_used_is_not_written(first: tuple[Path, list[DepthResult]]) -> None:
    store, _ = first
    before = content(store)
    results = run(range(4), store, learn=False)
    assert all(r.mono is not None and r.mono.generation == 2 for r in results)
    assert all(r.mono is not None and r.mono.valid and r.learnt is None for r in results)
    assert content(store) == before


def test_a_store_that_is_only_used_may_be_used_while_another_process_writes(
    first: tuple[Path, list[DepthResult]],
) -> None:
    with ModelStore(first[0]):
        assert run(range(1), first[0], learn=False)[0].mono is not None


def test_a_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Perception(CONFIG, store, learn=True) as perception:
        with pytest.raises(InputError, match="another learner writes here already") as caught:
            Perception(CONFIG, store, learn=True)
        assert "\n" not in str(caught.value)
        perception.stereo(pair(0))
    assert ModelStore(store).newest() == 1
    Perception(CONFIG, store, learn=True).close()


def test_a_store_without_a_student_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, line in (("empty", "no student in this store"), ("absent", "no such folder")):
        with pytest.raises(InputError, match=rf"{folder}: {line}") as caught:
            Perception(CONFIG, tmp_path / folder)
        assert "\n" not in str(caught.value)
    assert content(tmp_path) == {} and not (tmp_path / "absent").exists()


def test_a_store_that_is_refused_is_given_back(tmp_path: Path) -> None:
    """What holds the lock and then fails must not keep the store from the next."""
    with ModelStore(tmp_path) as store:
        store.commit({"student.safetensors": b"x", "memory.safetensors": b"x"})
    with pytest.raises(InputError, match="not safetensors"):
        Perception(CONFIG, tmp_path, learn=True)
    with ModelStore(tmp_path):
        pass


def test_what_is_learnt_without_a_store_ends_with_the_object() -> None:
    results = run(range(8), None, learn=True)
    assert results[-1].mono is not None and results[-1].mono.generation == 1
    fresh = run(range(1), None, learn=True)
    assert fresh[0].mono is not None and fresh[0].mono.generation is None


def test_without_store_and_learning_there_is_no_student() -> None:
    results = run(range(2), None, learn=False)
    assert all(r.mono is None and r.mono_scan is None and r.label is None for r in results)
    assert all(r.depth is r.stereo for r in results)
