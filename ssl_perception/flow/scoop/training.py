"""Training SCOOP's correspondence without labels, from streets made by seed or from a dataset.

A step takes a crop of one pair, rotated at random, and descends (SCOOP, section 3.3)

    mean_i c_i g(d_i)  +  0.1 (1 - mean_i c_i)  +  w mean_i mean_{j in N(i)} |f_i - f_j|_1

with d the distance of the moved point to the target, c the confidence, N 32 neighbours. Three
things differ from the paper, which trains on clouds where everything moves: far distances have
no gradient (g(d) = d² t² / (d² + t²)); w is 1 rather than 10, which zero flow minimises; and of two
similar targets the nearer is likelier (``config.ScoopConfig.prior``). Crops are centred on
points that the target doesn't explain more often than not, for the same reason.

Every step draws from a generator of its own, (seed, step), and the pairs pass by in the order of
their numbers, so that a run that was stopped and resumed gives the weights of one that wasn't.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from scipy.spatial import cKDTree
from torch import Tensor

from ssl_perception.datasets import FlowSample
from ssl_perception.errors import InputError
from ssl_perception.flow.neural.distance_transform import NeighbourIndex
from ssl_perception.flow.scoop.correspondence import CorrespondenceModel, all_pairs, correspond
from ssl_perception.flow.scoop.set_conv import neighbour_graph
from ssl_perception.io.write import write_output
from ssl_perception.runtime.determinism import deterministic
from ssl_perception.types import FloatArray

WINDOW = 16  # pairs held; the oldest leaves when the next comes
STEPS_PER_PAIR = 16
LEARNING_RATE = 1e-3  # SCOOP
CONFIDENCE_WEIGHT = 0.1  # SCOOP
SMOOTHNESS_WEIGHT = 1.0
TRUNCATION = 1.0  # m
SUPPORT, PRIOR = 4.0, 0.06  # m, 1/m²: the defaults of config.Scoop
UNEXPLAINED = 0.4  # m from the nearest point of the target
RADIUS = (5.0, 20.0)  # m, of a crop
FIRST_LOG_EPSILON = -4.0  # the transport starts sharper than the paper's, exp(0)


class Crop(NamedTuple):
    """(n, 3) float32 points of either cloud of one place, metres."""

    source: FloatArray
    target: FloatArray


class Losses(NamedTuple):
    """Of one crop: the sum that is descended, and its parts."""

    total: Tensor
    chamfer: Tensor
    doubt: Tensor
    roughness: Tensor


@dataclass(frozen=True, eq=False)
class Pair:
    """What training needs of a sample: both clouds, and where the target explains nothing."""

    source: FloatArray
    target: FloatArray
    unexplained: np.ndarray

    @classmethod
    def of(cls, sample: FlowSample) -> Pair:
        """Labels are not looked at."""
        source, target = sample.source.points, sample.target.points
        off, _ = cKDTree(target).query(source, distance_upper_bound=UNEXPLAINED)
        return cls(source, target, np.flatnonzero(~np.isfinite(off)))


class Pairs:
    """Pairs by number, a few of them held.

    Args:
        make: the sample of a number, the same whenever asked.
        count: so many there are; after the last comes the first.
    """

    def __init__(self, make: Callable[[int], FlowSample], count: int) -> None:
        self._make = make
        self._count = count
        self._held: OrderedDict[int, Pair] = OrderedDict()

    def __getitem__(self, number: int) -> Pair:
        number %= self._count
        if number not in self._held:
            self._held[number] = Pair.of(self._make(number))
            while len(self._held) > WINDOW + 1:
                self._held.popitem(last=False)
        return self._held[number]


def crop(pair: Pair, points: int, rng: np.random.Generator) -> Crop:
    """``points`` of either cloud around one place, rotated about the vertical, perhaps mirrored."""
    for _ in range(100):
        hard = len(pair.unexplained) > 0 and rng.random() < 0.6
        at = rng.choice(pair.unexplained) if hard else rng.integers(len(pair.source))
        radius = rng.uniform(*RADIUS)
        source = _within(pair.source, pair.source[at], radius)
        target = _within(pair.target, pair.source[at], radius + 2.0)
        if min(len(source), len(target)) >= points:
            break
    else:  # a thin cloud: take it all
        source, target = np.arange(len(pair.source)), np.arange(len(pair.target))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.array([[mirror * cos, mirror * sin, 0], [-sin, cos, 0], [0, 0, 1]], np.float32)
    clouds = []
    for cloud, chosen in ((pair.source, source), (pair.target, target)):
        some = rng.choice(chosen, min(points, len(chosen)), replace=False)
        clouds.append((cloud[some] - pair.source[at]) @ rotation)
    return Crop(*clouds)


def losses(model: CorrespondenceModel, crop: Crop) -> Losses:
    """The self-supervised loss of one crop; gradients flow to the model."""
    device = model.log_epsilon.device
    source, target = (torch.from_numpy(cloud).to(device) for cloud in crop)
    graph, other = (neighbour_graph(cloud).to(device) for cloud in crop)
    found = correspond(
        model,
        source,
        target,
        model.features(source, graph),
        model.features(target, other),
        all_pairs(source, target, SUPPORT),
        PRIOR,
    )
    moved = source + found.flow
    nearest = NeighbourIndex(target).nearest(moved)
    square = (moved - target[nearest]).square().sum(dim=1)
    bounded = square * TRUNCATION**2 / (square + TRUNCATION**2)
    chamfer = (found.confidence * bounded).mean()
    doubt = (1.0 - found.confidence).mean()
    differences = (found.flow[:, None] - found.flow[graph[:, 1:]]).abs().sum(dim=2)
    roughness = differences.mean()
    total = chamfer + CONFIDENCE_WEIGHT * doubt + SMOOTHNESS_WEIGHT * roughness
    return Losses(total, chamfer, doubt, roughness)


class Training:
    """One run: model, optimiser, and how far it has come.

    Attributes:
        model: in training.
        step: steps taken.
        best: least held-out loss so far; since: evaluations without a better one.
    """

    def __init__(self, seed: int, points: int, device: torch.device) -> None:
        self.seed, self.points = seed, points
        torch.manual_seed(seed)
        self.model = CorrespondenceModel()
        with torch.no_grad():
            self.model.log_epsilon.fill_(FIRST_LOG_EPSILON)
        self.model.to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.step, self.best, self.since = 0, float("inf"), 0

    def run(self, pairs: Pairs, steps: int) -> Iterator[Losses]:
        """Take steps up to the number ``steps``; the losses of each."""
        device_type = self.model.log_epsilon.device.type
        while self.step < steps:
            rng = np.random.default_rng((self.seed, self.step))
            newest = self.step // STEPS_PER_PAIR
            pair = pairs[max(0, newest - int(rng.integers(WINDOW)))]
            self.optimizer.zero_grad(set_to_none=True)
            with deterministic():
                with torch.autocast(device_type, torch.bfloat16, enabled=device_type == "cuda"):
                    loss = losses(self.model, crop(pair, self.points, rng))
                loss.total.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
            self.step += 1
            yield Losses(*(part.detach() for part in loss))

    def evaluate(self, crops: list[Crop]) -> float:
        """Mean loss on held-out crops; keeps count of the best."""
        with torch.no_grad():
            loss = float(np.mean([float(losses(self.model, crop).total) for crop in crops]))
        self.since = 0 if loss < self.best else self.since + 1
        self.best = min(self.best, loss)
        return loss

    def save(self, path: Path) -> None:
        """All that resuming needs, as safetensors: no pickle."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"adam.{key}.{name}"] = torch.as_tensor(value).detach().clone()
        counts = [self.seed, self.points, self.step, self.since]
        tensors["counts"] = torch.tensor(counts, dtype=torch.int64)
        tensors["best"] = torch.tensor(self.best, dtype=torch.float64)
        write_output(path, save({name: value.contiguous() for name, value in tensors.items()}))

    def restore(self, path: Path) -> None:
        """Go on from ``save``.

        Raises:
            InputError: not such a file, or one of a run with another seed or number of points.
        """
        try:
            tensors = load_file(str(path))
            seed, points, step, since = tensors["counts"].tolist()
            if (seed, points) != (self.seed, self.points):
                raise InputError(
                    f"{path}: of a run with seed {seed} and {points} points; "
                    f"this one has {self.seed} and {self.points}"
                )
            self.model.load_state_dict(
                {n[6:]: v for n, v in tensors.items() if n.startswith("model.")}
            )
            for name, parameter in self.model.named_parameters():
                keys = ("step", "exp_avg", "exp_avg_sq")
                found = {k: tensors.get(f"adam.{k}.{name}") for k in keys}
                if found["step"] is not None:
                    self.optimizer.state[parameter] = {
                        k: v if k == "step" else v.to(parameter.device)  # type: ignore[union-attr]
                        for k, v in found.items()
                    }
            self.step, self.since, self.best = step, since, float(tensors["best"])
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            line = " ".join(str(error).split())
            raise InputError(f"{path}: not a checkpoint of this training: {line}") from None


def held_out(pairs: Pairs, count: int, points: int) -> list[Crop]:
    """The same crops at each evaluation."""
    return [crop(pairs[k], points, np.random.default_rng((9, k))) for k in range(count)]


def _within(points: FloatArray, centre: FloatArray, radius: float) -> np.ndarray:
    return np.flatnonzero(((points[:, :2] - centre[:2]) ** 2).sum(axis=1) < radius * radius)
