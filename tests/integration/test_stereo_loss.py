"""Stereo is lost in mid-flight: flown, counted and drawn."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from ssl_perception.depth.trust.state import ActiveCue
from ssl_perception.errors import InputError
from ssl_perception_sim.experiments import stereo_loss
from ssl_perception_sim.experiments.stereo_loss import Story

LEARN, ALONE = 0.1, 0.05  # minutes: 60 and 30 frames


@pytest.fixture(scope="module")
def story() -> Story:
    return stereo_loss.fly(2, LEARN, ALONE)


def test_without_trust_the_drone_does_not_fly_on(story: Story) -> None:
    assert set(story.cues[5:59]) == {ActiveCue.STEREO}
    assert set(story.cues[61:]) == {ActiveCue.NONE}
    assert len(story.positions) == len(story.cues) == 90 and story.crashes == 0
    steps = np.linalg.norm(np.diff(story.positions, axis=0), axis=1)
    assert steps[10:55].max() > 0.02, "on stereo it flies"
    assert steps[80:].max() < 0.01, "without a cue it has stopped"


def test_moments_show_stereo_before_and_after_it_is_lost(story: Story) -> None:
    moments = story.timeline.moments
    assert len(moments) >= 2
    assert moments[0].stereo.valid and not moments[-1].stereo.valid
    assert all(moment.truth is not None and moment.truth.min() > 0 for moment in moments)


def test_the_picture_is_drawn_and_the_shares_are_counted(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stereo_loss, "fly", lambda *_: story)
    out = Console(file=StringIO(), width=300)
    file = tmp_path / "new" / "a.png"
    figures = stereo_loss.run_stereo_loss(2, LEARN, ALONE, file, out)
    assert "none 100%" in out.file.getvalue()  # type: ignore[attr-defined]
    assert figures["active_cue_after"] == {"none": 1.0} and figures["crashes"] == 0
    picture = cv2.imread(str(file))
    assert picture is not None and picture.shape[1] > 1000
    monkeypatch.setattr(stereo_loss, "fly", lambda *_: pytest.fail("flown before the file"))
    with pytest.raises(InputError):
        stereo_loss.run_stereo_loss(2, LEARN, ALONE, file / "b.png", out)
