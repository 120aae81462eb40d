"""Files of the persistence experiment: a JSON file per flight, and CSV tables of many flights."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json, write_output
from ssl_perception_sim.experiments.held_out import HeldOutScore
from ssl_perception_sim.experiments.persistence import (
    SCHEMES,
    Cell,
    Result,
    StereoFailure,
)

_MAX_BYTES = 1 << 20
_MAX_TABLE_BYTES = 1 << 26
# names in files of earlier versions
_RENAMED = {
    "deaths": "failures",
    "deaths_after": "failures_after",
    "death_seconds": "failure_seconds",
    "driver": "active_cue",
}
Row = TypeVar("Row", Cell, HeldOutScore, StereoFailure)


class FlightKey(NamedTuple):
    """What a flight is of; ``plan`` is a plan's name."""

    plan: str
    scheme: str
    student: str
    seed: int


@dataclass(frozen=True)
class StoredFlight:
    """A flight's file.

    Attributes:
        plan: as it was flown with, JSON values; settings of today may differ.
    """

    plan: dict[str, Any]
    result: Result

    @property
    def key(self) -> FlightKey:
        cell = self.result.cells[0]
        return FlightKey(plan_name(self.plan), cell.scheme, cell.student, cell.seed)


def plan_name(plan: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that differ for plans that differ."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:8]


def plain(result: Result) -> dict[str, object]:
    """As JSON values: what is not finite is None."""

    def values(row: Cell | HeldOutScore | StereoFailure) -> dict[str, object]:
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(row).items()
        }

    return {
        "cells": [values(row) for row in result.cells],
        "curve": [values(row) for row in result.curve],
        "failures": [values(row) for row in result.failures],
    }


def read_flight(path: Path, plan: Mapping[str, Any] | None = None) -> StoredFlight:
    """A flight's file.

    Args:
        plan: that it must have been flown with, JSON values; None: any.

    Raises:
        InputError: not one, or flown with another plan (the defaults have changed since).
    """

    def rows(kind: type[Row], stored: list[dict[str, Any]]) -> tuple[Row, ...]:
        known: list[dict[str, Any]] = [
            {k: math.nan if v is None else v for k, v in _renamed(row).items()} for row in stored
        ]
        return tuple(kind(**row) for row in known)

    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES} bytes")
        values = _renamed(json.loads(path.read_text(encoding="utf-8")))
        flown_with = _renamed(values["plan"])
        result = Result(
            rows(Cell, values["cells"]),
            rows(HeldOutScore, values["curve"]),
            rows(StereoFailure, values["failures"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: not a result of this experiment: {error}") from None
    if plan is not None and flown_with != plan:
        names = [k for k in {**flown_with, **plan} if flown_with.get(k) != plan.get(k)]
        raise InputError(
            f"{path}: flown with another plan: {', '.join(names)} differ; take another folder"
        )
    return StoredFlight(flown_with, result)


def read_folder(folder: Path) -> list[StoredFlight]:
    """All flights in a folder, of whatever plan, by name.

    Raises:
        InputError: a file with a flight's name isn't one.
    """
    files = sorted(file for scheme in SCHEMES for file in folder.glob(f"{scheme}-*.json"))
    flights = [(file, read_flight(file)) for file in files]
    for file, flight in flights:
        if not flight.result.cells:
            raise InputError(f"{file}: not a result of this experiment: no test in it")
    return [flight for _, flight in flights]


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in values.items()}


def table_files(csv_file: Path | None) -> dict[str, Path]:
    """The files of ``write_tables``, by what they hold."""
    if csv_file is None:
        return {}
    beside = {
        "curves": csv_file.with_name(f"{csv_file.stem}_curves.csv"),
        "failures": csv_file.with_name(f"{csv_file.stem}_failures.csv"),
        "plans": csv_file.with_name(f"{csv_file.stem}_plans.json"),
    }
    return {"tests": csv_file, **beside}


def write_tables(csv_file: Path, flights: Iterable[StoredFlight]) -> None:
    """A row per test in ``csv_file``; per held-out score, per stereo failure, and plans beside it.

    Raises:
        InputError: a file can't be written.
    """
    of = {flight.key: flight for flight in flights}
    files = table_files(csv_file)
    key = ["plan", "scheme", "student", "seed"]
    tests = [name for name in _names(Cell) if name not in key]
    _write_csv(
        files["tests"],
        [*key, *tests],
        ([*k, *_cells(row, tests)] for k, flight in of.items() for row in flight.result.cells),
    )
    scores = _names(HeldOutScore)
    _write_csv(
        files["curves"],
        [*key, *scores],
        ([*k, *_cells(row, scores)] for k, flight in of.items() for row in flight.result.curve),
    )
    columns = _names(StereoFailure)
    _write_csv(
        files["failures"],
        [*key, *columns],
        ([*k, *_cells(row, columns)] for k, flight in of.items() for row in flight.result.failures),
    )
    write_json(files["plans"], {k.plan: flight.plan for k, flight in of.items()})


def read_tables(csv_file: Path) -> dict[FlightKey, Result]:
    """What ``write_tables`` wrote, by flight; the plans are not looked at.

    Raises:
        InputError: a file is missing or not such a table.
    """
    files = table_files(csv_file)
    cells: dict[FlightKey, list[Cell]] = {}
    curve: dict[FlightKey, list[HeldOutScore]] = {}
    failures: dict[FlightKey, list[StereoFailure]] = {}
    _read_csv(files["tests"], Cell, cells)
    _read_csv(files["curves"], HeldOutScore, curve)
    _read_csv(files["failures"], StereoFailure, failures)
    return {
        key: Result(tuple(tests), tuple(curve.get(key, ())), tuple(failures.get(key, ())))
        for key, tests in cells.items()
    }


def _names(kind: type[Cell | HeldOutScore | StereoFailure]) -> list[str]:
    return [field.name for field in fields(kind)]


def _cells(row: Cell | HeldOutScore | StereoFailure, names: list[str]) -> list[object]:
    values = (getattr(row, name) for name in names)
    return ["" if isinstance(v, float) and not math.isfinite(v) else v for v in values]


def _write_csv(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    stream = io.StringIO(newline="")
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(header)
    table.writerows(rows)
    write_output(path, stream.getvalue().encode())


def _read_csv(path: Path, kind: type[Row], into: dict[FlightKey, list[Row]]) -> None:
    parse: dict[str, Callable[[str], Any]] = {
        "int": int,
        "bool": _bool,
        "str": str,
        "float": lambda text: float(text) if text else math.nan,
    }
    types = {field.name: parse[str(field.type)] for field in fields(kind)}
    try:
        if path.stat().st_size > _MAX_TABLE_BYTES:
            raise ValueError(f"larger than {_MAX_TABLE_BYTES} bytes")
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream, strict=True):
                key = FlightKey(row["plan"], row["scheme"], row["student"], int(row["seed"]))
                values = {name: types[name](row[name]) for name in types}
                into.setdefault(key, []).append(kind(**values))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of the persistence experiment: {error}") from None


def _bool(text: str) -> bool:
    return {"True": True, "False": False}[text]
