"""How much memory this process has."""

from __future__ import annotations

import resource
from pathlib import Path


def resident_megabytes() -> float:
    """Resident memory of this process, MiB; its peak where that can't be read."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
