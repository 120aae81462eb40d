"""Learning while the robot works: one step per labelled frame, and a new model now and then."""

from __future__ import annotations

import math
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import LearnerConfig
from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner, Step
from ssl_perception.depth.student.architecture import NANO, Architecture
from ssl_perception.io.model_store import ModelStore
from ssl_perception.types import FloatArray

if TYPE_CHECKING:
    from ssl_perception.depth.student.inference import StudentInference

_REVOCABLE = 100  # newest frames whose labels can be taken back


class OnlineLearner:
    """A learner that hands over its model every ``save_seconds`` of the sensor's own time.

    Hand-over goes by the stamps, not by the wall clock, so that a log gives the same models however
    fast it is replayed. The learner process of the robot runs exactly this.

    Args:
        options: settings of learning.
        seed: of a fresh student.
        student: inference in this process that takes over each model; None: there is none.
        store: opened for writing; learning goes on from its newest good generation, and each model
            becomes a generation. None: nothing outlives the process.
        architecture: of the student.

    Attributes:
        generation: number of the last model handed over; None before the first.
        learnt_stamp: seconds, of the last frame learnt; NaN before the first.

    Raises:
        InputError: the store's newest generation, or the prior, doesn't fit this network.
        OSError: there is a prior, and the store's disk is full or gone.
    """

    def __init__(
        self,
        options: LearnerConfig | None = None,
        seed: int = 0,
        student: StudentInference | None = None,
        store: ModelStore | None = None,
        architecture: Architecture = NANO,
    ) -> None:
        self.learner = Learner(options, seed, architecture=architecture)
        self.generation: int | None = None
        self.learnt_stamp = math.nan
        self._student = student
        self._checkpoint = None if store is None else Checkpoint(store)
        if self._checkpoint is not None:
            restored = self._checkpoint.restore(self.learner)
            self.generation = None if restored is None else restored.generation
        self._newest: deque[tuple[float, int, int]] = deque(maxlen=_REVOCABLE)
        self._handed_over = math.nan  # stamp of the last hand-over
        self._steps_then = self.learner.steps
        if self.generation is None and self.learner.knows_something:
            self._deploy()  # a prior sees from the first frame on

    @property
    def steps(self) -> int:
        """Taken so far, over all sessions."""
        return self.learner.steps

    @property
    def due(self) -> bool:
        """There is a model that is ``save_seconds`` newer than the last one handed over."""
        elapsed = self.learnt_stamp - self._handed_over
        # stamps that go back are another recording: its time counts anew
        late = elapsed >= self.learner.options.save_seconds or elapsed < 0.0
        return self.steps > self._steps_then and late

    def learn(self, image: NDArray[np.uint8], label: FloatArray, stamp: float) -> Step | None:
        """One step on a frame, and the hand-over when it is due.

        Args:
            image: left image of any size.
            label: log depth on the student's grid, NaN unknown (``pseudo_label``).
            stamp: seconds, of the image.

        Returns:
            What the step did; None for a label without a single known cell.

        Raises:
            OSError: the store's disk is full or gone; learning can go on.
        """
        if not np.isfinite(label).any():
            return None
        step = self.learner.step(image, label)
        self.learnt_stamp = stamp
        if step.slot is not None:
            self._newest.append((stamp, step.slot, int(self.learner.memory.serial[step.slot])))
        if math.isnan(self._handed_over):
            self._handed_over = stamp
        if self.due:
            self.hand_over()
        return step

    def take_back(self, since: float) -> int:
        """Forget the labels of the frames stamped ``since`` (s) or later: their teacher is suspect.

        The few steps that were taken on them stay; they are as nothing beside a label that would be
        learnt from again and again.

        Returns:
            How many of them were still in the replay memory.
        """
        taken = [entry for entry in self._newest if entry[0] >= since]
        for entry in taken:
            self._newest.remove(entry)
        return sum(self.learner.memory.take_back(slot, serial) for _, slot, serial in taken)

    def hand_over(self) -> int | None:
        """Give the model of now to inference and to the store; returns its number.

        Raises:
            OSError: the store's disk is full or gone; learning can go on.
        """
        if self.steps == self._steps_then:
            return self.generation
        # failing counts as done: the next try is as far off as it would be otherwise
        self._handed_over, self._steps_then = self.learnt_stamp, self.steps
        return self._deploy()

    def _deploy(self) -> int:
        if self._checkpoint is not None:
            self.generation = self._checkpoint.save(self.learner)
        else:
            self.generation = (self.generation or 0) + 1
        if self._student is not None:
            features = self.learner.memory.history()
            self._student.load(self.learner.weights(), self.generation, features)
        return self.generation

    def __enter__(self) -> OnlineLearner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hand_over()
