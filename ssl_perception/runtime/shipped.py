"""Where the models that come with this package lie."""

from __future__ import annotations

from pathlib import Path

from ssl_perception.errors import InputError


def shipped(name: str) -> Path:
    """A file or folder of ``models/``: beside the package in a checkout, inside it when installed.

    Raises:
        InputError: there is no such model.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "models", package.parent / "models"):
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{name}: not among the shipped models; reinstall, or name another one")
