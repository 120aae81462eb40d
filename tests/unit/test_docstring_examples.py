"""The examples in the docstrings do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WITH_EXAMPLES = [
    ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    for folder, package in ((ROOT, "ssl_perception"), (ROOT / "sim", "ssl_perception_sim"))
    for path in sorted((folder / package).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_docstring_examples(module: str) -> None:
    failed, attempted = doctest.testmod(import_module(module))
    assert attempted > 0
    assert failed == 0


def test_the_public_things_have_examples() -> None:
    assert {
        "ssl_perception",
        "ssl_perception.config.loading",
        "ssl_perception.depth.trust.statistics",
        "ssl_perception.flow",
        "ssl_perception.pipeline",
        "ssl_perception.types",
    } <= set(WITH_EXAMPLES)
