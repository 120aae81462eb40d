"""Every extra that can be installed is of use: something imports what it brings."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ssl_perception.runtime.extras import EXTRA_OF

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = [*(ROOT / "ssl_perception").rglob("*.py"), *(ROOT / "sim").rglob("*.py")]
MODULES = {
    "onnxruntime-gpu": "onnxruntime",
    "rerun-sdk": "rerun",
    "tensorboard": "torch.utils.tensorboard",
}


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev", "ros"}))
def test_what_an_extra_installs_is_imported(extra: str) -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    for requirement in EXTRAS[extra]:
        name = Requirement(requirement).name
        if name == "ssl-perception":  # an extra made of others
            assert Requirement(requirement).extras <= set(EXTRAS)
            continue
        module = re.escape(MODULES.get(name, name))
        used = re.search(rf"(?m)^\s*(import {module}|from {module}[\w.]* import)\b", text)
        assert used, f"extra {extra} installs {name}, and nothing imports it"


def test_the_ros_extra_and_the_tested_versions_name_the_same_packages() -> None:
    lines = (ROOT / "requirements-ros.txt").read_text().splitlines()
    tested = {Requirement(line).name for line in lines if not line.startswith("#")}
    assert {Requirement(line).name for line in EXTRAS["ros"]} == tested


def test_the_core_needs_neither_pytorch_nor_a_runtime_that_excludes_another() -> None:
    core = [Requirement(line) for line in PROJECT["dependencies"]]
    names = {requirement.name for requirement in core}
    assert not names & {"torch", "onnxruntime", "onnxruntime-gpu", "ray", "open3d"}
    (patchwork,) = (requirement for requirement in core if requirement.name == "pypatchworkpp")
    assert patchwork.marker is not None
    assert not patchwork.marker.evaluate({"platform_machine": "aarch64"})


def test_every_extra_that_an_error_names_is_there() -> None:
    assert set(EXTRA_OF.values()) <= set(EXTRAS)
