"""What every long command shows on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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

PREPARING = "preparing kernels (compiled once, about a minute)"


def progress_bar(console: Console) -> Progress:
    """What every long command shows."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


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
