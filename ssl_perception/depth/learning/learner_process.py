"""The learner in a process of its own: it may crash, hang or run out of memory; the robot goes on.

Frames go in through one shared slot in which the newest wins; models come out through the model
store. `offer` never waits: while the learner is copying a frame out, the next one is dropped.
"""

from __future__ import annotations

import ctypes
import logging
import math
import multiprocessing
import signal
import time
import zlib
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import LearnerConfig
from ssl_perception.depth.student.architecture import NANO, SIZES, Architecture
from ssl_perception.io.model_store import ModelStore
from ssl_perception.runtime.extras import check_extra
from ssl_perception.types import FloatArray

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the caller's threads and locks
_PATIENCE = 0.2  # s between looks at whether to stop or save
_STARTING = 300.0  # s from its start to its first beat
_IDLE = 10.0  # s without a frame after which what was learnt is saved anyway


class Learnt(NamedTuple):
    """The last frame that was learnt.

    Attributes:
        stamp: seconds; NaN before the first.
        steps: taken so far, over all sessions.
        error: median absolute error in log depth before learning from it; NaN: no frame yet.
        label_crc32: of the label's bytes.
        generation: of the newest model handed over; 0: none.
    """

    stamp: float
    steps: int
    error: float
    label_crc32: int
    generation: int


class _Slot:
    """One frame in shared memory, what is asked of the learner, and its last report.

    No `Event`: setting one waits until every sleeper has woken, and a killed one never does. A
    semaphore is released without waiting for anybody.
    """

    def __init__(self, size: Architecture) -> None:
        self.size = size.name
        self.lock = _SPAWN.Lock()
        self.filled = _SPAWN.Semaphore(0)  # may count several frames; the newest is there
        self.stop = _SPAWN.RawValue(ctypes.c_bool, False)
        self.save = _SPAWN.RawValue(ctypes.c_bool, False)
        self.image = _SPAWN.RawArray(ctypes.c_uint8, size.height * size.width * 3)
        self.label = _SPAWN.RawArray(ctypes.c_float, int(np.prod(size.grid)))
        self.stamp = _SPAWN.RawValue(ctypes.c_double, math.nan)
        self.take_back = _SPAWN.RawValue(ctypes.c_double, math.nan)
        self.report_lock = _SPAWN.Lock()
        self.report = _SPAWN.RawArray(ctypes.c_double, [math.nan, 0.0, math.nan, 0.0, 0.0])
        self.beat = _SPAWN.RawValue(ctypes.c_double, 0.0)

    def views(self) -> tuple[NDArray[np.uint8], FloatArray]:
        size = SIZES[self.size]
        image = np.ctypeslib.as_array(self.image).reshape(size.height, size.width, 3)
        return image, np.ctypeslib.as_array(self.label).reshape(size.grid)


