"""``import ssl_perception``: the promised names, and nothing heavy until one is used."""

from __future__ import annotations

import importlib
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import ssl_perception

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"cv2", "matplotlib", "numba", "onnxruntime", "scipy", "torch"}
# Seconds. Without any numpy the import takes some 0.01; the bound leaves room for a machine that
# does much else, yet not for one of the modules above.
MAX_IMPORT = 0.2


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout


def test_importing_the_package_is_light() -> None:
    code = (
        "import json, sys, time\n"
        "start = time.process_time()\n"
        "import ssl_perception\n"
        "print(json.dumps([time.process_time() - start, sorted(sys.modules)]))"
    )
    seconds, loaded = zip(*(json.loads(run(code)) for _ in range(3)), strict=True)
    assert not HEAVY & set(loaded[0])
    assert statistics.median(seconds) < MAX_IMPORT


def test_every_promised_name_is_there() -> None:
    from ssl_perception.config import Config
    from ssl_perception.flow import estimate_flow
    from ssl_perception.pipeline import Perception

    assert set(ssl_perception.__all__) <= set(dir(ssl_perception))
    for name in ssl_perception.__all__:
        assert getattr(ssl_perception, name) is not None
    assert ssl_perception.estimate_flow is estimate_flow
    assert ssl_perception.Perception is Perception
    assert ssl_perception.Config is Config


def test_type_checkers_see_the_same_names() -> None:
    """The block under ``TYPE_CHECKING`` names what ``__all__`` promises, from the same modules."""
    source = Path(ssl_perception.__file__).read_text(encoding="utf-8")
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n__all__")[0]
    seen = {
        name: module
        for module, many, one in re.findall(r"from (\S+) import (?:\(([^)]*)\)|(\w+))", block)
        for name in re.findall(r"\w+", many or one)
    }
    assert {*seen, "__version__"} == set(ssl_perception.__all__)
    for name, module in seen.items():
        assert getattr(importlib.import_module(module), name) is getattr(ssl_perception, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'estimate_depth'"):
        ssl_perception.estimate_depth  # noqa: B018


def test_the_version_has_one_source() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" in project["project"]["dynamic"]
    source = ROOT / project["tool"]["hatch"]["version"]["path"]
    assert project["tool"]["hatch"]["version"]["path"] == "ssl_perception/version.py"
    assert f'__version__ = "{ssl_perception.__version__}"' in source.read_text(encoding="utf-8")
    node_package = ROOT / "ros_ws" / "src" / "ssl_perception_ros"
    wanted = f"<version>{ssl_perception.__version__}</version>"
    assert wanted in (node_package / "package.xml").read_text(encoding="utf-8")
    wanted = f'version="{ssl_perception.__version__}"'
    assert wanted in (node_package / "setup.py").read_text(encoding="utf-8")


def test_the_readme_example_runs() -> None:
    import numpy as np

    from ssl_perception import CameraModel, PointCloud, StereoPair

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"^    from ssl_perception import .*\n(?:    .*\n|\n)*", readme, re.MULTILINE)
    assert block
    wall = np.stack(np.meshgrid([10.0], np.arange(-3, 3, 0.1), np.arange(-1, 1, 0.1)), -1)
    texture = np.random.default_rng(0).integers(0, 256, (240, 336), dtype=np.uint8)
    camera = CameraModel(width=320, height=240, fx=200.0, fy=200.0, cx=160.0, cy=120.0)
    names = {
        "earlier": wall.reshape(-1, 3),
        "later": wall.reshape(-1, 3),
        "cloud": PointCloud(wall.reshape(-1, 3)),
        "pair": StereoPair(texture[:, :320], texture[:, 16:], camera, baseline=0.1),
    }
    exec(dedent(block[0]), names)
    for given, comment in re.findall(r"    (\w+) = perception.*# (.*)", block[0]):
        for attribute in re.findall(r"\.(\w+)", comment):
            assert hasattr(names[given], attribute)
