"""What constraints.txt pins can be installed on every Python that the package promises.

`make constraints` asks the registry for the same; here is what can be known without it.
"""

from __future__ import annotations

import sys
from collections import Counter
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SAYS_PYTHON = "Programming Language :: Python :: "
PYTHONS = [c.removeprefix(SAYS_PYTHON) for c in PROJECT["classifiers"] if SAYS_PYTHON in c]


def pins(python: str) -> list[Requirement]:
    """The pins that hold on this Python (``3.10``)."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if not line.startswith("#")]
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    return [pin for pin in found if pin.marker is None or pin.marker.evaluate(here)]


def names(python: str) -> Counter[str]:
    return Counter(canonicalize_name(pin.name) for pin in pins(python))


def test_the_promised_pythons_are_those_that_are_allowed_and_resolved() -> None:
    assert PYTHONS == ["3.10", "3.11", "3.12", "3.13"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(f"{python}.0" in allowed for python in PYTHONS)
    assert "3.9.99" not in allowed
    assert f"PYTHONS := {' '.join(PYTHONS)}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("python", PYTHONS)
def test_a_name_is_pinned_once_to_one_version(python: str) -> None:
    assert [name for name, count in names(python).items() if count > 1] == []
    assert all(str(pin.specifier).startswith("==") for pin in pins(python))
    # backports go with the Pythons that need them; nothing is pinned on a newer one alone
    assert set(names(python)) <= set(names(PYTHONS[0]))


def test_a_pinned_release_admits_every_python_that_it_is_pinned_for() -> None:
    """Of the releases that are installed here, which say themselves what they admit."""
    refusals, asked = [], 0
    for python in PYTHONS:
        for pin in pins(python):
            try:
                installed = distribution(pin.name)
            except PackageNotFoundError:
                continue
            public = Version(installed.version).public  # torch 2.13.0+cpu is 2.13.0
            if public not in pin.specifier:
                continue
            asked += 1
            if f"{python}.0" not in SpecifierSet(installed.metadata["Requires-Python"] or ""):
                refusals.append(f"{pin} on {python}: {installed.metadata['Requires-Python']}")
    assert asked > 100, "the environment is not made from constraints.txt"
    assert refusals == []
