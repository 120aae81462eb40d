"""A student for one run: out of a model store, perhaps learning, and back into it at the end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_perception.config import Config
from ssl_perception.depth.student.architecture import SIZES
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.stored import FEATURES_FILE, STUDENT_FILE, load_into
from ssl_perception.depth.trust.persistence import TRUST_FILE, load_trust, save_trust
from ssl_perception.depth.trust.state import Trust
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.runtime.extras import needs_extra

if TYPE_CHECKING:
    from ssl_perception.depth.learning.online import OnlineLearner


class StudentSession:
    """See ``Perception`` for the arguments.

    Attributes:
        student: inference, with the store's newest good model if it has one.
        learner: None unless it learns.
        trust: what the student had earned; a fresh state where nothing is stored.
        problems: what was wrong with the store, one line each.

    Raises:
        InputError: a store without a student although nothing is to be learnt, one that another
            process writes to, or one whose student doesn't fit this network.
    """

    def __init__(self, config: Config, store: Path | str | None, learn: bool, seed: int) -> None:
        self.problems: list[str] = []
        self.student = StudentInference(config.student)
        self.learner: OnlineLearner | None = None
        self.trust = Trust()
        self._trust_file: Path | None = None
        self._open = ExitStack()
        folder = None if store is None else Path(store)
        if folder is not None:
            self._load(folder, config, learn)
        if learn:
            with needs_extra("learning"):
                from ssl_perception.depth.learning.online import OnlineLearner

            opened = None if folder is None else self._open.enter_context(ModelStore(folder))
            try:
                size = SIZES[config.student.size]
                self.learner = OnlineLearner(config.learner, seed, self.student, opened, size)
            except BaseException:
                self._open.close()
                raise
            self._trust_file = None if folder is None else folder / TRUST_FILE

    def _load(self, folder: Path, config: Config, learn: bool) -> None:
        if not learn and not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        found = ModelStore(folder).load((STUDENT_FILE, FEATURES_FILE), extras=False)
        if found is None:
            if not learn:
                raise InputError(f"{folder}: no student in this store; --learn makes one")
            return
        self.problems += found.damaged
        load_into(self.student, found)
        self.trust, problem = load_trust(folder / TRUST_FILE, config.trust)
        self.problems += [problem] if problem else []

    def close(self, trust: Trust) -> None:
        """Save what was learnt, and ``trust``, if anything was learnt; a second time does nothing.

        Raises:
            InputError: the store can't be written.
        """
        learner, self.learner = self.learner, None
        with self._open:
            if learner is None:
                return
            try:
                learner.hand_over()
                if self._trust_file is not None:
                    save_trust(self._trust_file, trust)
            except OSError as error:
                raise InputError(f"{self._trust_file}: {error.strerror or error}") from None
