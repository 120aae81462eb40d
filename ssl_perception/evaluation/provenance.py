"""With what a report's figures were made: versions, machine, and settings off their defaults."""

from __future__ import annotations

from typing import Any

from ssl_perception.config import Config, flat
from ssl_perception.evaluation.report import Section
from ssl_perception.runtime.installation import examine


def changed_settings(config: Config) -> dict[str, Any]:
    """The settings that are not at their defaults, by dotted name."""
    defaults = flat(Config())
    return {name: value for name, value in flat(config).items() if value != defaults[name]}


def provenance(config: Config, skipped: list[str] | None = None) -> Section:
    """The last chapter of a report.

    Args:
        config: of the run.
        skipped: what was left out of it and why, one line each.
    """
    found = examine()
    host, parts = found["machine"], found["parts"]
    changed = changed_settings(config)
    settings = ", ".join(f"{name}={value}" for name, value in changed.items()) or "none"
    versions = ", ".join(f"{part} {version}" for part, version in parts.items() if version)
    rows = [
        ("ssl_perception", found["ssl_perception"]),
        ("with", versions),
        ("machine", f"{host['processor']}, {host['cores']} cores, Python {host['python']}"),
        ("settings off their defaults", settings),
        *(("skipped", line) for line in skipped or []),
    ]
    return Section("This run", header=("", ""), rows=rows)
