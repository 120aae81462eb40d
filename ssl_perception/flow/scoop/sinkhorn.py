"""Unbalanced optimal transport between two point clouds, entropic, over candidate pairs.

SCOOP section 3.2 (after FLOT): cost C, kernel ``K = exp(-C / ε)`` where a pair lies within the
support and 0 beyond, and Sinkhorn's iteration with the exponent ``ρ = γ / (γ + ε)`` that lets mass
be lost:

    b = (1/M / Kᵀa)^ρ,   a = (1/N / K b)^ρ,   T = diag(a) K diag(b).

All of it in logarithms: nothing over- or underflows. Candidates come as (N, k) indices into the
target; the dense problem is k = M. Pairs that are masked out carry no mass; a row without any
pair gets none.
"""

from __future__ import annotations

import torch
from torch import Tensor

NOTHING = -1e30  # logarithm of no mass; finite, so that no gradient becomes NaN


def transport(
    cost: Tensor,
    candidates: Tensor | None,
    allowed: Tensor,
    columns: int,
    epsilon: Tensor,
    gamma: Tensor,
    iterations: int = 1,
) -> Tensor:
    """Logarithm of where each row's mass goes, on the candidate pairs.

    Args:
        cost: (N, k), e.g. one minus the cosine of features.
        candidates: (N, k) int64, the target point of each pair; None when k = ``columns`` and
            pair (i, j) is simply source i with target j.
        allowed: (N, k) bool, pairs within the support.
        columns: M, the number of target points.
        epsilon, gamma: positive scalars: entropic blur, and cost of unmatched mass.
        iterations: of Sinkhorn; SCOOP takes one.

    Returns:
        (N, k) log of K diag(b): the plan T but for the factor ``a`` of each row, which says how
        much leaves and drops out of every soft correspondence. ``NOTHING`` or below where no
        mass flows.
    """
    log_kernel = torch.where(allowed, -cost / epsilon, NOTHING)
    power = gamma / (gamma + epsilon)
    rows = len(cost)
    log_row = -torch.log(torch.tensor(float(rows), dtype=cost.dtype, device=cost.device))
    log_a = log_row.expand(rows)
    log_plan = log_kernel
    for step in range(iterations):
        if step > 0:
            leaving = torch.logsumexp(log_plan, dim=1)
            log_a = power * torch.where(leaving > NOTHING / 2, log_row - leaving, 0.0)
        arriving = _column_sum(log_kernel + log_a[:, None], candidates, columns)
        log_b = target_scale(arriving, power)
        log_plan = log_kernel + (log_b[None, :] if candidates is None else log_b[candidates])
    return log_plan


def target_scale(arriving: Tensor, power: Tensor) -> Tensor:
    """(M,) log of b from the log of what arrives at each target; 0 where nothing can."""
    count = torch.tensor(float(len(arriving)), dtype=arriving.dtype, device=arriving.device)
    log_column = -torch.log(count)
    return power * torch.where(arriving > NOTHING / 2, log_column - arriving, 0.0)


def _column_sum(log_value: Tensor, candidates: Tensor | None, columns: int) -> Tensor:
    """(M,) log of the sum of exp(log_value) over all pairs that end in each target point."""
    if candidates is None:
        return torch.logsumexp(log_value, dim=0)
    flat, index = log_value.reshape(-1), candidates.reshape(-1)
    peak = torch.full((columns,), NOTHING, dtype=flat.dtype, device=flat.device)
    peak = peak.scatter_reduce(0, index, flat.detach(), "amax")
    total = torch.zeros(columns, dtype=flat.dtype, device=flat.device)
    total = total.index_add(0, index, torch.exp(flat - peak[index]))
    # a column that no pair names has total 0; one whose pairs are all masked is near NOTHING
    return torch.where(total > 0, torch.log(total.clamp_min(1e-30)) + peak, NOTHING)
