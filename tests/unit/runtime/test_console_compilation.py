"""Waiting for the compiler is announced, once, and only where something is compiled."""

from __future__ import annotations

import io

from numba import njit
from rich.console import Console

from ssl_perception.runtime.console import COMPILING, announce_compilation


def test_the_first_kernel_that_is_compiled_is_announced() -> None:
    console = Console(file=io.StringIO(), width=200)
    written = console.file
    assert isinstance(written, io.StringIO)
    announce_compilation(console)
    assert written.getvalue() == ""
    for constant in (1, 2):
        function = njit(lambda x, constant=constant: x + constant)
        assert function(1) == 1 + constant
        function(2)
    assert written.getvalue().strip() == COMPILING
