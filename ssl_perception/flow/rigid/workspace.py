"""Arrays that outlive a sweep, so that none of the large ones is allocated per sweep."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ssl_perception.flow.rigid.range_budget import RangeBudget
from ssl_perception.flow.rigid.registration_device import RegistrationDevice
from ssl_perception.runtime.worker_thread import WorkerThread


class Workspace:
    """Named, reusable arrays, and a worker thread. One per thread that solves.

    An array is valid until the next request for its name.

    Attributes:
        range_budget: speed of the last sweeps; used only with a deadline.
        registration_device: speed of both devices; used only where there is a choice.

    >>> workspace = Workspace()
    >>> workspace.array("rank", (2, 3), np.int32).shape
    (2, 3)
    """

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray] = {}
        self.range_budget = RangeBudget()
        self.registration_device = RegistrationDevice()
        self._worker: WorkerThread | None = None

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """An uninitialised C-contiguous array, in the memory of the last request if it fits.

        A buffer grows by a quarter more than requested, so that sweeps of varying size soon
        allocate nothing.
        """
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != np.dtype(dtype):
            buffer = np.empty(size + size // 4, dtype)
            self._buffers[name] = buffer
        return buffer[:size].reshape(shape)

    @property
    def worker(self) -> WorkerThread:
        """Started on first use."""
        if self._worker is None:
            self._worker = WorkerThread()
        return self._worker

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
