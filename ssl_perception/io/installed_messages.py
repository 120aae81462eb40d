"""Messages of ROS packages that may be installed or not, by the definitions that they install.

Their ``.msg`` files are read, found by AMENT_PREFIX_PATH; no ROS is imported. So bytes always agree
with the version of the package that is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.typesys import get_types_from_msg

from ssl_perception.errors import InputError
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.files import reason

MAX_DEFINITION_BYTES = 1 << 20


def require(kind: str) -> None:
    """Let ``typestore`` know a message, and what it is made of.

    Args:
        kind: its full name, ``package/msg/Name``.

    Raises:
        InputError: its package, or one that it needs, isn't installed.
    """
    store = typestore()
    found: dict[str, Any] = {}
    wanted = [kind]
    while wanted:
        name = wanted.pop()
        if name in store.types or name in found:
            continue
        definition = _definition(name)
        if definition is None:
            package = name.split("/")[0]
            raise InputError(f"{kind}: {package} is not installed (AMENT_PREFIX_PATH)")
        try:
            if definition.stat().st_size > MAX_DEFINITION_BYTES:
                raise InputError(f"{definition}: too large to define a message")
            parsed = get_types_from_msg(definition.read_text(encoding="utf-8"), name)
        except InputError:
            raise
        except Exception as error:  # whatever rosbags' grammar makes of it
            raise InputError(f"{definition}: defines no message: {reason(error)}") from None
        found |= parsed
        wanted += [part for _, fields in parsed.values() for part in _parts(fields)]
    if found:
        store.register(found)


def _definition(kind: str) -> Path | None:
    package, _, name = kind.partition("/msg/")
    for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        path = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if prefix and path.is_file():
            return path
    return None


def _parts(fields: Any) -> Iterator[str]:
    """Names of the messages among the types of a definition's fields, however nested."""
    if isinstance(fields, str):
        if "/msg/" in fields:
            yield fields
    elif isinstance(fields, list | tuple):
        for field in fields:
            yield from _parts(field)
