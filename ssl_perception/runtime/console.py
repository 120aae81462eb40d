"""What commands show on the terminal: text as it is, whatever names files and topics have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

# Control characters, which could move the cursor, rename the window or hide a line; and halves of
# surrogate pairs, which stand for bytes of a name that aren't UTF-8 and can't be printed.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text without what isn't text; tabs and line ends stay."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


class Terminal(Console):
    """A console that prints names as they are: no markup unless asked for, no escape codes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(printable(o) if isinstance(o, str) else o for o in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


PREPARING = "preparing kernels (compiled once, about a minute)"


class _Description(TextColumn):
    """A task's name may be that of a file."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description))


def progress_bar(console: Console) -> Progress:
    """What every long command shows."""
    return Progress(
        SpinnerColumn(),
        _Description("{task.description}", markup=False),
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
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print(table)
