"""Where clusters are registered: by compiled kernels on the processor, or ahead on the GPU."""

from __future__ import annotations

import ctypes
from functools import cache
from statistics import median

from ssl_perception.runtime.extras import needs_extra

KERNELS, GPU = "", "cuda"  # no device of PyTorch, and its name of the GPU
TRIALS = 5  # sweeps on each, of which the first doesn't count: it loads, compiles, allocates


class RegistrationDevice:
    """Kept between sweeps, with the workspace: ``auto`` goes by what the first sweeps took."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {GPU: [], KERNELS: []}

    def choose(self, setting: str) -> str:
        """``GPU`` or ``KERNELS`` for the next sweep.

        Args:
            setting: of ``flow.rigid_cluster.device``. ``auto``: the kernels, without loading
                PyTorch, where there is no GPU; else both are tried, and then the faster one.

        Raises:
            InputError: ``cuda`` where there is none.
        """
        if setting == "cpu" or (setting == "auto" and not _gpu_is_usable()):
            return KERNELS
        if setting == "cuda":
            with needs_extra("flow.rigid_cluster.device cuda"):
                from ssl_perception.runtime.torch_device import choose_device

            return choose_device(setting).type
        least_tried = min(self._seconds, key=lambda device: len(self._seconds[device]))
        if len(self._seconds[least_tried]) < TRIALS:
            return least_tried
        return min(self._seconds, key=lambda device: median(self._seconds[device][1:]))

    def record(self, device: str, seconds: float) -> None:
        """Record how long the registration of a sweep's clusters took there."""
        if len(self._seconds[device]) < TRIALS:
            self._seconds[device].append(seconds)


@cache
def _gpu_is_usable() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")  # the driver's: where it is missing, PyTorch needn't be loaded
    except OSError:
        return False
    try:
        import torch
    except ModuleNotFoundError:
        return False

    return torch.cuda.is_available()
