"""ROS parameters out of the settings: one declaration, with description, bounds and choices.

A parameter that no node knows, of the wrong type or out of bounds is refused with one line that
names it, at start as well as later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from ssl_perception.config import (
    RENAMED,
    Config,
    Section,
    Setting,
    flat,
    from_dict,
    preset,
    settings,
)
from ssl_perception.errors import InputError
from ssl_perception_ros.settings import ALL

# What rclpy itself understands.
_OF_ROS = ("use_sim_time", "qos_overrides.", "start_type_description_service")
_LARGEST_INTEGER = 2**63 - 1

S = TypeVar("S", bound=Section)


def declare(node: Node, own: type[Section], sections: Iterable[str]) -> None:
    """Declare a node's parameters, taking what the command line and files say.

    Args:
        own: the node's own settings.
        sections: the sections of ``Config`` that it uses.

    Raises:
        InputError: an unknown name, a wrong type or a value out of bounds.
    """
    sections_known: tuple[type[BaseModel], ...] = (Config, *ALL)
    known = {setting.name for section in sections_known for setting in settings(section)}
    for name in node._parameter_overrides:  # no public way to see what was given undeclared
        if name not in known and not name.startswith(_OF_ROS):
            new = RENAMED.get(name)
            what = f"is now called {new}" if new else "is unknown; docs/settings.md lists all"
            raise InputError(f"parameter {name!r} {what}")
    start = _start(node)
    for setting in _settings(own, sections):
        default = start.get(setting.name, setting.default)
        try:
            node.declare_parameter(setting.name, default, _descriptor(setting))
        except (InvalidParameterTypeException, InvalidParameterValueException):
            given = node._parameter_overrides[setting.name].value
            raise InputError(
                f"parameter {setting.name}: {_expected(setting)} expected, not {given!r}"
            ) from None


def config(node: Node, sections: Iterable[str]) -> Config:
    """The library's configuration as the parameters say.

    Raises:
        InputError: values that contradict each other.
    """
    return _config(_values(node, _of_library(sections)))


def own_settings(node: Node, kind: type[S]) -> S:
    """The node's own settings as the parameters say."""
    return _own(kind, _values(node, settings(kind)))


def changed(
    node: Node, own: type[S], sections: Iterable[str], changes: list[Parameter]
) -> tuple[Config, S]:
    """The library's configuration and the node's own settings with these changes.

    Raises:
        InputError: a change that can't be made.
    """
    wanted = {parameter.name: parameter.value for parameter in changes}
    names = {setting.name for setting in _settings(own, sections)}
    for name in wanted:
        if name not in names and not name.startswith(_OF_ROS):
            raise InputError(f"parameter {name!r} is unknown")
    return (
        _config(_values(node, _of_library(sections)) | _among(wanted, _of_library(sections))),
        _own(own, _values(node, settings(own)) | _among(wanted, settings(own))),
    )


def _start(node: Node) -> dict[str, Any]:
    """What the parameters are before anything is given: the values of ``preset``."""
    given = node._parameter_overrides.get("preset")
    name = "" if given is None else given.value
    if not isinstance(name, str):
        raise InputError(f"parameter preset: a string expected, not {name!r}")
    return flat(preset(name)) if name else {}


def _of_library(sections: Iterable[str]) -> Iterator[Setting]:
    for name in sections:
        yield from settings(type(Config.model_fields[name].default), f"{name}.")


def _settings(own: type[Section], sections: Iterable[str]) -> Iterator[Setting]:
    yield from settings(own)
    yield from _of_library(sections)


def _values(node: Node, wanted: Iterable[Setting]) -> dict[str, Any]:
    return {setting.name: node.get_parameter(setting.name).value for setting in wanted}


def _among(values: dict[str, Any], wanted: Iterable[Setting]) -> dict[str, Any]:
    names = {setting.name for setting in wanted}
    return {name: value for name, value in values.items() if name in names}


def _config(values: dict[str, Any]) -> Config:
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        place = tree
        for section in path:
            place = place.setdefault(section, {})
        place[leaf] = value
    return from_dict(tree, "parameters")


def _own(kind: type[S], values: dict[str, Any]) -> S:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise InputError(f"parameters: {name}: {first['msg']}, not {first['input']!r}") from None


def _expected(setting: Setting) -> str:
    names = {bool: "true or false", int: "an integer", float: "a number with a decimal point"}
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "multiple_of": "a multiple of"}
    bounds = ", ".join(f"{signs[key]} {value:g}" for key, value in setting.bounds.items())
    return f"{names.get(type(setting.default), 'a string')} {bounds}".strip()


def _descriptor(setting: Setting) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(name=setting.name, description=setting.description)
    low = setting.bounds.get("ge", setting.bounds.get("gt"))
    high = setting.bounds.get("le", setting.bounds.get("lt"))
    if isinstance(setting.default, bool):
        pass
    elif isinstance(setting.default, int) and setting.bounds:
        step = int(setting.bounds.get("multiple_of", 1))
        descriptor.integer_range = [
            IntegerRange(
                from_value=-_LARGEST_INTEGER if low is None else int(low),
                to_value=_LARGEST_INTEGER if high is None else int(high),
                step=step,
            )
        ]
    elif isinstance(setting.default, float) and setting.bounds:
        largest = sys.float_info.max
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-largest if low is None else float(low),
                to_value=largest if high is None else float(high),
                step=0.0,
            )
        ]
    if get_origin(setting.annotation) is Literal:
        descriptor.additional_constraints = "one of: " + ", ".join(get_args(setting.annotation))
    return descriptor
