"""YAML from outside: bounded in size, depth and aliases, and every fault one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ssl_perception.errors import InputError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000  # keys, values and collections, each alias counted as what it stands for
MAX_SHOWN = 200  # characters of a value in an error
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it is there


def parse_yaml(text: str, source: str, max_nodes: int = MAX_NODES) -> Any:
    """The value of a YAML text; None when it is empty.

    Depth and number of nodes are counted while the text is scanned, before anything is built: a
    few aliases of aliases would otherwise stand for billions of nodes.

    Args:
        source: what to call it in an error.

    Raises:
        InputError: not YAML, too deep, too many nodes, or a value that can't be built.
    """
    try:
        _check_structure(text, source, max_nodes)
        return yaml.load(text, _Loader)
    except InputError:
        raise
    # not only YAMLError: the constructors raise ValueError, OverflowError, TypeError, ...
    except Exception as error:
        why = " ".join(str(error).split())[:MAX_SHOWN] or type(error).__name__
        raise InputError(f"{source}: not valid YAML: {why}") from None


def _check_structure(text: str, source: str, max_nodes: int) -> None:
    sizes: dict[str, int] = {}  # nodes of each finished anchor
    # for each open collection: its anchor, nodes counted before it
    opened: list[tuple[str | None, int]] = []
    nodes = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise InputError(f"{source}: alias *{event.anchor} of nothing, or of itself")
            nodes += sizes[event.anchor]
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, nodes))
            nodes += 1
            if len(opened) > MAX_DEPTH:
                raise InputError(f"{source}: nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor:
                sizes[anchor] = nodes - before
        if nodes > max_nodes:
            raise InputError(f"{source}: more than {max_nodes} values, aliases written out")


def read_yaml(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The keys and values of a YAML file from outside; an empty file has none.

    Raises:
        InputError: no such file, not a file, larger than ``max_bytes``, not UTF-8, not YAML (see
            ``parse_yaml``), or a list.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a file")  # a pipe would never end
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise InputError(f"{path}: {error}") from None
    if len(content) > max_bytes:
        raise InputError(f"{path}: larger than {max_bytes} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a UTF-8 text file") from None
    values = parse_yaml(text, str(path))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: must hold keys and values, not {type(values).__name__}")
    return values


def shown(value: Any) -> str:
    """A value as an error quotes it: short, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python prints
        return f"a {type(value).__name__}"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
