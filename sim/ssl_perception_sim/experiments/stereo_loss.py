"""``ssl-perception experiment stereo-loss``: one flight that loses stereo, drawn.

The right camera goes black after ``learn`` minutes; the drone flies on with the student that it
has taught itself, if that is trusted, and else stands still.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from rich.console import Console

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.state import ActiveCue
from ssl_perception.errors import InputError
from ssl_perception.evaluation.pictures import CUE_COLOURS, cues_side_by_side, stack
from ssl_perception.evaluation.report import png
from ssl_perception.evaluation.trust_timeline import TrustTimeline
from ssl_perception.io.write import write_json, write_output
from ssl_perception.obstacles.scan import nearest_ahead
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.console import progress_bar
from ssl_perception_sim.experiments.held_out import true_nearest
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import learning_pipeline
from ssl_perception_sim.world import room as rooms

_FAR = 4.0  # m, end of the colour scale


@dataclass
class StereoLoss:
    """One flight that loses stereo.

    Attributes:
        lost: minute in which stereo fails. lost_frame: the first frame without it.
        period: s between frames.
        timeline: how trust developed.
        positions: x, y (m) of each frame. cues: active at each frame.
        metres, crash_counts: up to each frame; after a crash the drone is set down elsewhere.
        nearest: m, per frame: the nearest obstacle ahead, true and as reported (+Inf: clear, NaN:
            unknown).
    """

    lost: float
    lost_frame: int
    period: float
    timeline: TrustTimeline
    positions: list[tuple[float, float]] = field(default_factory=list)
    cues: list[ActiveCue] = field(default_factory=list)
    metres: list[float] = field(default_factory=list)
    crash_counts: list[int] = field(default_factory=list)
    nearest: list[tuple[float, float]] = field(default_factory=list)

    @property
    def crashes(self) -> int:
        """In the whole flight."""
        return self.crash_counts[-1] if self.crash_counts else 0

    def figures(
        self, options: TrustConfig, start: int = 0, end: int | None = None
    ) -> FlightFigures:
        """What happened from one frame to another.

        Args:
            options: what counts as near, and as imminent.
            start: first frame. end: the frame after the last; None: all.
        """
        cues = self.cues[start:end]
        before = start - 1
        metres, crashes = (
            values[start:end][-1] - (values[before] if before >= 0 else 0)
            for values in (self.metres, self.crash_counts)
        )
        true, reported = np.array(self.nearest[start:end]).T
        near = true < options.trigger
        imminent = true < options.override
        return FlightFigures(
            seconds=len(cues) * self.period,
            active_cue={cue.value: cues.count(cue) / len(cues) for cue in ActiveCue if cue in cues},
            metres=float(metres),
            crashes=int(crashes),
            near=int(near.sum()),
            near_detected=int((near & (reported < options.trigger)).sum()),
            imminent=int(imminent.sum()),
            imminent_reported_free=int((imminent & (reported >= options.trigger)).sum()),
        )


@dataclass(frozen=True)
class FlightFigures:
    """A part of a flight in figures.

    Attributes:
        seconds: how long.
        active_cue: share of the time per active cue.
        metres: flown. crashes: times that the drone touched something.
        near: frames with a true obstacle within ``trust.trigger`` ahead.
        near_detected: those of them in which the scan reported one there.
        imminent: frames with a true obstacle within ``trust.override`` ahead.
        imminent_reported_free: those of them in which the scan reported none within
            ``trust.trigger``; unknown is not free.
    """

    seconds: float
    active_cue: dict[str, float]
    metres: float
    crashes: int
    near: int
    near_detected: int
    imminent: int
    imminent_reported_free: int


def fly(
    seed: int,
    learn: float,
    alone: float,
    pipeline: DepthPipeline | None = None,
    start: int = 0,
    console: Console | None = None,
) -> StereoLoss:
    """Minutes with stereo, then minutes without.

    Args:
        seed: of the room.
        learn: minutes with stereo. alone: minutes without.
        pipeline: None: a fresh student that learns from stereo.
        start: which of the starts in the room.
        console: shows the progress; None: nothing is shown.
    """
    pipeline = pipeline or learning_pipeline("network", seed)
    flight = RoomFlight(seed, start=start)
    flight.lose_stereo(after=learn * 60.0)
    options, period = pipeline.config.trust, flight.world.tick
    lost = max(0, round(learn * 60.0 / period) - 1)  # the first frame is one period after 0
    flown = StereoLoss(learn, lost, period, TrustTimeline(options))
    with progress_bar(console or Console(quiet=True)) as bar:
        task = bar.add_task(f"room {seed}", total=round((learn + alone) * 60.0 / period))
        for frame in flight.fly(learn + alone):
            result = pipeline.process(frame.pair)
            flight.command = flight.avoid.command(result.scan)
            flown.timeline.add(frame.pair.left, result, frame.depth)
            x, y, _ = flight.position
            flown.positions.append((float(x), float(y)))
            flown.cues.append(result.trust.active_cue)
            flown.metres.append(flight.metres)
            flown.crash_counts.append(flight.crashes)
            reported = nearest_ahead(result.scan, options.ahead)
            flown.nearest.append((true_nearest(frame, options.ahead), reported))
            bar.advance(task)
    return flown


def draw_path(flown: StereoLoss, seed: int) -> Figure:
    """The drone's path from above, coloured by the active cue."""
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes = figure.add_subplot()
    axes.margins(0.03)
    plan = rooms.plan(seed)
    _, things = rooms.build(seed, plan)
    length, width, _ = plan.size
    corner = (-length / 2, -width / 2)
    axes.add_patch(Rectangle(corner, length, width, fill=False, lw=3, color="0.3"))
    for centre, radius in things:
        axes.add_patch(Circle((centre[0], centre[1]), radius, color="0.85"))
    path, cues = np.array(flown.positions), np.array([cue.value for cue in flown.cues])
    for cue, colour in CUE_COLOURS.items():
        own = cues == cue.value
        if own.any():
            part = np.where(own[:, None], path, np.nan)  # a line breaks where another was active
            axes.plot(*part.T, color=colour, lw=0.9, label=cue.value)
    axes.set_aspect("equal")
    axes.set_axis_off()
    lost = f"{flown.lost:g} min" if flown.lost >= 2 else f"{60 * flown.lost:g} s"
    for frame, name, marker in (
        (0, "start", "o"), (min(flown.lost_frame, len(path) - 1), "stereo lost", "X"),
    ):  # fmt: skip
        axes.plot(*path[frame], marker, color="black", ms=6, label=name, zorder=3)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=9, frameon=False)
    axes.set_title(f"path by active cue; stereo lost after {lost}", fontsize=10, loc="left")
    return figure


