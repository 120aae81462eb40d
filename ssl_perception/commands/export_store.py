"""``ssl-perception export store``: a student and its trust, without what only learning needs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ssl_perception.config import TrustConfig
from ssl_perception.depth.student.stored import (
    FEATURES_FILE,
    STUDENT_FILE,
    load_features,
    load_weights,
)
from ssl_perception.depth.trust.persistence import TRUST_FILE, load_trust
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.write import write_durably


def export_store(store: Path, output: Path) -> int:
    """Write a model store that holds the newest undamaged student and its trust; returns the
    number of the generation that they come from.

    The optimiser's state and the frames in memory stay behind: a learner can't go on from there.

    Args:
        store: folder of the model store.
        output: folder to make; an empty one may be there.

    Raises:
        InputError: no store, nothing undamaged in it, or a folder that isn't empty or can't be
            written.
    """
    generation = ModelStore(store).load((STUDENT_FILE, FEATURES_FILE), extras=False)
    if generation is None:
        raise InputError(f"{store}: no model store with an undamaged generation")
    load_weights(generation)
    load_features(generation)
    trust = store / TRUST_FILE
    _, problem = load_trust(trust, TrustConfig())
    if problem:
        raise InputError(problem)
    try:
        if output.exists() and any(output.iterdir()):
            raise InputError(f"{output}: is not empty; choose a new folder")
        with ModelStore(output) as exported:
            exported.commit(generation.files, notes=generation.notes)
            if trust.exists():
                write_durably(output / TRUST_FILE, trust.read_bytes())
        (output / "lock").unlink()  # for readers there is nothing to lock
    except OSError as error:
        raise InputError(f"{output}: {error.strerror or error}") from None
    return generation.number


def run_export_store(store: Path, output: Path, out: Console) -> None:
    """The command."""
    number = export_store(store, output)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    trust = "with its trust" if (output / TRUST_FILE).exists() else "no trust was stored"
    out.print(f"generation {number}: {output} ({size / 1e6:.2f} MB, {trust})", soft_wrap=True)
