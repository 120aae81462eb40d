"""Robust ICP of all clusters from all their hypotheses at once, in PyTorch: for a GPU.

ICP from each hypothesis is where most of the solver's time goes, and the only part of the
registration of a cluster that depends on no other cluster. So it can be done ahead for the whole
queue; what follows (energies, acceptance, splitting) goes from cluster to cluster, as ever. The
equations are those of ``registration._icp_step``, in the same precision: float32 for points and
distances, float64 for the normal equations. All steps are computed, as if there were no stop;
``registration.robust_icp`` takes them, and stops where it would have.

Clusters that come from splitting aren't known ahead, and are registered by the compiled kernels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ssl_perception.flow.rigid.candidates import ACTIVE, candidate_kind
from ssl_perception.flow.rigid.cluster_hypotheses import prepare, start_from
from ssl_perception.flow.rigid.cluster_motion import Motions
from ssl_perception.flow.rigid.cluster_scratch import Scratch
from ssl_perception.flow.rigid.registration import ITERATIONS, NARROW_SIGMA, SIGMA, TAU, WIDE
from ssl_perception.flow.rigid.sampling import MAX_SOURCE, MAX_TARGET
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.flow.rigid.steps_ahead import StepsAhead, no_steps
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import FloatArray

PAIRS = 32_000_000  # distances held at once: some 400 MB
_INDEX_BITS = 0x3FF  # as in ``matching``: the lowest bits of a distance carry the partner's number
_NOWHERE = 1e9  # m, where samples are filled up


class Problems(NamedTuple):
    """S clusters to be registered, each from up to H hypotheses.

    Attributes:
        x, x_time, y, y_time: (S, 3 | 1, M) and (S, 3 | 1, N) float32, samples as in ``Sample``.
        size: (S, 2) int64, points of x and y that count.
        weight: (S,) float64, of a pair found backward.
        start: (S, H, 4) float64.
        hypotheses: (S,) int64; 0: there is nothing to register with.
    """

    x: NDArray[np.float32]
    x_time: NDArray[np.float32]
    y: NDArray[np.float32]
    y_time: NDArray[np.float32]
    size: NDArray[np.int64]
    weight: NDArray[np.float64]
    start: NDArray[np.float64]
    hypotheses: NDArray[np.int64]


def steps_of_all(
    scene: Scene,
    queue: NDArray[np.int32],
    boxes: FloatArray,
    shifts: FloatArray,
    scratch: Scratch,
    found: Motions,
    deadline: Deadline,
    reserve: float,
    device: str,
) -> StepsAhead:
    """The steps of ICP for each cluster of the queue, as far as there is time.

    Args:
        scene, queue, boxes, shifts, found, deadline, reserve: as for ``register_all``; nothing is
            written.
        scratch: of a lane that isn't at work.
        device: of PyTorch.
    """
    problems = _empty(len(queue), len(scratch.hypotheses))
    _pose(scene, queue, boxes, shifts, scratch, found, problems)
    ahead = no_steps(len(found.state))
    steps = np.zeros((*problems.start.shape[:2], ITERATIONS, 4))
    slot, hypothesis = np.nonzero(np.arange(problems.start.shape[1]) < problems.hypotheses[:, None])
    # the queue's order is that of importance; a cluster is done when all its hypotheses are
    done = begin = 0
    while begin < len(slot) and deadline.remaining > reserve:
        end = _chunk(problems.size[slot], begin)
        rows = slice(begin, end)
        steps[slot[rows], hypothesis[rows]] = _steps(problems, slot[rows], hypothesis[rows], device)
        done = int(slot[end]) if end < len(slot) else len(queue)
        begin = end
    ready = np.flatnonzero(problems.hypotheses[:done] > 0)
    ahead.slot[queue[ready]] = ready
    return StepsAhead(ahead.slot, steps, ahead.none)


def _empty(clusters: int, hypotheses: int) -> Problems:
    return Problems(
        np.zeros((clusters, 3, MAX_SOURCE), np.float32),
        np.zeros((clusters, 1, MAX_SOURCE), np.float32),
        np.zeros((clusters, 3, MAX_TARGET), np.float32),
        np.zeros((clusters, 1, MAX_TARGET), np.float32),
        np.zeros((clusters, 2), np.int64),
        np.zeros(clusters),
        np.zeros((clusters, hypotheses, 4)),
        np.zeros(clusters, np.int64),
    )


@kernel
def _pose(
    scene: Scene,
    queue: NDArray[np.int32],
    guess_box: NDArray[np.float32],
    guess_shift: NDArray[np.float32],
    scratch: Scratch,
    found: Motions,
    problems: Problems,
) -> None:
    """Sample the clusters of the queue and their surroundings, and where ICP starts: written."""
    sample = scratch.sample
    for s in range(len(queue)):
        c = queue[s]
        active = candidate_kind(scene, c) == ACTIVE
        # no state is known yet, nor needed: it matters for the energies alone
        searched, count, _ = prepare(
            scene, c, active, found.state, guess_box, guess_shift, scratch, found
        )
        m, n = sample.size[0], sample.size[1]
        problems.size[s] = sample.size
        if n == 0:
            continue
        problems.x[s, :, :m] = sample.x[:, :m]
        problems.x_time[s, 0, :m] = sample.x_time[:m]
        problems.y[s, :, :n] = sample.y[:, :n]
        problems.y_time[s, 0, :n] = sample.y_time[:n]
        problems.weight[s] = sample.thinning[1] / sample.thinning[0]
        problems.hypotheses[s] = count
        for h in range(count):
            start_from(scene, c, h, searched, scratch, problems.start[s, h])


def _chunk(size: NDArray[np.int64], begin: int) -> int:
    """The end of the problems from ``begin`` on that are solved together: (P, 2) sizes, filled up
    to the largest among them, make at most ``PAIRS`` distances."""
    largest = np.maximum.accumulate(size[begin:], axis=0).prod(axis=1)
    fitting = np.arange(1, len(largest) + 1) * largest <= PAIRS
    return begin + max(int(np.count_nonzero(fitting)), 1)


def _steps(
    problems: Problems, slot: NDArray[np.intp], hypothesis: NDArray[np.intp], device: str
) -> NDArray[np.float64]:
    """(P, ITERATIONS, 4) the steps of ICP from P starts."""
    m, n = problems.size[slot].max(axis=0)

    def on_device(array: NDArray) -> torch.Tensor:
        return torch.from_numpy(array).to(device)

    x, x_time = on_device(problems.x[slot, :, :m]), on_device(problems.x_time[slot, 0, :m])
    y, y_time = on_device(problems.y[slot, :, :n]), on_device(problems.y_time[slot, 0, :n])
    size, weight = on_device(problems.size[slot]), on_device(problems.weight[slot])
    q = on_device(problems.start[slot, hypothesis])
    beyond_x = torch.arange(int(m), device=device) >= size[:, :1]
    beyond_y = torch.arange(int(n), device=device) >= size[:, 1:]
    pair_weight = torch.cat([torch.ones_like(x_time), torch.ones_like(y_time)], dim=1).double()
    pair_weight[:, m:] *= weight[:, None]
    steps = torch.empty((len(slot), ITERATIONS, 4), dtype=torch.float64, device=device)
    for iteration in range(ITERATIONS):
        moved_x, moved_y = _moved(x, x_time, y, y_time, q)
        moved_x.masked_fill_(beyond_x[:, None], _NOWHERE)
        moved_y.masked_fill_(beyond_y[:, None], -_NOWHERE)
        i, j, square = _nearest(moved_x, moved_y)
        pair_x, pair_y = _taken(moved_x, i).double(), _taken(moved_y, j).double()
        rest = 1.0 - x_time.gather(1, i).double()
        sigma_square = (SIGMA if iteration < WIDE else NARROW_SIGMA) ** 2
        k = pair_weight * (sigma_square / (sigma_square + square.double())) ** 2
        k = torch.where(square < TAU * TAU, k, 0.0)
        step = _step(pair_x, pair_y - pair_x, rest, rest + y_time.gather(1, j).double(), k, q)
        steps[:, iteration] = step
        q = q + step
    return steps.cpu().numpy()


def _moved(
    x: torch.Tensor, x_time: torch.Tensor, y: torch.Tensor, y_time: torch.Tensor, q: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """``matching.move``: (P, 3, M | N) both clouds at the target's stamp under (P, 4) motions."""
    cos, sin = q[:, 3:].cos().float(), q[:, 3:].sin().float()
    tx, ty, tz = q[:, :3].float().unsqueeze(2).unbind(dim=1)
    rest = 1.0 - x_time
    moved_x = torch.stack(
        [
            cos * x[:, 0] - sin * x[:, 1] + tx * rest,
            sin * x[:, 0] + cos * x[:, 1] + ty * rest,
            x[:, 2] + tz,
        ],
        dim=1,
    )
    moved_y = torch.stack([y[:, 0] - tx * y_time, y[:, 1] - ty * y_time, y[:, 2]], dim=1)
    return moved_x, moved_y


