"""The learner killed at any instant, also in the middle of a save: what it had saved is there."""

from __future__ import annotations

import os
import signal
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from ssl_perception.config import LearnerConfig, ReplayMemoryConfig
from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.learning.learner_process import LearnerProcess
from ssl_perception.depth.student.stored import STUDENT_FILE, load_weights
from ssl_perception.io.model_store import ModelStore

pytestmark = pytest.mark.processes

OPTIONS = LearnerConfig(prior="none", memory=ReplayMemoryConfig(frames=64), save_seconds=0.3)
IMAGE = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
LABEL = np.linspace(-0.5, 1.5, 1200, dtype=np.float32).reshape(30, 40)


def write_for_ever(path: Path) -> None:
    """Commit generation after generation; all files of one carry the same number."""
    with ModelStore(path) as store:
        number = store.newest() or 0
        while True:
            number += 1
            content = number.to_bytes(8, "little") * 20_000
            chunk = store.put(b"chunk" + (number // 5).to_bytes(8, "little") * 5_000)
            store.commit({"a": content, "b": content + b"b"}, [chunk], {"number": number})


def test_killed_at_two_hundred_instants_a_whole_generation_is_always_there(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    last = 0
    for _ in range(200):
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(tmp_path)
            finally:
                os._exit(1)
        time.sleep(random.uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        generation = ModelStore(tmp_path).load()
        if generation is None:
            assert last == 0
            continue
        assert not generation.damaged and not generation.lost
        assert generation.number >= last, "what was committed is never lost"
        last = generation.number
        number = generation.notes["number"]
        assert generation.files["a"] == number.to_bytes(8, "little") * 20_000
        assert generation.files["b"] == generation.files["a"] + b"b"
    assert last > 20, "the test must have tested something"
    with ModelStore(tmp_path) as store:
        store.commit({"a": b""})
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(left) <= 2 + 5 + 2, "and nothing of the killed ones piles up"


def offer(process: LearnerProcess) -> bool:
    """A frame of now."""
    return process.offer(IMAGE, LABEL, time.monotonic())


def feed(process: LearnerProcess, until: float, seconds: float = 60.0) -> None:
    """Offer frames until the learner has taken so many steps."""
    end = time.monotonic() + seconds
    while process.steps < until:
        assert time.monotonic() < end, f"only {process.steps} steps in {seconds} s"
        offer(process)
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_learner_goes_on_from_where_it_saved(tmp_path: Path) -> None:
    process = LearnerProcess(tmp_path, OPTIONS)
    try:
        feed(process, 5)
        while not ModelStore(tmp_path).newest():
            offer(process)
            time.sleep(0.01)
        before = process.steps
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        while process.alive:
            time.sleep(0.01)
        start = time.perf_counter()
        offer(process)
        assert time.perf_counter() - start < 0.1, "offering to the dead does not wait"
        assert process.keep_alive() and process.restarts == 1
        generation = ModelStore(tmp_path).load([STUDENT_FILE], extras=False)
        assert generation is not None and load_weights(generation)
        saved = generation.notes["steps"]
        feed(process, saved + 1)
        assert process.steps >= saved + 1 > 1
        assert before - saved <= 200  # 10 s at 20 steps a second
    finally:
        process.stop()
    assert not process.alive
    generation = ModelStore(tmp_path).load()
    assert generation is not None and generation.notes["steps"] == process.steps


def test_offering_to_a_learner_killed_in_its_sleep_does_not_wait(tmp_path: Path) -> None:
    """Waking sleepers and waiting until they have woken would wait for a dead one for ever."""
    process = LearnerProcess(tmp_path, OPTIONS)
    try:
        feed(process, 1)
        time.sleep(0.5)  # nothing to learn: it sleeps until the next frame
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        while process.alive:
            time.sleep(0.01)
        offering = threading.Thread(target=offer, args=(process,), daemon=True)
        offering.start()
        offering.join(5.0)
        assert not offering.is_alive(), "it waits for the dead"
    finally:
        process.stop()


def test_it_reports_the_frame_that_it_learnt_last_and_hands_over_by_the_stamps(
    tmp_path: Path,
) -> None:
    """Frames 3600 s apart: each is due for a hand-over, though seconds pass on the clock."""
    options = OPTIONS.model_copy(update={"save_seconds": 3600.0})
    process = LearnerProcess(tmp_path, options)
    try:
        assert process.learnt.stamp != process.learnt.stamp, "none yet"
        for k in range(4):
            label = LABEL + np.float32(0.1 * k)
            end = time.monotonic() + 60.0
            while not process.offer(IMAGE, label, 3600.0 * k):
                assert time.monotonic() < end, "the frame was never taken"
            while process.learnt.stamp != 3600.0 * k:
                assert time.monotonic() < end, "the frame was not learnt"
                time.sleep(0.01)
            learnt = process.learnt
            assert learnt.steps == k + 1 and learnt.error > 0.0
            assert learnt.label_crc32 == zlib.crc32(label.tobytes())
            assert learnt.generation == k == (ModelStore(tmp_path).newest() or 0)
    finally:
        process.stop()
    assert ModelStore(tmp_path).newest() == 3, "nothing new since the last hand-over"


@pytest.mark.slow
def test_frames_that_come_during_a_reset_do_no_harm(tmp_path: Path) -> None:
    process = LearnerProcess(tmp_path, OPTIONS)
    over = threading.Event()
    failed: list[BaseException] = []

    def offer_for_ever() -> None:
        try:
            while not over.is_set():
                offer(process)
        except BaseException as error:
            failed.append(error)

    offering = threading.Thread(target=offer_for_ever, daemon=True)
    try:
        feed(process, 1)
        offering.start()
        for _ in range(3):
            process.reset()
            assert process.steps == 0
            end = time.monotonic() + 60.0
            while process.steps < 2 and not failed:
                assert time.monotonic() < end, "after being reset it learns nothing"
                time.sleep(0.05)
        over.set()
        offering.join(5.0)
        assert not failed and not offering.is_alive()
        assert process.alive and process.restarts == 3
    finally:
        over.set()
        process.stop()


def test_checkpoint_with_a_damaged_chunk_restores_the_rest(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    learner = Learner(OPTIONS)
    with ModelStore(tmp_path) as store:
        checkpoint = Checkpoint(store)
        for _ in range(3):  # three chunks of ten frames
            for _ in range(10):
                learner.memory.add(IMAGE, LABEL, random.random(96).astype(np.float32))
            checkpoint.save(learner, {"note": 1})
        chunks = [p for p in (tmp_path / "blobs").iterdir() if b'"image"' in p.read_bytes()[:400]]
        assert len(chunks) == 3
        content = bytearray(chunks[0].read_bytes())
        content[len(content) // 2] ^= 4
        chunks[0].write_bytes(content)
        again = Learner(OPTIONS, seed=1)
        restored = Checkpoint(store).restore(again)
    assert restored is not None
    assert (restored.frames, restored.lost_frames) == (20, 10)
    assert restored.notes["note"] == 1 and restored.damaged == ()
    for name, weight in learner.weights().items():
        np.testing.assert_array_equal(again.weights()[name], weight)


def test_save_is_incremental(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    learner = Learner(OPTIONS)
    with ModelStore(tmp_path) as store:
        checkpoint = Checkpoint(store)
        for _ in range(40):
            learner.memory.add(IMAGE, LABEL, random.random(96).astype(np.float32))
        checkpoint.save(learner)
        before = {p.name for p in (tmp_path / "blobs").iterdir()}
        learner.memory.add(IMAGE, LABEL, random.random(96).astype(np.float32))
        checkpoint.save(learner)
        fresh = [p for p in (tmp_path / "blobs").iterdir() if p.name not in before]
        big = [p for p in fresh if b'"image"' in p.read_bytes()[:400]]
        assert len(big) == 1 and big[0].stat().st_size < 2 * IMAGE.nbytes


def test_chunks_of_forgotten_frames_go(tmp_path: Path) -> None:
    """However long it learns, the store holds at most about twice the memory."""
    random = np.random.default_rng(0)
    learner = Learner(OPTIONS)
    with ModelStore(tmp_path) as store:
        checkpoint = Checkpoint(store)
        for _ in range(30):
            for _ in range(20):
                learner.memory.add(IMAGE, LABEL, random.random(96).astype(np.float32))
            checkpoint.save(learner)
        size = sum(p.stat().st_size for p in (tmp_path / "blobs").iterdir())
        restored = Checkpoint(store).restore(Learner(OPTIONS))
    assert restored is not None and restored.frames == 64 and restored.lost_frames == 0
    frames = 64 * (IMAGE.nbytes + 2 * LABEL.size)
    assert size < 3 * frames + 2 * 6_000_000  # chunks of two generations, weights and moments


def test_full_disk_does_not_end_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(OPTIONS)
    learner.step(IMAGE, LABEL)
    with ModelStore(tmp_path) as store:
        checkpoint = Checkpoint(store)
        checkpoint.save(learner)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            learner.step(IMAGE, LABEL)
            with pytest.raises(OSError, match="No space"):
                checkpoint.save(learner)
        learner.step(IMAGE, LABEL)
        checkpoint.save(learner)
    generation = ModelStore(tmp_path).load()
    assert generation is not None and generation.notes["steps"] == 3
