"""The student learns from the teacher while the robot works: one step per labelled frame.

Each frame is first predicted, which scores the student on what it has not learnt yet, and then
learnt together with some from memory. Without memory it never learns (feasibility: AUC 0.43 to
0.66 after five minutes of only the newest frames).

Learning that goes on for days will one day go wrong. Three signs are watched (loss or gradient
not finite; loss on *remembered* frames risen far above what it was; predictions all alike) and
each takes the student back to its last good state. The newest frame's loss is no such sign: it
rises in every new place, and there the student should learn, not turn back.

The network also learns how large its error is; how many of those make a bound is calibrated on each
frame before it is learnt (``calibration``).

The step size never falls to zero, so the weights never come to rest; what flies is their running
mean, which does.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_perception.config import LearnerConfig
from ssl_perception.depth.learning import calibration
from ssl_perception.depth.learning.augmentation import nearer
from ssl_perception.depth.learning.losses import frame_losses, uncertainty_losses
from ssl_perception.depth.learning.prior import load_prior, prior_path
from ssl_perception.depth.learning.replay_memory import Frames, ReplayMemory
from ssl_perception.depth.student.architecture import (
    FIRST_LOG_SCALE,
    FIRST_QUANTILE,
    NANO,
    Architecture,
    Weights,
)
from ssl_perception.depth.student.network import Output, StudentNetwork, fold, nearer_view
from ssl_perception.errors import InputError
from ssl_perception.runtime.torch_device import choose_device
from ssl_perception.types import BoolArray, FloatArray

_ALIGNMENT = 20  # frames that set the scale of a prior
_SMOOTHING = 0.05  # of the running means by which health is judged


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        error: median absolute error in log depth on the newest frame, before learning from it.
        loss: on the batch; NaN when the step was undone.
        gradient_norm: before clipping.
        seconds: wall time.
        slot: where the frame went in memory; None: passed over.
        new_scene: the error has jumped: another place. The step size is raised for a while.
        rollback: why the student went back to its last good state; empty: it didn't.
    """

    error: float
    loss: float
    gradient_norm: float
    seconds: float
    slot: int | None
    new_scene: bool
    rollback: str


@dataclass
class _Health:
    """Running means, and their values when the student was last known to be good."""

    steps: int = 0
    memory_loss: float = math.nan
    good_memory_loss: float = math.nan
    spread: float = 1.0  # of the predictions, as a share of the labels' spread
    error_fast: float = math.nan
    error_slow: float = math.nan
    since_new_scene: int = 1_000_000
    log_quantile: float = math.log(FIRST_QUANTILE)  # of the error, in units of its scale


