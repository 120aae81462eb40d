"""What a batch came to: a row a job, as Parquet or CSV, and a page."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ssl_perception.errors import InputError
from ssl_perception.evaluation.report import Section, write_html
from ssl_perception.io.write import write_output

FIRST = ("key", "task", "log", "status", "error", "seconds", "version")
SHOWN = 5  # figures on the page
Row = dict[str, Any]


def read_rows(folder: Path) -> list[Row]:
    """A row of each result in a batch's folder, figures by dotted name, in the order of the logs.

    Raises:
        InputError: there are none, or one can't be read.
    """
    rows = []
    for file in sorted((folder / "jobs").glob("*.json")):
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            row = {name: result[name] for name in FIRST}
            row |= dict(_scalars(result["figures"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: not a result of batch: {error}") from None
        rows.append(row)
    if not rows:
        raise InputError(f"{folder}: holds no results of batch")
    return sorted(rows, key=lambda row: (row["task"], row["log"], row["key"]))


def _scalars(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _scalars(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int | float | str | bool) and name not in FIRST:
        yield name, value


def write_summary(folder: Path) -> tuple[Path, Counter[str]]:
    """Make ``summary.parquet`` (``.csv`` without pyarrow) and ``index.html`` of a batch's folder.

    Returns:
        The table's file, and how many jobs ended how.

    Raises:
        InputError: see ``read_rows``, or a file can't be written.
    """
    rows = read_rows(folder)
    columns = list(dict.fromkeys([*FIRST, *(name for row in rows for name in row)]))
    table = _parquet(folder, rows, columns) or _csv(folder, rows, columns)
    ends = Counter(str(row["status"]) for row in rows)
    lead = ", ".join(f"{count} {status}" for status, count in ends.items())
    _page(folder / "index.html", rows, columns, f"{len(rows)} jobs: {lead}.")
    return table, ends


def _parquet(folder: Path, rows: list[Row], columns: list[str]) -> Path | None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return None
    arrays = {name: _column([row.get(name) for row in rows]) for name in columns}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), buffer)
    write_output(folder / "summary.parquet", buffer.getvalue())
    return folder / "summary.parquet"


def _column(values: list[Any]) -> list[Any]:
    """Of one type, as Parquet wants it: numbers, truths, or text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return values


def _csv(folder: Path, rows: list[Row], columns: list[str]) -> Path:
    text = io.StringIO()
    table = csv.DictWriter(text, columns)
    table.writeheader()
    table.writerows(rows)
    write_output(folder / "summary.csv", text.getvalue().encode())
    return folder / "summary.csv"


def _page(path: Path, rows: list[Row], columns: list[str], lead: str) -> None:
    varying = [
        name
        for name in columns
        if name not in FIRST
        and all(isinstance(row.get(name), int | float | None) for row in rows)
        and len({row.get(name) for row in rows}) > 1
    ][:SHOWN]
    header = ("log", "result", *varying)
    lines = [
        (
            str(row["log"]),
            str(row["status"]) + (f": {row['error']}" if row["error"] else ""),
            *(_short(row.get(name)) for name in varying),
        )
        for row in rows
    ]
    text = "All figures are in the summary beside this page, each job's own file in jobs/."
    write_html(path, "ssl-perception batch", lead, [Section("Jobs", text, header, lines)])


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
