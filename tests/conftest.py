"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# how fast examples are drawn says how busy the machine is, nothing about the code
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings; its absence is a failure, not a skip."""
    folder = Path(os.environ.get("SSL_PERCEPTION_DATA", ROOT.parent / "shared" / "data"))
    assert folder.is_dir(), f"no recordings at {folder}; set SSL_PERCEPTION_DATA"
    return folder
