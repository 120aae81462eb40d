"""``ssl-perception train scoop``: a run with its log, its checkpoint and its end."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from safetensors.torch import save

from ssl_perception.datasets import FlowSample, open_flow
from ssl_perception.errors import InputError
from ssl_perception.flow.scoop.training import (
    Losses,
    Pairs,
    Training,
    held_out,
)
from ssl_perception.io.lock import lock_file
from ssl_perception.io.write import make_folder, write_output
from ssl_perception.runtime.console import progress_bar
from ssl_perception.runtime.interrupts import Interrupts
from ssl_perception.runtime.torch_device import choose_device

STREETS = 100_000  # seeds of training streets begin here, far from those that are scored
HELD_OUT_STREETS = 200_000
PER_STREET = 3  # a street takes longer to build than a pair of sweeps
HELD_OUT = 12  # crops
EVALUATE_STEPS = 100
PATIENCE = 8  # evaluations without a better one


def run_train_scoop(
    folder: Path,
    dataset: str | None,
    path: Path | None,
    steps: int,
    points: int,
    seed: int,
    device: str,
    out: Console,
) -> dict[str, Any]:
    """Train until ``steps``, or until the held-out loss gets no better; resumes in ``folder``.

    Interrupted or terminated it ends after the step in hand, which the checkpoint then has.

    Args:
        folder: gets ``scoop.safetensors`` (the best so far), ``checkpoint.safetensors``,
            ``log.jsonl`` and, where TensorBoard is installed, its events.
        dataset, path: as for ``evaluate flow``; None: simulated streets.
        points: of each cloud in a crop.

    Raises:
        InputError: a dataset that can't be read or isn't ego-compensated, or a checkpoint that
            isn't of this run.
    """
    make_folder(folder)
    training = Training(seed, points, choose_device(device))
    checkpoint, weights = folder / "checkpoint.safetensors", folder / "scoop.safetensors"
    if checkpoint.exists():
        training.restore(checkpoint)
        out.print(f"goes on at step {training.step}, held-out loss {training.best:.4f}")
    pairs, others = _data(dataset, path, seed)
    crops = held_out(others, HELD_OUT, points)
    writer = _tensorboard(folder)
    started = time.perf_counter()
    recent: list[list[float]] = []
    with (
        lock_file(folder / "lock", f"{folder}: another training runs here"),
        Interrupts() as interrupts,
        progress_bar(out) as bar,
        (folder / "log.jsonl").open("a", encoding="utf-8") as log,
    ):
        task = bar.add_task("training", total=steps, completed=training.step)
        for loss in training.run(pairs, steps):
            bar.advance(task)
            recent.append([float(part) for part in loss])
            if interrupts.received:
                training.save(checkpoint)
                out.print(f"{checkpoint}: stopped after step {training.step}")
                interrupts.leave()
            if training.step % EVALUATE_STEPS and training.step != steps:
                continue
            value = training.evaluate(crops)
            row = {
                "step": training.step,
                "held_out": value,
                **dict(zip(Losses._fields, np.mean(recent, axis=0).tolist(), strict=True)),
                "epsilon": float(training.model.epsilon.detach()),
                "gamma": float(training.model.gamma.detach()),
                "seconds": time.perf_counter() - started,
            }
            recent.clear()
            log.write(json.dumps(row) + "\n")
            log.flush()
            if writer is not None:
                for name, number in row.items():
                    writer.add_scalar(name, number, training.step)
            bar.update(task, description=f"training, held-out loss {value:.4f}")
            if training.since == 0:
                state = training.model.state_dict()
                write_output(weights, save({n: v.cpu().contiguous() for n, v in state.items()}))
            training.save(checkpoint)
            if training.since >= PATIENCE:
                break
    out.print(f"{weights}: held-out loss {training.best:.4f} after {training.step} steps")
    return {"steps": training.step, "held_out": training.best}


def _data(dataset: str | None, path: Path | None, seed: int) -> tuple[Pairs, Pairs]:
    """Pairs to train on and pairs to be judged on."""
    if dataset is None:
        return _streets(STREETS + 10_000 * seed), _streets(HELD_OUT_STREETS)
    if path is None:
        raise InputError("--dataset needs the PATH of its folder")
    samples = open_flow(dataset, path)
    count = len(samples)
    if count < 2:
        raise InputError(f"{path}: {count} pair; two at least are needed, one to be judged on")
    kept = max(1, count // 10)

    def make(number: int) -> FlowSample:
        sample = samples[number]
        if not sample.prepared:
            raise InputError(
                f"{sample.name}: not ego-compensated and ground-free; such pairs can't teach"
            )
        return sample

    return (
        Pairs(lambda k: make(kept + k), count - kept),
        Pairs(make, kept),
    )


def _streets(first: int) -> Pairs:
    from ssl_perception_sim.recording.pairs import street_pairs

    made: dict[int, list[FlowSample]] = {}

    def make(number: int) -> FlowSample:
        street, which = divmod(number, PER_STREET)
        if street not in made:
            made.clear()  # they come in order: one street at a time is enough
            made[street] = list(street_pairs([first + street], per_street=PER_STREET))
        return made[street][which]

    return Pairs(make, 10**9)


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
