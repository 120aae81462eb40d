"""The one way in which this package compiles its inner loops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        text = path.read_bytes()
        if b"import kernel" in text:
            digest.update(text)
    return digest.hexdigest()


_DIGEST = _sources_digest()


def kernel(function: Callable) -> Any:
    """``numba.njit`` without the GIL, its machine code cached on disk.

    Numba renews a cached kernel when the kernel's own file changes, but not when a function that
    it calls does, in another file; it would go on running yesterday's code. Kernels here call each
    other across files, so their cache goes by the digest of every file that has kernels.
    """
    compiled = njit(cache=True, nogil=True)(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:  # None: nowhere to write; then nothing is cached
        cache_file._source_stamp = _DIGEST
    return compiled
