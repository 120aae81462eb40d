"""Rows that a run keeps: written once, by one run at a time."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from ssl_perception.errors import InputError
from ssl_perception.evaluation.kept_results import KeptRows


def rows(path: Path) -> KeptRows[int]:
    def parse(row: Any) -> tuple[Hashable, int]:
        return row["key"], int(row["value"])

    return KeptRows(path, "settings", "a test", parse)


def test_a_second_run_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    first = rows(path)
    first.add("a", 1, {"key": "a", "value": 1})
    with pytest.raises(InputError, match="another run keeps its results here"):
        rows(path)
    first.add("b", 2, {"key": "b", "value": 2})
    del first
    again = rows(path)
    assert again["a"] == 1 and again["b"] == 2
    assert len(path.read_text().splitlines()) == 3, "a head, and each row once"


def test_a_torn_line_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    first = rows(path)
    first.add("a", 1, {"key": "a", "value": 1})
    del first
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "b", "va')
    again = rows(path)
    assert "a" in again and "b" not in again
    assert path.read_bytes() == whole
