"""A cue's status beside its depth: the same bits on the other side, nothing hostile taken."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception.errors import InputError
from ssl_perception.io.cue_status import CueStatus
from ssl_perception.types import CameraModel, Cue, DepthMap

CAMERA = CameraModel(4, 3, 2.0, 2.0, 1.5, 1.0)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@given(
    st.booleans(),
    st.text(max_size=1000),
    st.floats(min_value=0.0, allow_nan=False, allow_infinity=False),
    st.none() | st.integers(0, 2**63 - 1),
    st.floats(allow_nan=False),
)
def test_round_trip_gives_the_same_bits(
    valid: bool, reason: str, novelty: float, generation: int | None, since: float
) -> None:
    status = CueStatus(valid, reason, novelty, generation, since)
    texts = status.values()
    assert all(isinstance(text, str) for text in texts.values())
    again = CueStatus.parse(texts)
    assert again == status and bits(again.novelty) == bits(novelty)
    assert bits(again.suspect_since) == bits(since)


def test_float32_novelty_survives_as_it_is() -> None:
    novelty = float(np.sqrt(np.float32(0.1)))
    assert CueStatus.parse(CueStatus(True, "", novelty, 1).values()).novelty == novelty


def test_depth_map_with_a_status_applied_is_the_one_that_it_was_taken_from() -> None:
    depth = np.arange(12, dtype=np.float32).reshape(3, 4)
    sent = DepthMap(
        depth, CAMERA, 7.25, Cue.MONO, False, "out of distribution: novelty 0.61, at most 0.5",
        novelty=0.1 + 0.2, generation=41, suspect_since=6.5,
    )  # fmt: skip
    bare = DepthMap(depth, CAMERA, 7.25, Cue.MONO)
    got = CueStatus.parse(CueStatus.of(sent).values()).apply(bare)
    for name in ("valid", "reason", "novelty", "generation", "suspect_since", "stamp", "camera"):
        assert getattr(got, name) == getattr(sent, name), name
    np.testing.assert_array_equal(got.depth, depth)


@pytest.mark.parametrize("cue", [Cue.DEPTH, Cue.LIDAR])
def test_the_sensor_in_place_of_stereo_travels_with_the_status(cue: Cue) -> None:
    depth = np.ones((3, 4), np.float32)
    values = CueStatus.of(DepthMap(depth, CAMERA, cue=cue)).values()
    assert values["source"] == cue.value
    assert CueStatus.parse(values).apply(DepthMap(depth, CAMERA)).cue is cue
    assert "source" not in CueStatus.of(DepthMap(depth, CAMERA)).values(), "as it always was"
    with pytest.raises(InputError, match=r"^cue status: source is 'sonar'"):
        CueStatus.parse({**values, "source": "sonar"})


GOOD = {"valid": "true", "reason": "", "novelty": "0.25", "generation": "3"}


def test_a_recording_of_before_suspects_nothing() -> None:
    assert CueStatus.parse(GOOD).suspect_since == math.inf


def test_the_values_that_the_hostile_ones_are_made_of_are_good() -> None:
    assert CueStatus.parse(GOOD) == CueStatus(True, "", 0.25, 3)
    assert CueStatus.parse({**GOOD, "something": "else"}) == CueStatus(True, "", 0.25, 3)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_value_is_one_line_that_names_it(name: str) -> None:
    with pytest.raises(InputError, match=f"^cue status: '{name}' is missing") as caught:
        CueStatus.parse({key: text for key, text in GOOD.items() if key != name})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("valid", "True"),
        ("valid", "1"),
        ("valid", ""),
        ("novelty", "nan"),
        ("novelty", "inf"),
        ("novelty", "-inf"),
        ("novelty", "-0.1"),
        ("novelty", "0.1.2"),
        ("novelty", ""),
        ("suspect_since", "late"),
        ("suspect_since", "nan"),
        ("generation", ""),
        ("generation", "None"),
        ("generation", "1.5"),
        ("generation", "-1"),
        ("generation", "9" * 40),
        ("generation", "9" * 5000),
        ("reason", "x" * 1001),
        ("reason", "x" * 10_000_000),
    ],
)
def test_hostile_values_are_one_short_line(name: str, text: str) -> None:
    with pytest.raises(InputError, match="cue status: ") as caught:
        CueStatus.parse({**GOOD, name: text})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_long_text_in_the_place_of_a_number_is_not_repeated() -> None:
    for name in ("valid", "novelty", "generation", "suspect_since"):
        with pytest.raises(InputError) as caught:
            CueStatus.parse({**GOOD, name: "x\n" * 1_000_000})
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


def test_not_a_number_never_becomes_valid_by_comparison() -> None:
    """NaN is below no limit: a status with it must not reach trust."""
    assert not math.nan > 0.5
    with pytest.raises(InputError):
        CueStatus.parse({**GOOD, "novelty": repr(math.nan)})
