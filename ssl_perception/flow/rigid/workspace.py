"""Arrays that outlive a sweep, so that none of the large ones is allocated per sweep."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ssl_perception.flow.rigid.range_budget import Pace
from ssl_perception.runtime.worker_thread import SecondThread


class Workspace:
    """Named, reusable arrays, and a second thread. One per thread that solves.

    Whoever asks for a name owns it until the next ask.

    Attributes:
        pace: how fast the last sweeps went; only a deadline asks for it.

    >>> workspace = Workspace()
    >>> workspace.array("rank", (2, 3), np.int32).shape
    (2, 3)
    """

    def __init__(self) -> None:
        self._buffers: dict[str, NDArray] = {}
        self.pace = Pace()
        self._second: SecondThread | None = None

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        """An uninitialised C-contiguous array; the memory is the one of the last ask if it fits.

        A buffer grows by a quarter more than asked, so that sweeps of varying size settle soon.
        """
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size or buffer.dtype != np.dtype(dtype):
            buffer = np.empty(size + size // 4, dtype)
            self._buffers[name] = buffer
        return buffer[:size].reshape(shape)

    @property
    def second(self) -> SecondThread:
        """Made when first asked for."""
        if self._second is None:
            self._second = SecondThread()
        return self._second

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
