"""What is committed can be loaded, and what is damaged is passed over for what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_perception.errors import InputError
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.sealed import seal
from ssl_perception.io.store_folder import MARK


def files(store: ModelStore) -> list[Path]:
    return sorted(p for p in store.path.rglob("*") if p.is_file() and p.name not in ("lock", MARK))


def filled(path: Path, generations: int = 3) -> ModelStore:
    """Generation k has the weights b"weights k"; all share the extra b"chunk"."""
    store = ModelStore(path)
    with store:
        for k in range(1, generations + 1):
            chunk = store.put(b"chunk")
            store.commit({"weights": b"weights %d" % k}, [chunk], {"k": k})
    return store


def test_round_trip(tmp_path: Path) -> None:
    generation = filled(tmp_path).load()
    assert generation is not None
    assert generation.number == 3
    assert generation.notes == {"k": 3}
    assert generation.files == {"weights": b"weights 3"}
    assert list(generation.extras.values()) == [b"chunk"]
    assert generation.lost == () and generation.damaged == ()


def test_empty_or_missing_store_has_nothing(tmp_path: Path) -> None:
    assert ModelStore(tmp_path / "none").load() is None
    assert ModelStore(tmp_path / "none").newest() is None


def test_two_generations_are_kept_and_nothing_that_they_dont_name(tmp_path: Path) -> None:
    store = filled(tmp_path, 9)
    assert [p.name for p in files(store) if p.suffix == ".json"] == [
        "00000008.json",
        "00000009.json",
    ]
    assert len(files(store)) == 2 + 2 + 1  # manifests, weights, the shared chunk


def test_any_flipped_bit_is_found_and_an_older_generation_or_the_rest_is_used(
    tmp_path: Path,
) -> None:
    store = filled(tmp_path)
    expected = {"00000003.json": (2, 0, 1), "00000002.json": (3, 0, 0)}
    by_content = {b"weights 3": (2, 0, 1), b"weights 2": (3, 0, 0), b"chunk": (3, 1, 0)}
    for path in files(store):
        if path.suffix != ".json":
            expected[path.name] = by_content[path.read_bytes()]
    for path in files(store):
        content = bytearray(path.read_bytes())
        for bit in range(0, 8 * len(content), 41):
            content[bit // 8] ^= 1 << bit % 8
            path.write_bytes(content)
            generation = ModelStore(tmp_path).load()
            assert generation is not None
            assert generation.files["weights"] == b"weights %d" % generation.notes["k"]
            found = (generation.number, len(generation.lost), len(generation.damaged))
            assert found == expected[path.name], (path.name, bit)
            content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)


@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_damaged_blob_of_the_newest_generation(tmp_path: Path, damage: str) -> None:
    store = filled(tmp_path)
    newest = next(p for p in files(store) if p.read_bytes() == b"weights 3")
    if damage == "missing":
        newest.unlink()
    else:
        newest.write_bytes(b"" if damage == "empty" else b"weigh")
    generation = store.load()
    assert generation is not None
    assert generation.number == 2
    assert len(generation.damaged) == 1 and "generation 3" in generation.damaged[0]


def test_good_generation_outlives_damaged_ones(tmp_path: Path) -> None:
    """The last two *good* ones are kept: a damaged one doesn't count."""
    store = filled(tmp_path)
    next(p for p in files(store) if p.read_bytes() == b"weights 3").write_bytes(b"rotten")
    with store:
        loaded = store.load()
        assert loaded is not None and loaded.number == 2
        store.commit({"weights": b"weights 4"}, [], {"k": 4})
    next(p for p in files(store) if p.read_bytes() == b"weights 4").write_bytes(b"rotten")
    loaded = ModelStore(tmp_path).load()
    assert loaded is not None and loaded.number == 2


def test_all_damaged_is_nothing_not_a_crash(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for path in files(store):
        path.write_bytes(b"\x00" * 10)
    assert store.load() is None
    with store:
        assert store.commit({"weights": b"new"}) == 4
    loaded = store.load()
    assert loaded is not None and loaded.files["weights"] == b"new"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with (
        ModelStore(tmp_path),
        pytest.raises(InputError, match="another learner writes here"),
        ModelStore(tmp_path),
    ):
        pass
    with ModelStore(tmp_path):
        pass


def test_writing_needs_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        ModelStore(tmp_path).commit({})


def test_reading_only_what_is_needed_ignores_damage_elsewhere(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    with store:
        store.commit({"student": b"s", "training": b"t"})
    next(p for p in files(store) if p.read_bytes() == b"t").write_bytes(b"x")
    assert store.load() is None
    loaded = store.load(["student"], extras=False)
    assert loaded is not None and loaded.files == {"student": b"s"}


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"schema": 2, "files": {}, "extras": [], "notes": {}},
        {"schema": 1, "files": {"weights": "../../../etc/passwd"}, "extras": [], "notes": {}},
        {"schema": 1, "files": {}, "extras": "x", "notes": {}},
        {"schema": 1},
    ],
)
def test_well_sealed_nonsense_is_passed_over(tmp_path: Path, body: object) -> None:
    store = filled(tmp_path)
    (tmp_path / "generations" / "00000099.json").write_bytes(seal(body))  # type: ignore[arg-type]
    generation = store.load()
    assert generation is not None and generation.number == 3
    assert "generation 99" in generation.damaged[0]


def test_full_disk_leaves_the_last_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with store:
        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.commit({"weights": b"new"})
        monkeypatch.undo()
    assert not [p for p in files(store) if p.name.endswith(".part")]
    generation = store.load()
    assert generation is not None and generation.number == 3


def test_notes_are_plain_json(tmp_path: Path) -> None:
    with ModelStore(tmp_path) as store, pytest.raises(ValueError):
        store.commit({}, notes={"x": float("nan")})


@pytest.mark.parametrize("spoilt", [b"", b"\xff", b"9" * 30])
def test_numbers_go_on_after_everything_is_forgotten(tmp_path: Path, spoilt: bytes) -> None:
    """A reader that holds generation 3 must load the next one, which is another student."""
    with filled(tmp_path) as store:
        store.clear()
        assert store.load() is None
        if spoilt:
            (tmp_path / "spent").write_bytes(spoilt)
        number = store.commit({"weights": b"new"})
    assert number == (1 if spoilt else 4)
    generation = ModelStore(tmp_path).load()
    assert generation is not None and generation.files == {"weights": b"new"}
