"""An exported store holds what inference needs, and says so to a learner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_perception import cli
from ssl_perception.config import Config, TrustConfig
from ssl_perception.depth.learning.checkpoint import TRAINING_FILE, Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.stored import FEATURES_FILE, STUDENT_FILE
from ssl_perception.depth.trust.persistence import TRUST_FILE, load_trust, save_trust
from ssl_perception.depth.trust.state import Observation, Trust
from ssl_perception.depth.trust.update import update
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.store_folder import MARK
from ssl_perception.pipeline import Perception


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student after three steps, with the trust of one that was tested."""
    folder = tmp_path_factory.mktemp("store")
    rng, learner = np.random.default_rng(0), Learner()
    for _ in range(3):
        image = rng.integers(0, 255, (120, 160, 3), np.uint8)
        learner.step(image, np.zeros((30, 40), np.float32))
    with ModelStore(folder) as opened:
        Checkpoint(opened).save(learner)
    trust = Trust()
    for k in range(400):
        near = 0.7 if k % 4 == 0 else 3.0
        trust = update(trust, Observation(0.3 * k, True, near, near, 0.0), TrustConfig())
    assert trust.trusted
    save_trust(folder / TRUST_FILE, trust)
    return folder


def test_the_student_and_its_trust_go_along(store: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    cli.app(["export", "store", str(store), "--out", str(exported)], standalone_mode=False)
    before, after = ModelStore(store).load(), ModelStore(exported).load()
    assert before is not None and after is not None and not after.extras
    assert set(after.files) == set(before.files) - {TRAINING_FILE} == {STUDENT_FILE, FEATURES_FILE}
    assert all(after.files[name] == before.files[name] for name in after.files)
    assert (exported / TRUST_FILE).read_bytes() == (store / TRUST_FILE).read_bytes()
    names = {path.name for path in exported.iterdir()}
    assert names == {"generations", "blobs", MARK, TRUST_FILE}, "no lock, no training state"

    written = sorted(exported.rglob("*"))
    with Perception(Config(), exported) as perception:
        assert not perception.problems
        assert perception.depth.fusion.trust == load_trust(store / TRUST_FILE, TrustConfig())[0]
        assert perception.depth.fusion.trust.trusted
    assert sorted(exported.rglob("*")) == written, "nothing is written where nothing is learnt"


def refused(line: str, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(list(arguments))
    assert stopped.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert line in error


def test_what_can_not_be_exported(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, empty = tmp_path / "exported", tmp_path / "empty"
    empty.mkdir()
    refused("no model store", capsys, "export", "store", str(empty), "--out", str(target))
    assert not target.exists()
    target.mkdir()
    (target / "mine").touch()
    refused("is not empty", capsys, "export", "store", str(store), "--out", str(target))
    assert [path.name for path in target.iterdir()] == ["mine"]
    (target / "mine").unlink()
    inside = str(store / "exported")
    refused("lies inside the input", capsys, "export", "store", str(store), "--out", inside)


def test_damaged_trust_is_not_exported(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (store / TRUST_FILE).read_bytes()
    try:
        (store / TRUST_FILE).write_bytes(whole.replace(b"true", b"false"))
        target = str(tmp_path / "exported")
        refused("checksum differs", capsys, "export", "store", str(store), "--out", target)
    finally:
        (store / TRUST_FILE).write_bytes(whole)


def test_learning_does_not_go_on_from_an_exported_store(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    exported, log = str(tmp_path / "exported"), str(data / "stereo_seq_kitti_a")
    cli.app(["export", "store", str(store), "--out", exported], standalone_mode=False)
    output = ("--out", str(tmp_path / "o.mcap"))
    refused("exported store", capsys, "replay", log, *output, "--learn", "--store", exported)
