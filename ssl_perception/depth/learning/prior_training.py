"""Training a prior: many places with true depth, before the robot has seen any of its own.

The loss is the online learner's; augmentation is far stronger, since what must be learnt here is
what holds in every place: perspective and the size of things, not colours or textures. What flies
is the running mean of the weights. The bound of the error is calibrated on places that were not
trained on.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ssl_perception.config import LearnerConfig
from ssl_perception.depth.learning import calibration
from ssl_perception.depth.learning.augmentation import augment
from ssl_perception.depth.learning.losses import frame_losses, uncertainty_losses
from ssl_perception.depth.learning.prior import Prior
from ssl_perception.depth.learning.replay_memory import Frames
from ssl_perception.depth.student.architecture import NANO, Architecture
from ssl_perception.depth.student.network import StudentNetwork, nearer_view
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_output

LEARNING_RATE = 2e-3  # falls to nothing along a cosine
BATCH = 24
AVERAGING = 0.002
_EVALUATE = 64  # frames at once


class PriorTraining:
    """One run; every step draws from a generator of its own, (seed, step), so that a run that was
    stopped and resumed gives the weights of one that wasn't.

    Args:
        frames: to learn from.
        steps: of the whole run, which the step size falls along.
        seed: of the first weights, the batches and the augmentation.
        start: to go on from, with half the step size; None: from scratch.
        architecture: of the student.

    Attributes:
        step: taken so far.

    Raises:
        InputError: a start that doesn't fit this network.
    """

    def __init__(
        self,
        frames: Frames,
        steps: int,
        seed: int,
        start: Prior | None = None,
        architecture: Architecture = NANO,
    ) -> None:
        self.frames, self.steps, self.seed, self.step = frames, steps, seed, 0
        torch.manual_seed(seed)
        network = StudentNetwork(architecture)
        self._rate = LEARNING_RATE
        if start is not None:
            start.load_into(network)
            self._rate *= 0.5
        self.student = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.student).eval()
        self.student.train()
        self.options = LearnerConfig()
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), self._rate, weight_decay=self.options.weight_decay
        )

    def run(self) -> Iterator[float]:
        """Take the steps that are left; the loss of each."""
        while self.step < self.steps:
            rng = np.random.default_rng((self.seed, self.step))
            rows = rng.choice(len(self.frames.images), BATCH, replace=False)
            images, labels = augment(self.frames.images[rows], self.frames.labels[rows], rng)
            target = torch.from_numpy(labels)
            output = self.student(torch.from_numpy(images).permute(0, 3, 1, 2))
            losses = frame_losses(output.log_depth, target, self.options)
            uncertainty = uncertainty_losses(output.log_depth, output.log_scale, target)
            loss = (losses + self.options.uncertainty_weight * uncertainty).mean()
            share = self.step / self.steps
            self.optimiser.param_groups[0]["lr"] = (
                self._rate * 0.5 * (1.0 + math.cos(math.pi * share))
            )
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.options.clip)
            self.optimiser.step()
            self.step += 1
            self._follow()
            yield float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        rate = max(AVERAGING, 1.0 / (self.step + 1))
        values = self.student.state_dict()
        for name, mean in self.average.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(values[name], rate)

    def finish(self, held_out: Frames, pinned: int) -> tuple[Prior, float]:
        """The prior, calibrated on frames of other places; and its median error there, log depth.

        Args:
            held_out: frames of places that were not trained on.
            pinned: how many of the training's frames go with it, evenly spread over the places.
        """
        log_depth, scale = self.predict(held_out.images)
        excess = calibration.excess(log_depth, scale, held_out.labels, self.options)
        quantile = float(np.quantile(excess, 1.0 - self.options.miss_rate)) if len(excess) else 4.0
        known = np.isfinite(held_out.labels)
        error = float(np.median(np.abs(log_depth - held_out.labels)[known]))
        rows = np.linspace(0, len(self.frames.images) - 1, pinned).astype(int)
        network = {name: value.numpy().copy() for name, value in self.average.state_dict().items()}
        kept = Frames(self.frames.images[rows], self.frames.labels[rows])
        return Prior(network, max(quantile, 1.0), kept), error

    @torch.no_grad()
    def predict(self, images: NDArray[np.uint8]) -> tuple[NDArray, NDArray]:
        """Log depth and scale of its error, (n, rows, columns) each, of the running mean, as
        inference has them."""
        depths, scales = [], []
        for k in range(0, len(images), _EVALUATE):
            views = torch.from_numpy(images[k : k + _EVALUATE]).permute(0, 3, 1, 2)
            log_depth, log_scale = nearer_view(self.average(views), self.average(views.flip(3)))
            depths.append(log_depth)
            scales.append(log_scale.exp())
        return torch.cat(depths).numpy(), torch.cat(scales).numpy()

    def save(self, path: Path) -> None:
        """All that resuming needs but the frames, as safetensors."""
        tensors = {f"student.{n}": v for n, v in self.student.state_dict().items()}
        tensors |= {f"average.{n}": v for n, v in self.average.state_dict().items()}
        for name, parameter in self.student.named_parameters():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = torch.as_tensor(value).detach().clone()
        counts = [self.seed, self.steps, self.step, len(self.frames.images)]
        tensors["counts"] = torch.tensor(counts, dtype=torch.int64)
        write_output(path, save({name: value.contiguous() for name, value in tensors.items()}))

    def restore(self, path: Path) -> None:
        """Go on from ``save``.

        Raises:
            InputError: not such a file, or one of another run.
        """
        try:
            tensors = load_file(str(path))
            seed, steps, step, frames = tensors["counts"].tolist()
            if (seed, steps, frames) != (self.seed, self.steps, len(self.frames.images)):
                raise InputError(
                    f"{path}: of a run with seed {seed}, {steps} steps and {frames} frames; this "
                    f"one has {self.seed}, {self.steps} and {len(self.frames.images)}"
                )
            for who, network in (("student.", self.student), ("average.", self.average)):
                network.load_state_dict(
                    {n.removeprefix(who): v for n, v in tensors.items() if n.startswith(who)}
                )
            for name, parameter in self.student.named_parameters():
                self.optimiser.state[parameter] = {
                    key: tensors[f"adam.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
                }
            self.step = step
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            line = " ".join(str(error).split())
            raise InputError(f"{path}: not a checkpoint of this training: {line}") from None
