"""Scene flow: the 3-D motion of each lidar point, found on the two sweeps at hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ssl_perception.errors import InputError
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.types import PointCloud, SceneFlow

if TYPE_CHECKING:
    from ssl_perception.config import FlowConfig
    from ssl_perception.config.section import Section

# method -> (module with a `solve`, name of its section in FlowConfig). Modules load on first
# use: a robot that runs `rigid_cluster` never imports torch.
METHODS: dict[str, tuple[str, str]] = {
    "nsfp": ("ssl_perception.flow.solvers.nsfp", "nsfp"),
    "rigid_cluster": ("ssl_perception.flow.solvers.rigid_cluster", "rigid_cluster"),
    "fast_nsf": ("ssl_perception.flow.solvers.fast_nsf", "fast_nsf"),
    "scoop": ("ssl_perception.flow.solvers.scoop", "scoop"),
    "neural_prior": ("ssl_perception.flow.solvers.neural_prior", "neural_prior"),
}


MAX_SPAN = 10_000.0  # m: no lidar sees so far; millimetres taken for metres do


class Solver(Protocol):
    """What each module in ``flow/solvers`` offers as ``solve``.

    Both clouds are in one frame, ego-compensated (static points don't move) and ground-free.
    ``options`` are all settings of scene flow: a solver reads its own section, and those of the
    parts that it shares. The result is a function of the arguments alone: no state is kept between
    calls.
    """

    def __call__(
        self,
        source: PointCloud,
        target: PointCloud,
        options: FlowConfig,
        deadline: Deadline,
        seed: int,
    ) -> SceneFlow: ...


def estimate_flow(
    source: PointCloud,
    target: PointCloud,
    method: str = "rigid_cluster",
    seconds: float | None = None,
    seed: int = 0,
    options: FlowConfig | Section | None = None,
) -> SceneFlow:
    """The motion of each source point, over ground, from the source's stamp to the target's.

    Args:
        source: N points; the flow is given for these, in their order.
        target: M points in the same frame, a moment later (or earlier: then ``interval`` is
            negative). Both are ego-compensated and ground-free;
            ``ssl_perception.pipeline`` does that for raw sweeps.
        method: one of ``METHODS``; of the published priors also with one of their published
            settings, e.g. ``nsfp:argoverse-8192`` (``config.NsfpConfig.PRESETS``).
        seconds: wall time allowed; None: as long as it takes. When time runs out the best flow
            so far is returned with ``converged=False``.
        seed: the same input, seed and machine give the same flow when no deadline is given.
        options: settings of scene flow, or the method's section of them alone; None: defaults.

    A car's rear that moves 1 m before a wall that doesn't:

    >>> wall = np.stack(np.meshgrid([20.0], np.arange(-5, 5, 0.1), np.arange(0, 3, 0.2)), -1)
    >>> car = np.stack(np.meshgrid([8.0], np.arange(-1, 1, 0.1), np.arange(0, 1.5, 0.1)), -1)
    >>> source = PointCloud(np.concatenate([wall.reshape(-1, 3), car.reshape(-1, 3)]), stamp=0.0)
    >>> moved = np.concatenate([wall.reshape(-1, 3), car.reshape(-1, 3) + [1.0, 0.0, 0.0]])
    >>> flow = estimate_flow(source, PointCloud(moved, stamp=0.1))
    >>> [float(step) for step in np.median(flow.flow[flow.moving], axis=0).round(1)]
    [1.0, 0.0, 0.0]

    Raises:
        InputError: unknown method, one whose extra is not installed, NaN or infinite points, an
            empty cloud, one that spans more than 10 km (other units than metres), or clouds whose
            frames differ.
    """
    deadline = Deadline(seconds)
    module, flow_options = _configure(method, options)
    if seconds is not None and not seconds > 0:
        raise InputError(f"seconds must be positive, not {seconds}")
    for name, cloud in (("source", source), ("target", target)):
        if len(cloud) == 0:
            raise InputError(f"{name} cloud is empty")
        if not np.isfinite(cloud.points).all():
            bad = int((~np.isfinite(cloud.points).all(axis=1)).sum())
            raise InputError(f"{name} cloud has {bad} NaN or infinite points of {len(cloud)}")
        if cloud.time is not None and not np.isfinite(cloud.time).all():
            raise InputError(f"{name} cloud has NaN or infinite point times")
        # the extent over all axes together is found forty times faster, and is no smaller
        span = float(np.ptp(cloud.points))
        if span > MAX_SPAN and (span := float(np.ptp(cloud.points, axis=0).max())) > MAX_SPAN:
            raise InputError(f"{name} cloud spans {span / 1000:.0f} km: are its points in metres?")
    if source.frame and target.frame and source.frame != target.frame:
        raise InputError(
            f"source is in frame {source.frame!r} but target in {target.frame!r}; "
            "bring both into one frame first"
        )
    with needs_extra(f"flow method {method}"):
        solve: Solver = import_module(module).solve
    return solve(source, target, flow_options, deadline, seed)


def find(method: str, flow: FlowConfig | None = None) -> tuple[str, Any]:
    """Module and section of the settings of a method.

    Args:
        method: ``name`` or ``name:preset``; a preset's settings go before all others.
        flow: None: the defaults.

    Raises:
        InputError: unknown method or preset.
    """
    module, options = _configure(method, flow)
    return module, getattr(options, METHODS[method.partition(":")[0]][1])


def _configure(method: str, options: FlowConfig | Section | None) -> tuple[str, FlowConfig]:
    """The module of a method, and the settings with those of its preset."""
    from ssl_perception.config import FlowConfig

    name, _, preset = method.partition(":")
    if name not in METHODS:
        raise InputError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    module, key = METHODS[name]
    flow = options if isinstance(options, FlowConfig) else FlowConfig()
    section = getattr(flow, key) if options is None or options is flow else options
    if preset or method.endswith(":"):
        presets = getattr(section, "PRESETS", {})
        if preset not in presets:
            known = ", ".join(f"{name}:{k}" for k in presets) or "it has none"
            raise InputError(f"unknown preset {method!r}: {known}")
        section = section.model_copy(update=presets[preset])
    return module, flow.model_copy(update={key: section})
