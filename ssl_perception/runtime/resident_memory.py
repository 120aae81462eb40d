"""How much memory this process has."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path


def resident_megabytes() -> float:
    """Resident memory of this process, MiB; its peak where that can't be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """From now on ``peak_megabytes`` counts anew, where the kernel can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_megabytes() -> float:
    """The most resident memory that this process had since ``forget_peak``, MiB.

    All of the process counts: interpreter, libraries, data, and what earlier work left behind. Of
    the whole life of the process where the kernel can't count anew.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
