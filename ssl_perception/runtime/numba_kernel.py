"""The one way in which this package compiles its inner loops."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
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


@intrinsic
def _fetch_add(typing: Any, counter: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")

    return types.int64(counter, types.int64), generate


@kernel
def take_number(counter: NDArray[np.int64]) -> int:
    """The next number of a (1,) int64 ``counter``: each goes to one thread, whoever else asks."""
    return _fetch_add(counter, 1)  # type: ignore[call-arg]  # numba gives the first argument
