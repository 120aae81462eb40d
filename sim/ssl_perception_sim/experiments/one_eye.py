"""Stereo dies in mid-flight, and the drone flies on with what it has taught itself.

    python -m ssl_perception_sim.one_eye --seed 2 --learn 6 --alone 2 --out one_eye.png

The right camera goes black after ``learn`` minutes. Draws the way that the drone flew, coloured by
who was driving, and what each eye saw on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray
from rich.console import Console

from ssl_perception.config import TrustConfig
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.depth.trust.fusion import weigh_scans
from ssl_perception.depth.trust.state import Driver, Trust
from ssl_perception.evaluation.pictures import DEPTH_MAP, UNKNOWN
from ssl_perception.evaluation.report import png
from ssl_perception.obstacles.avoid import Avoid, Command
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception.types import DepthMap, FloatArray
from ssl_perception_sim.experiments.fly import SCAN, STEREO
from ssl_perception_sim.experiments.persistence import Plan
from ssl_perception_sim.experiments.students import NetworkStudent
from ssl_perception_sim.sensors.faults import Picture
from ssl_perception_sim.world import room as rooms
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.vehicles import Drone

_COLOURS = {
    Driver.STEREO: "#4c7fb0",
    Driver.GUARDED: "#5aa469",
    Driver.MONO: "#e08e2b",
    Driver.NONE: "#d1495b",
}
_FAR = 4.0  # m, end of the colour scale
_BEFORE = 10  # frames before stereo is lost: the last look with both eyes


@dataclass(frozen=True, eq=False)
class Moment:
    """What was to be seen: the left picture, and depth by stereo, by the student, and in truth."""

    minute: float
    image: NDArray[np.uint8]
    stereo: DepthMap
    mono: DepthMap
    truth: FloatArray


@dataclass
class Story:
    """One flight.

    Attributes:
        way: x, y (m) of each frame. drivers: who drove then.
        crashes: times that the drone touched something; it is set down elsewhere then.
        lost: minute in which stereo went. moments: in the order in which they were.
    """

    lost: float
    way: list[tuple[float, float]] = field(default_factory=list)
    drivers: list[Driver] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    crashes: int = 0


def fly(seed: int, learn: float, alone: float, options: TrustConfig) -> Story:
    """Minutes of learning from stereo, then minutes without.

    Three moments are kept: early, just before stereo is lost, and midway through what follows.
    """
    world, matcher, avoid = worlds.room(seed), StereoMatcher(STEREO), Avoid(seed=seed)
    world = world.fork([Picture(fault="camera_black", side="right", start=learn * 60.0)])
    student = NetworkStudent(seed, Plan().learner)
    respawn = stream(seed, "respawn")
    trust, command, story = Trust(), Command(), Story(learn)
    frames = round((learn + alone) * 60.0 / world.tick)
    lost = round(learn * 60.0 / world.tick)
    shown = {lost // 6, lost - _BEFORE, (lost + frames) // 2}
    for k in range(frames):
        sensors = world.step(command)
        assert isinstance(world.vehicle, Drone)
        if sensors.clearance < 0:
            story.crashes += 1
            place, yaw = worlds.free_pose(respawn, *_room(seed))
            world.vehicle = Drone(place, yaw, world.time)
        for frame in sensors.frames:
            depth = matcher.depth(frame.pair)
            stereo = obstacle_scan(depth, SCAN)
            mono, novelty = student.look(frame.pair)
            weighed = weigh_scans(trust, stereo, mono, options, novelty=novelty)
            trust, command = weighed.trust, avoid.command(weighed.scan)
            student.learn(frame.pair, depth, stereo)
            x, y, _ = world.vehicle.position
            story.way.append((float(x), float(y)))
            story.drivers.append(trust.driver)
            if k in shown:
                pair = frame.pair
                seen = student.mono.depth(pair.left, pair.camera, pair.stamp)
                minute = (k + 1) * world.tick / 60.0
                story.moments.append(Moment(minute, frame.pair.left, depth, seen, frame.depth))
    return story


def _room(seed: int) -> tuple[rooms.RoomPlan, list[tuple[NDArray[np.float64], float]]]:
    plan = rooms.plan(seed)
    return plan, rooms.build(seed, plan)[1]


def draw(story: Story, seed: int) -> Figure:
    """The way from above, and a row of pictures for each moment."""
    rows = len(story.moments)
    figure = Figure(figsize=(13, 1.9 * rows + 0.4), layout="constrained")
    grid = figure.add_gridspec(rows, 5, width_ratios=(1.9, 1, 1, 1, 1))
    axes = figure.add_subplot(grid[:, 0])
    plan, things = _room(seed)
    length, width, _ = plan.size
    corner = (-length / 2, -width / 2)
    axes.add_patch(Rectangle(corner, length, width, fill=False, lw=3, color="0.3"))
    for centre, radius in things:
        axes.add_patch(Circle((centre[0], centre[1]), radius, color="0.85"))
    way, drivers = np.array(story.way), np.array([d.value for d in story.drivers])
    for driver, colour in _COLOURS.items():
        mine = drivers == driver.value
        if mine.any():
            part = np.where(mine[:, None], way, np.nan)  # a line breaks where another drove
            axes.plot(*part.T, color=colour, lw=0.9, label=driver.value)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=9, frameon=False)
    axes.set_title(f"who drove; stereo lost after {story.lost:g} min", fontsize=10, loc="left")
    for row, moment in enumerate(story.moments):
        depths = (moment.stereo, moment.mono)
        names = ["left camera", "stereo", "the student", "truth"]
        if not moment.stereo.valid:
            names[1] = "stereo: not to be trusted"
        pictures = [moment.image[..., ::-1], *(d.depth if d.valid else d.depth * np.nan
                    for d in depths), moment.truth]  # fmt: skip
        for column, (picture, name) in enumerate(zip(pictures, names, strict=True)):
            place = figure.add_subplot(grid[row, column + 1], xticks=[], yticks=[])
            place.set_facecolor(UNKNOWN)
            shape = moment.image.shape
            place.imshow(
                picture, cmap=DEPTH_MAP, vmin=0.0, vmax=_FAR, extent=(0, shape[1], shape[0], 0)
            )
            place.set_title(name, fontsize=9, loc="left")
            if column == 0:
                place.set_ylabel(f"minute {moment.minute:.1f}", fontsize=9)
    return figure


def main(
    seed: Annotated[int, typer.Option(help="Of the room.")] = 2,
    learn: Annotated[float, typer.Option(min=0.05, help="Minutes with stereo.")] = 6.0,
    alone: Annotated[float, typer.Option(min=0.05, help="Minutes without.")] = 2.0,
    file: Annotated[Path, typer.Option("--out", help="PNG picture.")] = Path("one_eye.png"),
) -> None:
    """Learn from stereo, lose it, fly on; then look at it."""
    cv2.setNumThreads(1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)  # now, not after minutes of flying
        file.touch()
    except OSError as error:
        Console(stderr=True).print(f"error: {file}: {error.strerror}", style="red", soft_wrap=True)
        raise typer.Exit(2) from None
    story = fly(seed, learn, alone, Plan().trust)
    after = story.drivers[-round(alone / (learn + alone) * len(story.drivers)) :]
    by = {d.value: f"{after.count(d) / len(after):.0%}" for d in Driver if d in after}
    Console().print(
        f"stereo lost after {learn:g} minutes; then {alone:g} minutes driven by "
        + ", ".join(f"{name} {share}" for name, share in by.items())
        + f"; crashes in the whole flight: {story.crashes}"
    )
    file.write_bytes(png(draw(story, seed)))
    Console().print(f"picture: {file}")


if __name__ == "__main__":
    typer.run(main)
