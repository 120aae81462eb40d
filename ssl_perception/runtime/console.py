"""What every long command shows on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

COMPILING = "compiling kernels, once after an installation: about a minute ..."
PREPARING = "preparing kernels (compiled once, about a minute)"


def progress_bar(console: Console) -> Progress:
    """What every long command shows. Where kernels must be compiled, a line says so."""
    announce_compilation(console)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def announce_compilation(console: Console) -> None:
    """Print one line when the first kernel is compiled that isn't in the cache on disk."""
    if "numba" in sys.modules:  # else it is a command without kernels
        _announcement().console = console


@cache
def _announcement() -> Any:
    """Numba's listener; one for the process."""
    from numba.core import event

    class Announcement(event.Listener):
        console: Console | None = None

        def on_start(self, event: Any) -> None:
            if self.console is not None:
                self.console.print(COMPILING, style="dim")
            self.console = None

        def on_end(self, event: Any) -> None:
            pass

    listener = Announcement()
    event.register("numba:compile", listener)
    return listener


@contextmanager
def meanwhile(bar: Progress, task: TaskID, what: str) -> Iterator[None]:
    """Beside the spinner, for as long as this takes, what is done before the task goes on."""
    name = next(shown.description for shown in bar.tasks if shown.id == task)
    bar.update(task, description=what)
    try:
        yield
    finally:
        bar.update(task, description=name)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """A plain table; the first column is aligned left, the others right."""
    table = Table(box=None, pad_edge=False)
    for k, heading in enumerate(header):
        table.add_column(heading, justify="right" if k else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
