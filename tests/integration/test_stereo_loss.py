"""Stereo dies in mid-flight: told and drawn as it was."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from ssl_perception_sim.experiments.one_eye import Story
from typer.testing import CliRunner

from ssl_perception.depth.trust.state import Driver
from ssl_perception_sim.experiments import one_eye
from ssl_perception_sim.experiments.persistence import Plan

LEARN, ALONE = 0.1, 0.05  # minutes: 60 and 30 frames


@pytest.fixture(scope="module")
def story() -> Story:
    return one_eye.fly(2, LEARN, ALONE, Plan().trust)


def test_who_has_not_earned_it_does_not_fly_on(story: Story) -> None:
    assert set(story.drivers[5:59]) == {Driver.STEREO}
    assert set(story.drivers[61:]) == {Driver.NONE}
    assert len(story.way) == 90 and story.crashes == 0


def test_moments_show_both_eyes_and_then_one(story: Story) -> None:
    assert [moment.stereo.valid for moment in story.moments] == [True, True, False]
    assert [moment.mono.valid for moment in story.moments] == [False, True, True]
    assert all(moment.truth.min() > 0 for moment in story.moments)


def test_the_picture_is_drawn(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_eye, "fly", lambda *_: story)
    app = one_eye.typer.Typer()
    app.command()(one_eye.main)
    given = ["--learn", str(LEARN), "--alone", str(ALONE)]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "a.png")])
    assert result.exit_code == 0 and "driven by none 100%" in result.output
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape[1] > 1000
    monkeypatch.setattr(one_eye, "fly", lambda *_: pytest.fail("flown before the file was tried"))
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "a.png" / "b.png")])
    assert result.exit_code == 2 and "error:" in result.output
