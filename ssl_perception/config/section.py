"""What a section of the settings is, and how all of its settings are listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


class Setting(NamedTuple):
    """One leaf of the tree, from which parameters and documentation derive."""

    name: str
    default: Any
    bounds: dict[str, float]
    description: str
    annotation: Any


def flat(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """The values of a section's settings by dotted name."""
    values: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = value
    return values


def settings(section: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Every setting of the tree with its dotted name, default, bounds and description."""
    for name, info in section.model_fields.items():
        if isinstance(info.default, BaseModel):
            yield from settings(type(info.default), f"{prefix}{name}.")
        else:
            bounds = {
                part.name: getattr(rule, part.name)
                for rule in info.metadata
                if is_dataclass(rule)
                for part in fields(rule)
            }
            yield Setting(
                f"{prefix}{name}", info.default, bounds, info.description or "", info.annotation
            )
