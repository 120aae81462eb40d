"""Trust survives a restart; a damaged file gives none."""

from __future__ import annotations

from pathlib import Path

import pytest

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.persistence import load_trust, save_trust
from ssl_perception.depth.trust.state import ActiveCue, Observation, Trust
from ssl_perception.depth.trust.update import update

OPTIONS = TrustConfig()


def earned() -> Trust:
    trust = Trust()
    for k in range(400):
        near = 0.7 if k % 4 == 0 else 3.0
        trust = update(trust, Observation(0.3 * k, True, near, near, 0.0), OPTIONS)
    assert trust.trusted
    return trust


def test_trust_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "trust.json"
    trust = earned()
    save_trust(path, trust)
    again, problem = load_trust(path, OPTIONS)
    assert not problem
    assert again.trusted
    assert again.threshold == trust.threshold
    assert again.under_stereo == trust.under_stereo
    assert again.active_cue is ActiveCue.NONE, "the active cue follows from what is seen now"


def test_without_a_file_the_student_is_not_trusted(tmp_path: Path) -> None:
    assert load_trust(tmp_path / "none.json", OPTIONS) == (Trust(), "")


@pytest.mark.parametrize("at", [0, 10, 66, 80, -3])
def test_a_flipped_bit_is_found(tmp_path: Path, at: int) -> None:
    path = tmp_path / "trust.json"
    save_trust(path, earned())
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    trust, problem = load_trust(path, OPTIONS)
    assert trust == Trust()
    assert "checksum" in problem


def test_half_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    save_trust(path, earned())
    path.write_bytes(path.read_bytes()[:200])
    assert load_trust(path, OPTIONS)[0] == Trust()
