"""A flight that loses stereo: recorded and drawn as it was."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import cv2
import pytest
from rich.console import Console

from ssl_perception.depth.trust.state import ActiveCue
from ssl_perception.errors import InputError
from ssl_perception_sim.experiments import stereo_loss
from ssl_perception_sim.experiments.stereo_loss import StereoLoss, run_stereo_loss

LEARN, ALONE = 0.1, 0.05  # minutes: 60 and 30 frames


@pytest.fixture(scope="module")
def flown() -> StereoLoss:
    return stereo_loss.fly(2, LEARN, ALONE)


def test_without_trust_the_drone_stands_still(flown: StereoLoss) -> None:
    assert set(flown.cues[5:59]) == {ActiveCue.STEREO}
    assert set(flown.cues[61:]) == {ActiveCue.NONE}
    assert len(flown.positions) == 90 and flown.crashes == 0


def test_moments_show_stereo_valid_and_then_lost(flown: StereoLoss) -> None:
    moments = flown.timeline.moments
    assert [moment.stereo.valid for moment in moments] == [True, True, False]
    assert all(moment.truth is not None and moment.truth.min() > 0 for moment in moments)


def test_the_picture_is_drawn_and_the_figures_are_written(
    flown: StereoLoss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stereo_loss, "fly", lambda *_, **__: flown)
    out, figures = Console(file=StringIO(), width=200), tmp_path / "a.json"
    run_stereo_loss(2, LEARN, ALONE, tmp_path / "a.png", figures, out)
    assert "none 100%" in out.file.getvalue()  # type: ignore[attr-defined]
    assert json.loads(figures.read_text())["active_cue_after"] == {"none": 1.0}
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None and picture.shape[1] > 1000


def test_a_picture_that_cannot_be_written_is_found_before_the_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(stereo_loss, "fly", lambda *_, **__: pytest.fail("flown"))
    with pytest.raises(InputError, match="file"):
        picture = tmp_path / "file" / "a.png"
        run_stereo_loss(2, LEARN, ALONE, picture, None, Console(file=StringIO()))
