"""Files that the docs name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
HISTORY = {"CHANGELOG.md"}  # names files by the name that they had
EXAMPLE = "your_method.py"
BASES = (ROOT, ROOT / "ssl_perception", ROOT / "sim" / "ssl_perception_sim")
PACKAGES = {
    "ssl_perception": ROOT,
    "ssl_perception_sim": ROOT / "sim",
    "ssl_perception_ros": ROOT / "ros_ws" / "src" / "ssl_perception_ros",
}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in HISTORY], ids=str)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [
        target
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
        if "://" not in target and not (page.parent / target).exists()
    ]
    sources = [
        path
        for path in re.findall(r"`([\w/]+/\w+\.py)`", text)
        if not path.endswith(EXAMPLE) and not any((base / path).exists() for base in BASES)
    ]
    assert links + sources == []


def test_every_command_module_that_a_page_names_is_there() -> None:
    for page in PAGES:
        if page.name in HISTORY:
            continue
        for module in re.findall(r"python\s+-m\s+(ssl_perception[\w.]+)", page.read_text("utf-8")):
            package = module.partition(".")[0]
            folder = PACKAGES[package]
            path = folder / module.replace(".", "/")
            assert path.with_suffix(".py").exists(), f"{page.name}: {module}"