class LearnerProcess:
    """Starts a learner on a model store and feeds it.

    Args:
        store: folder of the model store; learning goes on from its newest good generation.
        options: of the learner.
        seed: of a fresh student.
        architecture: of the student.

    Raises:
        InputError: PyTorch (extra ``learning``) is not installed.
    """

    def __init__(
        self,
        store: Path,
        options: LearnerConfig | None = None,
        seed: int = 0,
        architecture: Architecture = NANO,
    ) -> None:
        check_extra("torch", "learning")
        self.store = Path(store)
        self.architecture = architecture
        self.options = options or LearnerConfig()
        self.seed = seed
        self.restarts = -1
        self._last = Learnt(math.nan, 0, math.nan, 0, 0)
        self._start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """The process runs. A hanging one does too: see ``silent_for``."""
        return self._process.is_alive()

    @property
    def learnt(self) -> Learnt:
        """The last frame that was learnt, as the learner reported it."""
        slot = self._slot
        # a learner killed while it reported keeps the lock: then its report before stands
        if slot.report_lock.acquire(timeout=0.001):
            try:
                stamp, steps, error, crc, generation = slot.report
                self._last = Learnt(stamp, int(steps), error, int(crc), int(generation))
            finally:
                slot.report_lock.release()
        return self._last

    @property
    def steps(self) -> int:
        """Taken so far, over all sessions; 0 until it has started."""
        return self.learnt.steps

    @property
    def error(self) -> float:
        """Median absolute log depth error of the last frame before it was learnt; NaN: none yet."""
        return self.learnt.error

    @property
    def silent_for(self) -> float:
        """Seconds since it last showed life."""
        return time.monotonic() - float(self._slot.beat.value)

    def offer(self, image: NDArray[np.uint8], label: FloatArray, stamp: float) -> bool:
        """Put a frame before the learner, in place of one that it hasn't taken. Never waits.

        Args:
            image: left image of any size.
            label: log depth on the student's grid, NaN unknown.
            stamp: seconds, of the image.

        Returns:
            False when the frame was dropped because the learner was just taking another.
        """
        small = self.architecture.shrink(image)
        slot = self._slot  # another thread may be putting a new one in its place
        if not slot.lock.acquire(block=False):
            return False
        try:
            into_image, into_label = slot.views()
            into_image[:] = small
            into_label[:] = label
            slot.stamp.value = stamp
            slot.filled.release()
        finally:
            slot.lock.release()
        return True

    def take_back(self, since: float) -> None:
        """Ask it to forget the labels of the frames stamped ``since`` (s) or later."""
        self._slot.take_back.value = since

    def keep_alive(self, silence: float = 30.0) -> bool:
        """Start it anew if it died, or hung for ``silence`` seconds. Returns whether it had to.

        A process that is still importing PyTorch has longer: on a busy machine it would else be
        killed and started for ever.
        """
        starting = self._slot.beat.value == self._started
        if self.alive and self.silent_for < (max(silence, _STARTING) if starting else silence):
            return False
        self._process.kill()
        self._process.join()
        self._start()
        return True

    def save(self) -> None:
        """Ask it to make a generation of the model store now; the store tells when it has."""
        self._slot.save.value = True

    def reset(self) -> None:
        """Forget all that was learnt, on the disk too, and begin with a fresh student.

        Raises:
            InputError: the store can't be written.
        """
        self._process.kill()
        self._process.join()
        try:
            with ModelStore(self.store) as store:
                store.clear()
        finally:
            self._start()

    def stop(self, seconds: float = 10.0) -> None:
        """Let it save and end; after ``seconds`` it is killed."""
        self._slot.stop.value = True
        self._slot.filled.release()
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        self.restarts += 1
        self._slot = _Slot(
            self.architecture
        )  # a killed process may have taken the old one's lock with it
        self._started = time.monotonic()
        self._slot.beat.value = self._started
        arguments = (self._slot, str(self.store), self.options.model_dump(), self.seed)
        self._process: BaseProcess = _SPAWN.Process(target=_run, args=arguments, daemon=True)
        # Ctrl-C goes to the whole process group; the learner must live until ``stop`` lets it save.
        # A mask is inherited, so it holds from the process's very start.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(slot: _Slot, store: str, options: dict[str, Any], seed: int) -> None:
    """The process: take the newest frame, learn, hand over now and then."""
    from ssl_perception.depth.learning.online import OnlineLearner

    slot.beat.value = time.monotonic()  # PyTorch alone takes a small board half a minute
    parent = multiprocessing.parent_process()
    with ModelStore(Path(store)) as opened:
        settings, size = LearnerConfig.model_validate(options), SIZES[slot.size]
        learner = OnlineLearner(settings, seed, store=opened, architecture=size)
        report = [math.nan, float(learner.steps), math.nan, 0.0, float(learner.generation or 0)]
        _report(slot, report)
        shared_image, shared_label = slot.views()
        last = time.monotonic()
        while not slot.stop.value and parent is not None and parent.is_alive():
            slot.beat.value = time.monotonic()
            if not math.isnan(since := slot.take_back.value):
                slot.take_back.value = math.nan
                learner.take_back(since)
            # a parent killed while it held the lock must not keep us, and the store, for ever
            if slot.filled.acquire(timeout=_PATIENCE) and slot.lock.acquire(timeout=_PATIENCE):
                while slot.filled.acquire(block=False):
                    pass
                image, label = shared_image.copy(), shared_label.copy()
                stamp = slot.stamp.value
                slot.lock.release()
                if slot.stop.value:
                    break
                last = time.monotonic()
                try:
                    step = learner.learn(image, label, stamp)
                    error = report[2] if step is None else step.error
                except OSError as problem:
                    error = report[2]
                    _complain(problem)
                crc = float(zlib.crc32(label.tobytes()))
                report = [stamp, float(learner.steps), error, crc, float(learner.generation or 0)]
                _report(slot, report)
            if slot.save.value or time.monotonic() - last > _IDLE:
                slot.save.value = False
                last = time.monotonic()
                _hand_over(learner)
                report[4] = float(learner.generation or 0)
                _report(slot, report)
        _hand_over(learner)


def _report(slot: _Slot, values: list[float]) -> None:
    if slot.report_lock.acquire(timeout=_PATIENCE):
        for index, value in enumerate(values):
            slot.report[index] = value
        slot.report_lock.release()


def _hand_over(learner: Any) -> None:
    """A full disk must not end learning: the last good generation stays."""
    try:
        learner.hand_over()
    except OSError as error:
        _complain(error)


def _complain(error: OSError) -> None:
    logging.getLogger(__name__).error("model not saved: %s", error)
