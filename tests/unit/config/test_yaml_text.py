"""YAML that isn't a configuration is one line, at once, whatever it holds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_perception import config
from ssl_perception.config.yaml_text import MAX_DEPTH, MAX_NODES, parse_yaml, shown
from ssl_perception.errors import InputError

BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
)
HOSTILE = [
    "a: 2001-99-99",
    f"a: {'9' * 5000}",
    f"a: 0x{'f' * 5000}",
    "a: !!int x",
    "a: !!float x",
    "a: !!timestamp x",
    "a: !!python/object/apply:os.system [ls]",
    "a: !!binary é",
    '"\\U00110000": 1',
    '"\\ud800": 1',
    "{[1]: 2}",
    "{{a: 1}: 2}",
    "[" * 100_000,
    "a: " + "{b: " * 10_000,
    "&a [*a]",
    "a: &a {b: *a}",
    "a: *nothing",
    BOMB,
    "a: 1\n---\nb: 2",
    "1: 2",
    "? [a]\n: b",
    "scan: !!set {a, b}",
    "scan: !!omap [a: 1]",
    f"scan: {'[' * 30}{']' * 30}",
    "<<: 1",
    "scan: {<<: [1]}",
    "\x00",
    "- 1",
    "~: 1",
    ".nan: 1",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_yaml_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        config.load(path)
    assert time.process_time() - started < 1.0
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_settings_are_one_line(text: str) -> None:
    with pytest.raises(InputError) as caught:
        config.override(config.Config(), [f"scan.sectors={text}"])
    assert "scan.sectors" in str(caught.value)
    assert len(str(caught.value)) < 600


@given(st.text(st.sampled_from("{}[],:-&*!? \n\"'#|>%@`~a1.0xe<\\U\t"), max_size=60))
def test_any_text_is_a_value_or_one_error(text: str) -> None:
    try:
        shown(parse_yaml(text, "text"))
    except InputError as error:
        assert "\n" not in str(error)


def test_aliases_count_as_what_they_stand_for() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a", "text") == {"a": [1, 2], "b": [1, 2]}
    with pytest.raises(InputError, match="aliases written out"):
        parse_yaml("a: &a [1, 2]\nb: [*a, *a, *a]", "text", max_nodes=12)
    with pytest.raises(InputError, match=f"more than {MAX_NODES} values"):
        parse_yaml(BOMB, "text")


def test_depth_is_bounded() -> None:
    parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "text")
    with pytest.raises(InputError, match=f"nested more than {MAX_DEPTH} deep"):
        parse_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "text")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(InputError):
            config.load(path)