def draw(flown: StereoLoss, seed: int) -> bytes:
    """Path, timeline and depth images as one PNG picture."""
    shown = [
        cues_side_by_side(m.image, m.stereo, m.mono, m.truth, _FAR) for m in flown.timeline.moments
    ]
    return stack([[draw_flight(flown, seed)], *([png(figure)] for figure in shown)])


def draw_flight(flown: StereoLoss, seed: int) -> bytes:
    """Path and timeline side by side as one PNG picture."""
    return stack([[png(draw_path(flown, seed)), png(flown.timeline.draw())]])


def run_stereo_loss(
    seed: int, learn: float, alone: float, file: Path, json_file: Path | None, console: Console
) -> dict[str, object]:
    """Fly, print, draw.

    Args:
        seed: of room and student.
        learn: minutes with stereo. alone: minutes after stereo is lost.
        file: PNG picture to write.

    Raises:
        InputError: a file can't be written.
    """
    cv2.setNumThreads(1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of flying
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from None
    flown = fly(seed, learn, alone, console=console)
    after = flown.cues[-round(alone / (learn + alone) * len(flown.cues)) :]
    shares = {cue.value: after.count(cue) / len(after) for cue in ActiveCue if cue in after}
    console.print(
        f"stereo lost after {learn:g} minutes; active cue in the {alone:g} minutes after: "
        + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
        + f"; crashes in the whole flight: {flown.crashes}"
    )
    write_output(file, draw(flown, seed))
    console.print(f"picture  {file}")
    figures: dict[str, object] = {
        "seed": seed,
        "learn_minutes": learn,
        "alone_minutes": alone,
        "crashes": flown.crashes,
        "active_cue_after": shares,
        **flown.timeline.figures(),
    }
    if json_file is not None:
        write_json(json_file, figures)
    return figures
