"""Scored answers, and the file that keeps them while a long evaluation runs."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_perception.errors import InputError
from ssl_perception.evaluation.bucketed import Buckets
from ssl_perception.evaluation.flow_metrics import FIGURES

MAX_BYTES = 1 << 30
COSTS = ("seconds", "peak_mb")  # of the answer; MiB of the whole process while it was found


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
    """Results by pair and method; with a path each is in the file before the next one begins.

    One JSON line a result, after one that tells what they are results of. A line that a kill cut
    short is taken off, and its pair done again.

    Args:
        path: read if it is there; None: nothing is kept.
        fingerprint: of whatever the results depend on.

    Raises:
        InputError: the file can't be used, or holds results of something else.
    """

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self._path = path
        self._known: dict[tuple[int, str], Result] = {}
        if path is None:
            return
        try:
            if path.exists() and path.stat().st_size:
                self._load(path, fingerprint)
            else:
                self._append({"fingerprint": fingerprint})
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from None

    def has(self, pair: int, method: str) -> bool:
        return (pair, method) in self._known

    def add(self, pair: int, method: str, result: Result) -> None:
        self._known[pair, method] = result
        figures = {k: None if math.isnan(v) else v for k, v in result.figures.items()}
        row = {"pair": pair, "method": method, "figures": figures}
        self._append({**row, "buckets": result.buckets.plain()})

    def of(self, method: str, count: int) -> list[Result]:
        """A method's results on the first ``count`` pairs."""
        return [self._known[pair, method] for pair in range(count)]

    def _load(self, path: Path, fingerprint: str) -> None:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than 1 GiB")
        text = path.read_bytes()
        whole = text.rfind(b"\n") + 1
        try:
            head, *rows = [json.loads(line) for line in text[:whole].splitlines()]
            same = head["fingerprint"] == fingerprint
            for row in rows if same else []:
                key, result = _result(row)
                self._known[key] = result
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise InputError(f"{path}: not results of evaluate flow") from None
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


def _result(row: Any) -> tuple[tuple[int, str], Result]:
    figures = {k: math.nan if v is None else float(v) for k, v in row["figures"].items()}
    if figures.keys() != {*FIGURES, *COSTS}:
        raise ValueError("other figures")
    buckets = Buckets.from_plain(row["buckets"])
    return (int(row["pair"]), str(row["method"])), Result(figures, buckets)
