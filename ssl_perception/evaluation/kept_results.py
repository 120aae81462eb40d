"""Results that are kept in a file while a long run goes on, so that a killed one can be resumed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import ssl_perception
from ssl_perception.errors import InputError
from ssl_perception.evaluation.bucketed import Buckets
from ssl_perception.evaluation.flow_metrics import FIGURES
from ssl_perception.io.lock import lock_file

MAX_BYTES = 1 << 30
# of the answer; MiB of the whole process while it was found; steps of its optimisation
COSTS = ("seconds", "peak_mb", "iterations")

Value = TypeVar("Value")


def fingerprint(*what: Any) -> str:
    """Of all that results depend on: JSON values; this version of the package is added."""
    content = json.dumps([ssl_perception.__version__, *what])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class KeptRows(Generic[Value]):
    """Values by key; with a path each is in the file before the next one begins.

    One JSON line a value, after one with the fingerprint of what they depend on. A line that a kill
    cut short is taken off, and its value is computed again.

    Args:
        path: read if it is there; None: nothing is kept.
        fingerprint: of whatever the values depend on, see ``fingerprint``.
        command: that wrote them, for error messages.
        parse: key and value of a line; raises ValueError, KeyError or TypeError if it can't be one.

    Raises:
        InputError: the file can't be used, holds results of something else, or another run writes
            to it.
    """

    def __init__(
        self,
        path: Path | None,
        fingerprint: str,
        command: str,
        parse: Callable[[Any], tuple[Hashable, Value]],
    ) -> None:
        self._path = path
        self._known: dict[Hashable, Value] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # held for as long as these rows are: two runs would write each row twice
            self._lock = lock_file(path, f"{path}: another run keeps its results here")
            if path.stat().st_size:
                self._load(path, fingerprint, command, parse)
            else:
                self._append({"fingerprint": fingerprint})
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def __getitem__(self, key: Hashable) -> Value:
        return self._known[key]

    def add(self, key: Hashable, value: Value, row: dict[str, Any]) -> None:
        """Keep a value; ``row`` is what ``parse`` makes key and value of again."""
        self._known[key] = value
        self._append(row)

    def _load(
        self,
        path: Path,
        fingerprint: str,
        command: str,
        parse: Callable[[Any], tuple[Hashable, Value]],
    ) -> None:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than 1 GiB")
        text = path.read_bytes()
        whole = text.rfind(b"\n") + 1
        try:
            head, *rows = [json.loads(line) for line in text[:whole].splitlines()]
            same = head["fingerprint"] == fingerprint
            for row in rows if same else []:
                key, value = parse(row)
                self._known[key] = value
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise InputError(f"{path}: not results of {command}") from None
        if not same:
            raise InputError(f"{path}: results of other settings, seed or data; name a new file")
        os.truncate(path, whole)

    def _append(self, row: dict[str, Any]) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row, allow_nan=False) + "\n")
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or error}") from None


@dataclass(frozen=True, eq=False)
class Result:
    """A method's answer to a pair, scored.

    Attributes:
        figures: of ``flow_metrics.score``, and ``COSTS``.
        buckets: for the bucket-normalised error.
    """

    figures: dict[str, float]
    buckets: Buckets


class KeptResults:
    """Results of ``evaluate flow`` by pair and method; arguments as of ``KeptRows``."""

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self._rows = KeptRows(path, fingerprint, "evaluate flow", _result)

    def has(self, pair: int, method: str) -> bool:
        return (pair, method) in self._rows

    def add(self, pair: int, method: str, result: Result) -> None:
        figures = {k: None if math.isnan(v) else v for k, v in result.figures.items()}
        row = {"pair": pair, "method": method, "figures": figures}
        self._rows.add((pair, method), result, {**row, "buckets": result.buckets.plain()})

    def of(self, method: str, count: int) -> list[Result]:
        """A method's results on the first ``count`` pairs."""
        return [self._rows[pair, method] for pair in range(count)]


def _result(row: Any) -> tuple[tuple[int, str], Result]:
    figures = {k: math.nan if v is None else float(v) for k, v in row["figures"].items()}
    if figures.keys() != {*FIGURES, *COSTS}:
        raise ValueError("other figures")
    buckets = Buckets.from_plain(row["buckets"])
    return (int(row["pair"]), str(row["method"])), Result(figures, buckets)
