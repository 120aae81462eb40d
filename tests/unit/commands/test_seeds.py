"""One grammar for seeds."""

from __future__ import annotations

import pytest

from ssl_perception.commands.seeds import parse_seeds
from ssl_perception.errors import InputError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", [0, 1, 2, 3, 4]),
        ("1", [0]),
        ("0..4", [0, 1, 2, 3, 4]),
        ("7..7", [7]),
        ("1,5,9", [1, 5, 9]),
        ("9, 1", [9, 1]),
        ("0..2,9,1..3", [0, 1, 2, 9, 3]),
        ("100..109", list(range(100, 110))),
    ],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "a", "0", "-1", "4..0", "..", "3..", "..3", "1,", "1,,2", "100-109", "1..2..3", "1.5", "²",
     "0..999999", "99999999999"],
)  # fmt: skip
def test_what_is_no_seeds_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^--seeds ") as caught:
        parse_seeds(text)
    assert "\n" not in str(caught.value)