class Learner:
    """The student in training, with its memory. Not for two threads at once.

    Args:
        options: settings.
        seed: of the first weights, the sampling and the augmentation.
        threads: of PyTorch in a step; one, since the robot has other things to do. The rest of the
            process keeps its own number of threads, and its random numbers.
        architecture: of the student.

    Raises:
        InputError: a prior that can't be read, or doesn't fit this network; or a GPU that isn't
            there.
    """

    def __init__(
        self,
        options: LearnerConfig | None = None,
        seed: int = 0,
        threads: int = 1,
        architecture: Architecture = NANO,
    ) -> None:
        self.options = options = options or LearnerConfig()
        self.architecture = architecture
        self._threads = threads
        self._random = np.random.default_rng(seed)
        self.memory = ReplayMemory(options.memory, seed, architecture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = StudentNetwork(architecture)
        self._health = _Health()
        self._from_prior = self._take_prior(network)
        self._device = choose_device(options.device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.student = network.to(self._device)  # made on the CPU: a seed gives the same anywhere
        self._optimiser = torch.optim.AdamW(
            self.student.parameters(),
            options.learning_rate,
            weight_decay=options.weight_decay,
            fused=True,
        )
        self._average = copy.deepcopy(self.student).eval()
        self.student.train()
        self._good = self.state()

    def _take_prior(self, network: StudentNetwork) -> bool:
        """Start from the prior that the settings name; whether there is one."""
        path = prior_path(self.options.prior, self.architecture)
        if path is None:
            return False
        prior = load_prior(path)
        prior.load_into(network)
        self._health.log_quantile = math.log(prior.quantile)
        self._health.since_new_scene = 0  # its first place is one
        self.memory.pin(prior.frames)
        return True

    @property
    def knows_something(self) -> bool:
        """It isn't the random network that one without a prior is before its first step."""
        return self._from_prior or self.steps > 0

    @property
    def steps(self) -> int:
        """Taken so far, over all sessions."""
        return self._health.steps

    def weights(self) -> Weights:
        """For inference: the running mean of the weights, BatchNorm folded."""
        return fold(self._average, math.exp(self._health.log_quantile))

    def step(self, image: NDArray[np.uint8], label: FloatArray) -> Step:
        """Score, remember and learn one frame.

        Args:
            image: left image of any size.
            label: (rows, columns) log depth, NaN unknown (see ``pseudo_label``).

        Raises:
            InputError: a label without a single known cell, or of another grid.
        """
        if label.shape != self.architecture.grid:
            raise InputError(f"label must be {self.architecture.grid}, not {label.shape}")
        known = np.isfinite(label)
        if not known.any():
            raise InputError("label has no known cell")
        with _torch_threads(self._threads):
            return self._step(image, label, known)

    def _step(self, image: NDArray[np.uint8], label: FloatArray, known: BoolArray) -> Step:
        start = time.perf_counter()
        small = self.architecture.shrink(image)
        prediction, scale, feature = self._predict(small)
        excess = calibration.excess(prediction, scale, label, self.options)
        quantile = calibration.calibrated(self._health.log_quantile, excess, self.options)
        self._health.log_quantile = quantile
        if self._from_prior and self._health.steps < _ALIGNMENT:
            self._align(float(np.median((label - prediction)[known])))
        error = float(np.median(np.abs(prediction - label)[known]))
        spread = float(prediction[known].std() / max(float(label[known].std()), 0.05))
        new_scene = self._watch_error(error)

        batch = self._batch(small, label)
        slot = self.memory.add(small, label, feature)
        loss, memory_loss, norm = self._learn(batch)
        trouble = self._trouble(loss, memory_loss, norm, spread)
        if trouble:
            self._restore(self._good)
        elif self._health.steps % self.options.snapshot_steps == 0:
            self._health.good_memory_loss = self._health.memory_loss
            self._good = self.state()
        return Step(
            error=error,
            loss=math.nan if trouble else loss,
            gradient_norm=norm,
            seconds=time.perf_counter() - start,
            slot=slot,
            new_scene=new_scene,
            rollback=trouble,
        )

    def state(self) -> dict[str, NDArray]:
        """A copy of all that training needs to go on, except the memory."""
        arrays = {f"student.{k}": v.cpu().numpy() for k, v in self.student.state_dict().items()}
        arrays |= {f"average.{k}": v.cpu().numpy() for k, v in self._average.state_dict().items()}
        names = [name for name, _ in self.student.named_parameters()]
        for index, moments in self._optimiser.state_dict()["state"].items():
            for key, value in moments.items():
                arrays[f"optimiser.{names[index]}.{key}"] = value.cpu().numpy()
        health = [float(getattr(self._health, k)) for k in _Health.__dataclass_fields__]
        arrays["health"] = np.array(health, np.float64)
        return {name: np.array(array, order="C") for name, array in arrays.items()}

    def restore(self, arrays: dict[str, NDArray]) -> None:
        """Take up ``state`` again.

        Raises:
            InputError: arrays that don't fit this network, or aren't finite; nothing is changed.
        """
        arrays = _with_uncertainty(arrays)
        expected = self.student.state_dict()
        student, average = (
            {name: _tensor(arrays, f"{who}.{name}", old.shape) for name, old in expected.items()}
            for who in ("student", "average")
        )
        moments: dict[int, dict[str, Tensor]] = {}
        for index, (name, parameter) in enumerate(self.student.named_parameters()):
            if f"optimiser.{name}.step" not in arrays:
                continue
            moments[index] = {
                "step": _tensor(arrays, f"optimiser.{name}.step", ()),
                "exp_avg": _tensor(arrays, f"optimiser.{name}.exp_avg", parameter.shape),
                "exp_avg_sq": _tensor(arrays, f"optimiser.{name}.exp_avg_sq", parameter.shape),
            }
        numbers = arrays.get("health", np.zeros(0))
        if numbers.shape != (len(_Health.__dataclass_fields__),):
            raise InputError(f"learner state: health has shape {numbers.shape}")
        self.student.load_state_dict(student)
        self._average.load_state_dict(average)
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        values = dict(zip(_Health.__dataclass_fields__, numbers.tolist(), strict=True))
        counts = {name: int(values.pop(name)) for name in ("steps", "since_new_scene")}
        self._health = _Health(**values, **counts)
        self._good = self.state()

    @torch.no_grad()
    def _predict(self, image: NDArray[np.uint8]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Log depth, scale of its error and feature of the newest frame, as inference has them; on
        the way, bring one stored frame's feature up to date."""
        images = [image[None], image[None, :, ::-1]]
        slot = self._health.steps % len(self.memory) if len(self.memory) else None
        if slot is not None:
            images.append(self.memory.frames(np.array([slot])).images)
        with self._autocast():
            output = self._average(_planes(np.concatenate(images)).to(self._device))
        features = output.feature.cpu().numpy()
        if slot is not None:
            self.memory.refresh(slot, features[2])
        own, mirrored = (Output(*(part[k : k + 1] for part in output)) for k in (0, 1))
        log_depth, log_scale = nearer_view(own, mirrored)
        return log_depth[0].cpu().numpy(), log_scale[0].exp().cpu().numpy(), features[0]

    @torch.no_grad()
    def _align(self, error: float) -> None:
        """A prior knows another camera and other places: their scale is taken from the first
        labels, the mean of the frames' median error, rather than learnt step by step."""
        for network in (self.student, self._average):
            assert network.head.bias is not None
            network.head.bias[0] += error / (self._health.steps + 1)

    def _autocast(self) -> torch.autocast:
        """Convolutions in ``learner.precision``; the network's answers are float32 either way."""
        half = self.options.precision == "bfloat16"
        return torch.autocast(self._device.type, torch.bfloat16, enabled=half)

    def _batch(self, image: NDArray[np.uint8], label: FloatArray) -> Frames:
        """The newest frame first, the rest from memory; each perhaps mirrored or drawn nearer."""
        images, labels = image[None].copy(), label[None].copy()  # not the caller's
        frames = self.memory.sample(self.options.batch - 1, self.options.pinned_share)
        if len(frames.images):
            images = np.concatenate([images, frames.images])
            labels = np.concatenate([labels, frames.labels])
        mirrored = self._random.random(len(images)) < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
        labels[mirrored] = labels[mirrored, :, ::-1]
        for k in np.flatnonzero(self._random.random(len(images)) < self.options.zoom_share):
            factor = math.exp(self._random.uniform(0.0, math.log(self.options.zoom)))
            place = self._random.random(), self._random.random()
            images[k], labels[k] = nearer(images[k], labels[k], factor, *place)
        return Frames(images, labels)

    def _learn(self, batch: Frames) -> tuple[float, float, float]:
        """One optimiser step; returns loss, loss on the remembered part, gradient norm.

        A step that isn't finite is computed but not taken.
        """
        options, count = self.options, len(batch.images)
        gain = 1 + options.gain * (2 * self._random.random(count) - 1)
        brightness = torch.from_numpy(gain.astype(np.float32)).to(self._device)
        images = _planes(batch.images).to(self._device)
        bright = (images * brightness[:, None, None, None]).clamp(max=255)
        with self._autocast():
            predicted = self.student(bright)
        labels = torch.from_numpy(batch.labels).to(self._device)
        losses = frame_losses(predicted.log_depth, labels, options)
        uncertainty = uncertainty_losses(predicted.log_depth, predicted.log_scale, labels)
        losses = losses + options.uncertainty_weight * uncertainty
        loss = losses.mean()
        self._optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), options.clip)
        if torch.isfinite(loss) and torch.isfinite(norm):
            boost = options.boost * math.exp(-self._health.since_new_scene / options.boost_steps)
            self._optimiser.param_groups[0]["lr"] = options.learning_rate * (1 + boost)
            self._optimiser.step()
            self._follow()
        self._health.steps += 1
        remembered = losses[1:].mean() if count > 1 else loss
        return loss.item(), remembered.item(), norm.item()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the running mean of weights and BatchNorm statistics towards the student."""
        rate = self.options.averaging
        if not self._from_prior:  # nothing of the random start
            rate = max(rate, 1.0 / (self._health.steps + 1))
        means, values = self._average.state_dict(), self.student.state_dict()
        moving = [name for name, value in values.items() if value.is_floating_point()]
        torch._foreach_lerp_([means[n] for n in moving], [values[n] for n in moving], rate)

    def _watch_error(self, error: float) -> bool:
        """Whether the student finds itself in another place: its error has jumped, and stays."""
        health = self._health
        health.error_fast = _mean(health.error_fast, error, 0.2)
        health.error_slow = _mean(health.error_slow, error, 0.01)
        health.since_new_scene += 1
        settled = health.steps > 200 and health.since_new_scene > 5 * self.options.boost_steps
        jumped = health.error_fast > max(2.5 * health.error_slow, 0.1)
        if settled and jumped:
            health.since_new_scene = 0
            return True
        return False

    def _trouble(self, loss: float, memory_loss: float, norm: float, spread: float) -> str:
        health = self._health
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"loss {loss:g}, gradient norm {norm:g}"
        health.memory_loss = _mean(health.memory_loss, memory_loss, _SMOOTHING)
        health.spread = _mean(health.spread, spread, _SMOOTHING)
        good = health.good_memory_loss
        if math.isfinite(good) and health.memory_loss > max(3.0 * good, good + 0.2):
            return f"loss on remembered frames {health.memory_loss:.2f}, was {good:.2f}"
        if health.steps > 200 and health.spread < 0.05:
            return f"predictions all alike: spread {health.spread:.3f} of the labels'"
        return ""

    def _restore(self, arrays: dict[str, NDArray]) -> None:
        """Back to a good state, but the count of steps goes on."""
        steps = self._health.steps
        self.restore(arrays)
        self._health.steps = steps
        self._health.spread = 1.0


@contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """PyTorch's number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _planes(images: NDArray[np.uint8]) -> Tensor:
    """(B, 3, H, W) view of (B, H, W, 3): channels last without a copy."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _mean(mean: float, value: float, rate: float) -> float:
    return value if math.isnan(mean) else mean + rate * (value - mean)


def _with_uncertainty(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
    """A state of before the student knew its own error: that begins anew, the rest goes on."""
    head = arrays.get("average.head.weight")
    if head is None or head.shape[:1] != (1,):
        return arrays
    padded = dict(arrays)
    for name, array in arrays.items():
        if ".head." in name and array.ndim:
            padded[name] = np.concatenate([array, np.zeros_like(array)])
    for who in ("student", "average"):
        padded[f"{who}.head.bias"][1] = FIRST_LOG_SCALE
    fresh = [getattr(_Health(), name) for name in _Health.__dataclass_fields__]
    numbers = arrays.get("health", np.zeros(0))
    padded["health"] = np.concatenate([numbers, fresh[len(numbers) :]])
    return padded


def _tensor(arrays: dict[str, NDArray], name: str, shape: tuple[int, ...]) -> Tensor:
    if name not in arrays:
        raise InputError(f"learner state: {name} is missing")
    array = arrays[name]
    if array.shape != tuple(shape):
        raise InputError(f"learner state: {name} must be {tuple(shape)}, not {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"learner state: {name} has NaN or infinite numbers")
    tensor = torch.from_numpy(array.copy())
    # Moments must lie as their weights do, or every step pays for the difference.
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