def _nearest(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nearest neighbours both ways, chosen as ``matching.match`` does.

    Returns:
        (P, M + N) number of the point of x, of that of y, and squared distance, m^2, of each pair:
        those found forward, then those found backward.
    """
    square = (y[:, None, 0] - x[:, 0, :, None]).square_()
    for axis in (1, 2):
        square += (y[:, None, axis] - x[:, axis, :, None]).square_()
    bits = square.view(torch.int32).bitwise_and_(~_INDEX_BITS)
    of_x = torch.arange(x.shape[2], dtype=torch.int32, device=x.device)
    of_y = torch.arange(y.shape[2], dtype=torch.int32, device=x.device)
    forward = ((bits | of_y).amin(dim=2) & _INDEX_BITS).long()
    backward = ((bits | of_x[:, None]).amin(dim=1) & _INDEX_BITS).long()
    i = torch.cat([of_x.long().expand_as(forward), backward], dim=1)
    j = torch.cat([forward, of_y.long().expand_as(backward)], dim=1)
    difference = _taken(y, j) - _taken(x, i)
    dx, dy, dz = difference.unbind(dim=1)
    return i, j, dx * dx + dy * dy + dz * dz


def _taken(points: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """(P, 3, n) points, (P, k) numbers -> (P, 3, k)."""
    return points.gather(2, index[:, None].expand(-1, 3, -1))


def _step(
    x: torch.Tensor,
    e: torch.Tensor,
    rest: torch.Tensor,
    f: torch.Tensor,
    k: torch.Tensor,
    q: torch.Tensor,
) -> torch.Tensor:
    """(P, 4) solutions of the normal equations of ``registration._icp_step``.

    Args:
        x, e: (P, 3, K) moved source point and residual of each pair. rest, f, k: (P, K) 1 - s/T,
            1 + (u - s)/T, and weight, 0 for what is no pair.
        q: (P, 4) where the step starts.
    """
    rx, ry = (x[:, axis] - q[:, axis, None] * rest for axis in (0, 1))
    total = k.sum(dim=1) + 1e-3
    a = torch.zeros((len(q), 4, 4), dtype=q.dtype, device=q.device)
    a[:, 0, 0] = a[:, 1, 1] = (k * f * f).sum(dim=1) + 1e-3
    a[:, 2, 2] = k.sum(dim=1) + total
    a[:, 0, 3] = a[:, 3, 0] = -(k * f * ry).sum(dim=1)
    a[:, 1, 3] = a[:, 3, 1] = (k * f * rx).sum(dim=1)
    a[:, 3, 3] = (k * (rx * rx + ry * ry)).sum(dim=1) + 0.5 * total + 1e-3
    b = torch.stack(
        [
            (k * f * e[:, 0]).sum(dim=1),
            (k * f * e[:, 1]).sum(dim=1),
            (k * e[:, 2]).sum(dim=1) - total * q[:, 2],
            (k * (rx * e[:, 1] - ry * e[:, 0])).sum(dim=1) - 0.5 * total * q[:, 3],
        ],
        dim=1,
    )
    return torch.linalg.solve(a, b)
