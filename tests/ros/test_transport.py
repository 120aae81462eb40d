"""Every Fast DDS finds the shared-memory profile, under the name that it reads."""

from __future__ import annotations

import os

import pytest

from ssl_perception_ros import transport

NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"


@pytest.mark.parametrize(
    ("given", "new", "old"),
    [
        ({}, "ours", "ours"),
        ({NEW: "", OLD: ""}, "ours", "ours"),
        ({NEW: "mine.xml"}, "mine.xml", "mine.xml"),
        ({OLD: "mine.xml"}, "mine.xml", "mine.xml"),
        ({NEW: "", OLD: "mine.xml"}, "mine.xml", "mine.xml"),
        ({NEW: "new.xml", OLD: "old.xml"}, "new.xml", "old.xml"),
    ],
)
def test_both_names_are_set_and_what_is_set_already_stays(
    given: dict[str, str], new: str, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", dict(given))
    transport.use_shared_memory()
    ours = str(transport.profile())
    assert [os.environ.get(name) for name in (NEW, OLD)] == [
        ours if wanted == "ours" else wanted for wanted in (new, old)
    ]
