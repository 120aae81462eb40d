"""Every extra that can be installed is of use: something imports what it brings."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCES = [*(ROOT / "ssl_perception").rglob("*.py"), *(ROOT / "sim").rglob("*.py")]
MODULES = {
    "onnxruntime-gpu": "onnxruntime",
    "rerun-sdk": "rerun",
    "tensorboard": "torch.utils.tensorboard",
}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_what_an_extra_installs_is_imported(extra: str) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for requirement in EXTRAS[extra]:
        name = Requirement(requirement).name
        module = re.escape(MODULES.get(name, name))
        used = re.search(rf"(?m)^\s*(import {module}|from {module}[\w.]* import)\b", text)
        assert used, f"extra {extra} installs {name}, and nothing imports it"
