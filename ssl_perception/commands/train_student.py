"""``ssl-perception train student``: a prior for the student, from simulated rooms and streets."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ssl_perception.depth.learning.prior import load_prior, save_prior
from ssl_perception.depth.learning.prior_training import PriorTraining
from ssl_perception.depth.learning.replay_memory import Frames
from ssl_perception.depth.student.architecture import NANO, SIZES, Architecture
from ssl_perception.errors import InputError
from ssl_perception.io.files import load_arrays
from ssl_perception.io.lock import lock_file
from ssl_perception.io.write import make_folder, write_output
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.interrupts import Interrupts
from ssl_perception.runtime.worker_processes import worker_pool

FIRST_PLACE = 1_000_000  # seeds of training places begin here, far from those that are scored
HELD_OUT_PLACE = 2_000_000
HELD_OUT_SHARE = 0.08  # of the places, besides
FRAMES_PER_PLACE = 12
SAVE_STEPS = 500


def run_train_student(
    folder: Path,
    places: Mapping[str, int],
    start: Path | None,
    steps: int,
    pinned: int,
    seed: int,
    processes: int,
    out: Console,
    size: Architecture = NANO,
) -> dict[str, Any]:
    """Render the places once, train, calibrate; resumes in ``folder``.

    Args:
        folder: gets ``frames.npz``, ``held_out.npz``, ``checkpoint.safetensors``, ``log.jsonl`` and
            in the end ``student_prior.safetensors``.
        places: how many of each kind: ``drone``, ``room``, ``street``.
        start: a prior to go on from; None: from scratch.
        pinned: frames that the prior takes along for the replay memory.
        size: of the student.

    Raises:
        InputError: what lies in the folder is of another run.
    """
    make_folder(folder)
    shift = 10_000 * seed
    frames = _frames(folder / "frames.npz", places, FIRST_PLACE + shift, processes, out, size)
    others = {kind: math.ceil(HELD_OUT_SHARE * count) for kind, count in places.items()}
    held_out = _frames(folder / "held_out.npz", others, HELD_OUT_PLACE, processes, out, size)
    prior = None if start is None else load_prior(start)
    training = PriorTraining(frames, steps, seed, prior, size)
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        training.restore(checkpoint)
        out.print(f"goes on at step {training.step}")
    started = time.perf_counter()
    recent: list[float] = []
    with (
        lock_file(folder / "lock", f"{folder}: another training runs here"),
        Interrupts() as interrupts,
        progress_bar(out) as bar,
        (folder / "log.jsonl").open("a", encoding="utf-8") as log,
    ):
        task = bar.add_task("training", total=steps, completed=training.step)
        for loss in training.run():
            bar.advance(task)
            recent.append(loss)
            if not (interrupts.received or training.step % SAVE_STEPS == 0):
                continue
            training.save(checkpoint)
            row = {
                "step": training.step,
                "loss": float(np.mean(recent)),
                "seconds": time.perf_counter() - started,
            }
            recent.clear()
            log.write(json.dumps(row) + "\n")
            log.flush()
            if interrupts.received:
                out.print(f"{checkpoint}: stopped after step {training.step}")
                interrupts.leave()
    prior, error = training.finish(held_out, pinned)
    target = folder / "student_prior.safetensors"
    save_prior(target, prior)
    out.print(
        f"{target} ({target.stat().st_size / 1e6:.1f} MB): median error {error:.3f} in log depth "
        f"in {sum(others.values())} places not trained on; bound {prior.quantile:.2f} times its "
        "scale"
    )
    return {"steps": steps, "held_out_error": error, "quantile": prior.quantile}


def _frames(
    path: Path,
    places: Mapping[str, int],
    first: int,
    processes: int,
    out: Console,
    size: Architecture,
) -> Frames:
    """Of so many places; rendered once, then read from ``path``."""
    count = FRAMES_PER_PLACE * sum(places.values())
    if path.exists():
        stored = load_arrays(path)
        wanted = (count, size.height, size.width, 3)
        if stored["images"].shape != wanted or int(stored["first"]) != first:
            raise InputError(f"{path}: of a run with other places; remove it, or use another --out")
        return Frames(stored["images"], stored["labels"].astype(np.float32))
    jobs = [(kind, first + k, size.name) for kind, number in places.items() for k in range(number)]
    images, labels = [], []
    with (
        worker_pool(processes) as pool,
        progress_bar(out) as bar,
    ):
        task = bar.add_task(f"rendering {len(jobs)} places", total=len(jobs))
        for place_images, place_labels in pool.map(_place, jobs):
            images.append(place_images)
            labels.append(place_labels)
            bar.advance(task)
    frames = Frames(np.concatenate(images), np.concatenate(labels))
    stream = io.BytesIO()
    np.savez(stream, images=frames.images, labels=frames.labels.astype(np.float16), first=first)
    write_output(path, stream.getvalue())
    return frames


def _place(job: tuple[str, int, str]) -> tuple[np.ndarray, np.ndarray]:
    from ssl_perception_sim.recording import depth_frames

    kind, seed, name = job
    makers = {
        "drone": depth_frames.drone_frames,
        "room": depth_frames.room_frames,
        "street": depth_frames.street_frames,
    }
    examples = list(makers[kind](seed, FRAMES_PER_PLACE, SIZES[name]))
    return np.stack([image for image, _ in examples]), np.stack([label for _, label in examples])
