"""How much memory this process has."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path
from types import TracebackType


def resident_megabytes() -> float:
    """Resident memory of this process, MiB; its peak where that can't be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class PeakMemory:
    """The most resident memory that this process had within a ``with`` block.

    All of the process counts: interpreter, libraries, data, and what an earlier block left behind.

    Attributes:
        megabytes: MiB, once the block has ended; of the whole life of the process where the
            kernel can't count anew.
    """

    megabytes: float

    def __enter__(self) -> PeakMemory:
        with contextlib.suppress(OSError):  # forget the peak
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.megabytes = _high_water_mark()


def _high_water_mark() -> float:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
