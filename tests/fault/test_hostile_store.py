"""A model store outlives whatever lies in its folder, and touches nothing that isn't its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_perception import cli
from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.persistence import load_trust
from ssl_perception.depth.trust.state import Trust
from ssl_perception.errors import InputError
from ssl_perception.io.model_store import MAX_JUMP, MAX_NUMBER, ModelStore
from ssl_perception.io.sealed import seal
from ssl_perception.io.store_folder import MARK


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return filled(tmp_path / "store")


def filled(path: Path) -> ModelStore:
    with ModelStore(path) as opened:
        opened.commit({"weights": b"weights"}, [opened.put(b"chunk")])
    return opened


def blob(store: ModelStore, content: bytes) -> Path:
    return store.path / "blobs" / hashlib.sha256(content).hexdigest()


def weights(store: ModelStore) -> bytes:
    found = ModelStore(store.path).load()
    assert found is not None
    return found.files["weights"]


def test_a_rotten_blob_of_the_right_size_is_written_again(store: ModelStore) -> None:
    blob(store, b"weights").write_bytes(b"rotten!")
    with store:
        for _ in range(5):
            store.commit({"weights": b"weights"})
    assert weights(store) == b"weights"


@pytest.mark.parametrize("planted", ["link", "broken link", "pipe", "device"])
def test_what_is_no_file_in_the_place_of_a_blob(
    store: ModelStore, tmp_path: Path, planted: str
) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"weights" if planted == "link" else b"mine")
    blob(store, b"weights").unlink()
    if planted == "pipe":
        os.mkfifo(blob(store, b"weights"))
    else:
        targets = {"link": other, "broken link": tmp_path / "none", "device": Path("/dev/zero")}
        blob(store, b"weights").symlink_to(targets[planted])
    assert store.load() is None, "a link is not the store's own content"
    with store:
        store.commit({"weights": b"weights"})
    assert weights(store) == b"weights"
    assert blob(store, b"weights").is_file() and not blob(store, b"weights").is_symlink()
    assert other.read_bytes() == (b"weights" if planted == "link" else b"mine")
    assert not (tmp_path / "none").exists()


def test_what_a_store_does_not_make_stays(store: ModelStore, tmp_path: Path) -> None:
    for folder in ("blobs", "generations"):
        (store.path / folder / "notes.txt").write_text("mine")
        (store.path / folder / "deeper").mkdir()
        (store.path / folder / "deeper" / "file").write_text("mine")
        (store.path / folder / "link").symlink_to(tmp_path)
        os.mkfifo(store.path / folder / "pipe")
    (store.path / "generations" / "00000007.json").mkdir()
    (store.path / "README.md").write_text("mine")
    with store:
        for k in range(4):
            store.commit({"weights": b"%d" % k})
        store.clear()
        store.commit({"weights": b"last"})
    assert weights(store) == b"last"
    for folder in ("blobs", "generations"):
        names = {path.name for path in (store.path / folder).iterdir()}
        assert {"notes.txt", "deeper", "link", "pipe"} <= names
        assert (store.path / folder / "deeper" / "file").read_text() == "mine"
    assert (store.path / "README.md").read_text() == "mine"


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"not a model store: it holds 'thesis\.tex'"):
        ModelStore(tmp_path).__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("folder", ["blobs", "generations"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, folder: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mine = elsewhere / ("a" * 64)
    mine.write_text("mine")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / folder).symlink_to(elsewhere)
    with pytest.raises(InputError, match="must be a folder, not a link"):
        filled(tmp_path / "store")
    assert mine.read_text() == "mine"


def test_a_mark_of_another_kind_is_refused(store: ModelStore) -> None:
    (store.path / MARK).write_text("ssl_perception model store 2\n")
    with pytest.raises(InputError, match="not this version's mark"):
        store.__enter__()


def test_a_store_of_before_stores_had_a_mark_gets_one(store: ModelStore) -> None:
    (store.path / MARK).unlink()
    (store.path / "README.md").write_text("mine")
    with store:
        store.commit({"weights": b"new"})
    assert weights(store) == b"new"
    assert (store.path / MARK).is_file()


@pytest.mark.parametrize("claim", [MAX_NUMBER, MAX_JUMP + 2])
def test_a_name_does_not_use_up_the_numbers(store: ModelStore, claim: int) -> None:
    (store.path / "generations" / f"{claim:08d}.json").write_text("not sealed")
    (store.path / "spent").write_text("nonsense")
    with store:
        assert store.commit({"weights": b"new"}) == 2
    assert weights(store) == b"new"
    assert store.newest() == 2


def test_the_last_number_is_the_last(store: ModelStore) -> None:
    (store.path / "spent").write_text(str(MAX_NUMBER))
    with store, pytest.raises(InputError, match="start a new store"):
        store.commit({"weights": b"new"})
    assert weights(store) == b"weights"


def sealed(text: str) -> bytes:
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n".encode()


SEALED = ["[" * 100_000, '{"a":' * 100_000, "nonsense", "9" * 5000, "[1]", "null", ""]


@pytest.mark.parametrize("text", SEALED, ids=range(len(SEALED)))
def test_well_sealed_nonsense(store: ModelStore, tmp_path: Path, text: str) -> None:
    (store.path / "generations" / "00000009.json").write_bytes(sealed(text))
    assert weights(store) == b"weights"
    (tmp_path / "trust").write_bytes(sealed(text))
    trust, problem = load_trust(tmp_path / "trust", TrustConfig())
    assert trust == Trust()
    assert "trust starts from nothing" in problem and str(tmp_path) in problem


def test_trust_of_numbers_that_do_not_fit(tmp_path: Path) -> None:
    tally: dict[str, list[float]] = {"near": [], "clear": []}
    body = {"calibration": [], "under_stereo": tally, "under_mono": tally, "trusted": True}
    text = json.dumps(body | {"overrides": float("inf"), "bias": 0.0, "bias_count": 0})
    (tmp_path / "trust").write_bytes(sealed(text))
    assert load_trust(tmp_path / "trust", TrustConfig())[0] == Trust()


def test_a_generation_under_another_number_is_damaged(store: ModelStore) -> None:
    newest = store.path / "generations" / "00000001.json"
    (store.path / "generations" / "00000005.json").write_bytes(newest.read_bytes())
    found = store.load()
    assert found is not None and found.number == 1
    assert found.damaged == ("generation 5: 00000005.json: holds generation 1",)


def test_a_writer_in_another_process_is_refused(store: ModelStore) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from ssl_perception.io.model_store import ModelStore\n"
        "ModelStore(Path(sys.argv[1])).__enter__()\n"
    )
    with store:
        ended = subprocess.run(
            [sys.executable, "-c", program, str(store.path)], capture_output=True, check=False
        )
    assert ended.returncode == 1
    assert b"another learner writes here already" in ended.stderr


def test_what_a_killed_writer_left_is_swept(store: ModelStore) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = store.path / "blobs" / f".{'a' * 50}.{ended.pid}.0123abcd.part"
    mine = store.path / "blobs" / ".mine.part"
    for file in (left, mine):
        file.write_bytes(b"half")
    with store:
        store.commit({"weights": b"new"})
    assert not left.exists() and mine.exists()


def test_only_its_owner_reads_it(store: ModelStore) -> None:
    for path in store.path.rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert store.path.stat().st_mode & 0o777 == 0o700


def test_check_and_repair(
    store: ModelStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with store:
        store.commit({"weights": b"newer"}, [store.put(b"chunk")])
        (store.path / "blobs" / ("0" * 64)).write_bytes(b"orphan")
    blob(store, b"newer").write_bytes(b"rotten")
    blob(store, b"chunk").unlink()
    before = {path: path.read_bytes() for path in store.path.rglob("*") if path.is_file()}
    assert status("store", "check", str(store.path)) == 1
    said = capsys.readouterr().out
    assert "undamaged generations: 1" in said
    assert "generation 2:" in said and "1 parts of the replay memory" in said
    assert {path: path.read_bytes() for path in before} == before, "checking changes nothing"
    assert status("store", "repair", str(store.path)) == 0
    assert "removed 1 damaged generations, 2 blobs" in capsys.readouterr().out
    assert ModelStore(store.path).check().damaged == ()
    assert weights(store) == b"weights"
    blob(store, b"weights").unlink()
    assert status("store", "repair", str(store.path)) == 2
    assert "no undamaged generation; nothing was changed" in capsys.readouterr().err
    assert status("store", "check", str(tmp_path)) == 2


def status(*arguments: str) -> int:
    try:
        cli.main(list(arguments))
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_nothing_but_numbers_seals() -> None:
    with pytest.raises(ValueError):
        seal({"x": float("nan")})
