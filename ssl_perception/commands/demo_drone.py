"""The demo's second half: a drone in a simulated room loses stereo and flies on with its student.

The student ships in ``models/drone_room``. It learnt from stereo in an earlier flight in this very
room and knows no other; here it learns nothing more. Its trust comes along, but counts only once
the student has passed a new test beside stereo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
from rich.console import Console

from ssl_perception.config import preset
from ssl_perception.evaluation.report import Section
from ssl_perception.pipeline import Perception
from ssl_perception.runtime.shipped import shipped

if TYPE_CHECKING:
    from ssl_perception_sim.experiments.stereo_loss import FlightFigures, StereoLoss

STORE = "drone_room"
ROOM = 2  # the room that the shipped student knows
_START = 1  # not where the flight began that it learnt in


@dataclass(frozen=True)
class DroneHalf:
    """What the flight gave.

    Attributes:
        figures: for JSON.
        sections: chapters of the report.
        picture: PNG: path, timeline, depth images.
        overview: PNG: path and timeline.
        header, rows: the table.
    """

    figures: dict[str, Any]
    sections: list[Section]
    picture: bytes
    overview: bytes
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def run_drone(seconds: float, console: Console) -> DroneHalf:
    """Fly half of the time with stereo, half without it, and draw.

    Args:
        seconds: of both together.

    Raises:
        InputError: the shipped student isn't there.
    """
    from ssl_perception_sim.experiments import stereo_loss

    config = preset("drone")
    minutes = seconds / 120.0
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the images are small: threads cost more than they give
    try:
        with Perception(config, shipped(STORE)) as perception:
            story = stereo_loss.fly(
                ROOM, minutes, minutes, perception.depth, start=_START, console=console
            )
    finally:
        cv2.setNumThreads(threads)
    lost = story.lost_frame
    parts = [story.figures(config.trust, 0, lost), story.figures(config.trust, lost)]
    figures = {
        "room": ROOM,
        "seconds": seconds,
        "with_stereo": asdict(parts[0]),
        "after_loss": asdict(parts[1]),
        "crashes": story.crashes,
        "trust": story.timeline.figures(),
    }
    rows = _rows(parts, config.trust.trigger, config.trust.override)
    return DroneHalf(
        figures,
        _sections(story, rows),
        stereo_loss.draw(story, ROOM),
        stereo_loss.draw_flight(story, ROOM),
        _HEADER,
        rows,
    )


_HEADER = ("", "with stereo", "stereo lost")


def _rows(parts: Sequence[FlightFigures], trigger: float, override: float) -> list[tuple[str, ...]]:
    def cues(part: FlightFigures) -> str:
        return ", ".join(f"{name} {share:.0%}" for name, share in part.active_cue.items())

    return [
        ("seconds", *(f"{part.seconds:g}" for part in parts)),
        ("active cue, share of the time", *(cues(part) for part in parts)),
        ("metres flown", *(f"{part.metres:.1f}" for part in parts)),
        ("crashes", *(str(part.crashes) for part in parts)),
        (
            f"obstacles within {trigger:g} m ahead, detected",
            *(f"{part.near_detected} of {part.near}" for part in parts),
        ),
        (
            f"obstacles within {override:g} m ahead, reported as free",
            *(f"{part.imminent_reported_free} of {part.imminent}" for part in parts),
        ),
    ]


_TEXT = (
    f"A simulated drone in room {ROOM} avoids obstacles by the fused scan. Half way the right "
    "camera goes black for good. The student learnt in this room, in an earlier flight that began "
    "elsewhere; it learns nothing here, and knows no other room. guarded: the student is in use, "
    "and stereo overrides it where it misses an obstacle; mono: the student alone; none: no cue is "
    "trusted, all sectors are unknown and the drone stands. Obstacles are counted in frames, by "
    "the simulator's true depth."
)


def _sections(story: StereoLoss, rows: list[tuple[str, ...]]) -> list[Section]:
    from ssl_perception_sim.experiments.stereo_loss import draw_path

    path = (draw_path(story, ROOM), "The path from above; walls and furniture in grey.")
    return [
        Section("A drone that loses stereo", _TEXT, _HEADER, rows, [path]),
        *story.timeline.sections(),
    ]
