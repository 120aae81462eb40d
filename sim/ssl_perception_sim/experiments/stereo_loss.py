"""``ssl-perception experiment stereo-loss``: one flight that loses stereo, drawn.

The right camera goes black after ``learn`` minutes; the drone flies on with the student that learnt
on the way, if that is trusted, and else stands still.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from rich.console import Console

from ssl_perception.depth.trust.state import ActiveCue
from ssl_perception.errors import InputError
from ssl_perception.evaluation.pictures import CUE_COLOURS, cues_side_by_side, stack
from ssl_perception.evaluation.report import png
from ssl_perception.evaluation.trust_timeline import TrustTimeline
from ssl_perception.io.write import write_json, write_output
from ssl_perception.pipeline import DepthPipeline
from ssl_perception.runtime.console import progress_bar
from ssl_perception_sim.experiments.room_flight import RoomFlight
from ssl_perception_sim.experiments.students import learning_pipeline
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds

_FAR = 4.0  # m, end of the colour scale


@dataclass
class StereoLoss:
    """One flight that loses stereo.

    Attributes:
        lost: minute in which stereo fails.
        timeline: how trust developed.
        positions: x, y (m) of each frame. cues: active at each frame.
        crashes: times that the drone touched something; it is set down elsewhere then.
    """

    lost: float
    timeline: TrustTimeline
    positions: list[tuple[float, float]] = field(default_factory=list)
    cues: list[ActiveCue] = field(default_factory=list)
    crashes: int = 0


def fly(
    seed: int,
    learn: float,
    alone: float,
    pipeline: DepthPipeline | None = None,
    advance: Callable[[], None] = lambda: None,
) -> StereoLoss:
    """Minutes with stereo, then minutes without.

    Args:
        seed: of the room.
        learn: minutes with stereo. alone: minutes without.
        pipeline: None: a fresh student that learns from stereo.
        advance: called after each frame.
    """
    pipeline = pipeline or learning_pipeline("network", seed)
    flight = RoomFlight(seed)
    flight.lose_stereo(after=learn * 60.0)
    flown = StereoLoss(learn, TrustTimeline(pipeline.config.trust))
    for frame in flight.fly(learn + alone):
        result = pipeline.process(frame.pair)
        flight.command = flight.avoid.command(result.scan)
        flown.timeline.add(frame.pair.left, result, frame.depth)
        x, y, _ = flight.position
        flown.positions.append((float(x), float(y)))
        flown.cues.append(result.trust.active_cue)
        advance()
    flown.crashes = flight.crashes
    return flown


def draw_path(flown: StereoLoss, seed: int) -> Figure:
    """The drone's path from above, coloured by the active cue."""
    figure = Figure(figsize=(5.2, 5.6), layout="constrained")
    axes = figure.add_subplot()
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
            # the line breaks where another cue was active
            part = np.where(own[:, None], path, np.nan)
            axes.plot(*part.T, color=colour, lw=0.9, label=cue.value)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=9, frameon=False)
    axes.set_title(f"active cue; stereo lost after {flown.lost:g} min", fontsize=10, loc="left")
    return figure


def draw(flown: StereoLoss, seed: int) -> bytes:
    """Path, timeline and depth images as one PNG picture."""
    shown = [
        cues_side_by_side(m.image, m.stereo, m.mono, m.truth, _FAR) for m in flown.timeline.moments
    ]
    top = [png(draw_path(flown, seed)), png(flown.timeline.draw())]
    return stack([top, *([png(figure)] for figure in shown)])


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
    with progress_bar(console) as bar:
        frames = round((learn + alone) * 60 / worlds.room(seed).tick)
        task = bar.add_task("frames", total=frames)
        flown = fly(seed, learn, alone, advance=lambda: bar.advance(task))
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
