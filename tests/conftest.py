"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings; its absence is a failure, not a skip."""
    folder = Path(os.environ.get("SSL_PERCEPTION_DATA", ROOT.parent / "shared" / "data"))
    assert folder.is_dir(), f"no recordings at {folder}; set SSL_PERCEPTION_DATA"
    return folder
