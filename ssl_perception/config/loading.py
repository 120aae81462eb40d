"""Settings out of YAML files, dictionaries and ``section.key=value`` texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ssl_perception.config.section import AnySection
from ssl_perception.config.tree import Config
from ssl_perception.config.yaml_text import parse_yaml, read_yaml, shown
from ssl_perception.errors import InputError

_PRESETS = Path(__file__).with_name("presets")
# names that settings had before: using one is an error that says the new name
RENAMED = {
    "flow.neural_prior.rigid": "flow.rigid_cluster",
    "flow.neural_prior.rigid.match_base": "flow.rigid_cluster.match_base",
    "flow.neural_prior.rigid.match_per_metre": "flow.rigid_cluster.match_per_metre",
    "flow.neural_prior.rigid.max_hover": "flow.rigid_cluster.max_height_above_ground",
    "flow.neural_prior.rigid.max_range": "flow.rigid_cluster.max_range",
    "flow.neural_prior.rigid.max_speed": "flow.rigid_cluster.max_speed",
    "flow.neural_prior.rigid.threads": "flow.rigid_cluster.threads",
    "flow.rigid_cluster.max_hover": "flow.rigid_cluster.max_height_above_ground",
    "flow.scoop.refinement.settle": "flow.scoop.refinement.static_suppression",
    "learner.label_min_known": "pseudo_label.min_known",
    "trust.novelty": "student.max_novelty",
}


def from_dict(values: dict[str, Any], source: str = "config") -> Config:
    """Validate a nested dictionary.

    Raises:
        InputError: on an unknown key or a value out of bounds; the line names the first key.
    """
    return _validated(Config, values, source)


def _validated(kind: type[AnySection], values: dict[str, Any], source: str) -> AnySection:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top level)"
        if first["type"] == "extra_forbidden":
            new = RENAMED.get(key)
            what = f"is now called {new}" if new else "unknown key"
        else:
            what = f"{first['msg'][0].lower()}{first['msg'][1:]}, not {shown(first['input'])}"
        raise InputError(f"{source}: {key}: {what}") from None


def load(path: Path) -> Config:
    """Read a YAML file; an empty one gives the defaults.

    Raises:
        InputError: the file can't be read (see ``read_yaml``) or isn't valid (see ``from_dict``).
    """
    return from_dict(read_yaml(path), str(path))


def presets() -> list[str]:
    """Names of the presets that ``preset`` knows."""
    return sorted(file.stem for file in _PRESETS.glob("*.yaml"))


def preset(name: str) -> Config:
    """The settings for a kind of robot, by name.

    Raises:
        InputError: no such preset.
    """
    if name not in presets():
        raise InputError(f"preset {name!r} is not one of {', '.join(presets())}")
    return load(_PRESETS / f"{name}.yaml")


def override(config: AnySection, settings: list[str]) -> AnySection:
    """The same configuration with ``section.key=value`` settings applied on top, in order.

    Args:
        config: the whole, or any part of it.

    >>> changed = override(Config(), ["flow.method=nsfp", "scan.sectors=36"])
    >>> changed.flow.method, changed.scan.sectors
    ('nsfp', 36)

    Raises:
        InputError: a setting without ``=``, an unknown key, or a value out of bounds.
    """
    values = config.model_dump()
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write section.key=value")
        *sections, leaf = key.strip().split(".")
        place = values
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None  # type: ignore[assignment]
        if not isinstance(place, dict) or leaf not in place:
            new = RENAMED.get(key.strip())
            what = f"{key.strip()} is now called {new}" if new else f"unknown key {key.strip()!r}"
            raise InputError(f"--set {setting}: {what}")
        place[leaf] = parse_yaml(text, f"--set {key.strip()}")
    return _validated(type(config), values, "--set")
