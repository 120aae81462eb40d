"""The one way in which this library and the simulator compile their inner loops."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray


def kernel_files(package: str) -> list[Path]:
    """The files with kernels that a kernel of a top-level package may call or take constants from.

    They are those of this library and, for a kernel outside of it (the simulator's), those of its
    own package; of a module that is no package, that file.
    """
    folders = {Path(__file__).parents[1]}
    module = sys.modules[package]
    if hasattr(module, "__path__"):
        folders.update(Path(folder) for folder in module.__path__)
        files: set[Path] = set()
    else:
        files = {Path(module.__file__)} if module.__file__ else set()
    files.update(path for folder in folders for path in folder.rglob("*.py"))
    return sorted(path for path in files if b"numba_kernel import" in path.read_bytes())


@cache
def _sources_digest(package: str) -> str:
    digest = hashlib.sha256()
    for path in kernel_files(package):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def kernel(function: Callable) -> Any:
    """``numba.njit`` without the GIL, its machine code cached on disk.

    Numba renews a cached kernel when the kernel's own file changes, but not when a function that
    it calls, or a constant that it takes, does in another file: it would go on running stale code.
    Kernels here call each other across files, so their cache goes by the digest of every file that
    has kernels. A constant from a file without kernels isn't covered: pass it as an argument.
    """
    compiled = njit(cache=True, nogil=True)(function)
    cache_file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache_file is not None:  # None: nowhere to write; then nothing is cached
        cache_file._source_stamp = _sources_digest(function.__module__.partition(".")[0])
    return compiled


@intrinsic
def _fetch_add(typing: Any, counter: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, arguments[1], "seq_cst")

    return types.int64(counter, types.int64), generate


@kernel
def take_number(counter: NDArray[np.int64]) -> int:
    """The next number of a (1,) int64 ``counter``: each goes to one thread alone."""
    return _fetch_add(counter, 1)  # type: ignore[call-arg]  # numba gives the first argument
