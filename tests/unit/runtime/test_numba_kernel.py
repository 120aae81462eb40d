"""Kernels: one wrapper for all, whose cache knows every file that a kernel is compiled from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ssl_perception.flow.rigid import static_test
from ssl_perception.obstacles import collision
from ssl_perception.runtime.numba_kernel import kernel_files
from ssl_perception_sim.sensors import camera
from ssl_perception_sim.world import scene

ROOT = Path(__file__).resolve().parents[3]
LIBRARY, SIMULATOR = ROOT / "ssl_perception", ROOT / "sim" / "ssl_perception_sim"


def decorated(folder: Path) -> list[Path]:
    """The files that compile a function."""
    return sorted(
        f for f in folder.rglob("*.py") if any(s in f.read_text() for s in ("@kernel", "njit("))
    )


def test_nothing_is_compiled_by_numba_alone() -> None:
    wrapper = LIBRARY / "runtime" / "numba_kernel.py"
    files = [f for folder in (LIBRARY, SIMULATOR) for f in decorated(folder) if f != wrapper]
    assert len(files) > 15
    assert [f.name for f in files if "njit" in f.read_text()] == []


def test_the_digest_covers_every_file_with_kernels() -> None:
    library = set(decorated(LIBRARY))
    assert library <= set(kernel_files("ssl_perception"))
    assert library | set(decorated(SIMULATOR)) <= set(kernel_files("ssl_perception_sim"))


@pytest.mark.parametrize(
    "compiled", [static_test.match_voxels, collision._gap, camera._look_up, scene._cones]
)
def test_a_cached_kernel_goes_by_the_digest(compiled: Any) -> None:
    stamp = compiled._cache._cache_file._source_stamp
    assert isinstance(stamp, str), f"a digest, not the file's own time and size: {stamp}"
