"""What perception saw, drawn: bird's-eye flow, depth beside the image, obstacle scan, latencies.

Each function returns a matplotlib figure and changes nothing it is given. Nothing here opens a
window, so it works on a robot without a screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

import cv2
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ssl_perception.io.point_cloud2 import FlowCloud
from ssl_perception.types import ActiveCue, DepthMap, ObstacleScan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.projections.polar import PolarAxes

    from ssl_perception.evaluation.labelled_objects import Claim

STATIC = (0.36, 0.40, 0.45)
GROUND = (0.89, 0.91, 0.93)
UNKNOWN = "#e8d9f0"
ROBOT = "#d1495b"
CLEAR = "#b7dfc1"
APPROACH, RECEDE = "#d1495b", "#4c7fb0"
BEHIND = "#e9edf1"  # behind an obstacle
SPEED_MAP = "turbo"
DEPTH_MAP = "viridis_r"
FULL_SPEED = 15.0  # m/s, end of the colour scale
CUE_COLOURS = {
    ActiveCue.STEREO: "#4c7fb0",
    ActiveCue.GUARDED: "#5aa469",
    ActiveCue.MONO: "#e08e2b",
    ActiveCue.NONE: "#d1495b",
}


def bird_eye(
    flow: FlowCloud,
    radius: float = 50.0,
    title: str = "",
    truth: NDArray[np.float32] | None = None,
) -> Figure:
    """A sweep from above: static points grey, darker the higher; moving ones coloured by speed.

    Args:
        flow: N points in the sensor's frame (x forward, drawn upwards) and what is known of them.
        radius: metres shown around the robot.
        truth: (N, 3) true velocities, m/s, drawn as thin black arrows; None: not drawn.
    """
    figure = Figure(figsize=(8.2, 7.2), layout="constrained")
    axes = figure.subplots()
    points, velocity = flow.points, flow.velocity
    x, y, z = points.T
    seen = (np.abs(x) <= radius) & (np.abs(y) <= radius)
    still = np.flatnonzero(seen & ~flow.moving)
    low, high = np.percentile(z[still], [5, 98]) if len(still) else (0.0, 1.0)
    shade = np.clip((z[still] - low) / max(high - low, 0.5), 0.0, 1.0)
    greys = np.array(GROUND) + shade[:, None] * (np.array(STATIC) - np.array(GROUND))
    axes.scatter(-y[still], x[still], s=0.4, c=greys, linewidths=0, rasterized=True)
    colours = ScalarMappable(Normalize(0.0, FULL_SPEED), SPEED_MAP)
    rows = np.flatnonzero(seen & flow.moving & np.isfinite(velocity).all(axis=1))
    speed = np.linalg.norm(velocity[rows, :2], axis=1)
    axes.scatter(-y[rows], x[rows], s=2.0, c=colours.to_rgba(speed), linewidths=0)
    if truth is not None:
        true_mover = seen & (np.linalg.norm(np.nan_to_num(truth), axis=1) > 0.5)
        patches = _patches(points, truth, np.flatnonzero(true_mover))
        _arrows(axes, *patches, "black", 0.0022)
    where, how = _patches(points, velocity, rows)
    _arrows(axes, where, how, colours.to_rgba(np.linalg.norm(how, axis=1)), 0.0042)
    axes.plot(0, 0, marker="^", color=ROBOT, markersize=9)
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius), xlabel="right, m", ylabel="ahead, m")
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10, loc="left")
    figure.colorbar(colours, ax=axes, label="speed over ground, m/s", shrink=0.75)
    return figure


def _patches(
    points: NDArray[np.float32],
    velocity: NDArray[np.float32],
    rows: NDArray[np.intp],
    edge: float = 2.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean position and mean velocity (K, 2) of the given points, per square of ``edge`` metres."""
    cell = np.floor(points[rows, :2] / edge).astype(np.int64)
    _, patch, counts = np.unique(cell, axis=0, return_inverse=True, return_counts=True)

    def means(values: NDArray[np.float32]) -> NDArray[np.float64]:
        sums = [np.bincount(patch.ravel(), values[:, k], len(counts)) for k in range(2)]
        return np.stack(sums, axis=1) / counts[:, None]

    return means(points[rows, :2]), means(velocity[rows, :2])


def _arrows(
    axes: Axes,
    where: NDArray[np.float64],
    velocity: NDArray[np.float64],
    colour: str | NDArray[np.float64],
    width: float,
) -> None:
    """Arrows as long as the way that is covered in one second."""
    axes.quiver(
        -where[:, 1],
        where[:, 0],
        -velocity[:, 1],
        velocity[:, 0],
        color=colour,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=width,
        zorder=3,
    )


def depth_beside_image(
    image: NDArray[np.uint8], depth: DepthMap, truth: NDArray[np.float32] | None = None
) -> Figure:
    """The left image, the depth seen in it, and the true depth (H, W) m where it is known."""
    name = f"depth from {depth.cue.value}" + ("" if depth.valid else ": not to be trusted")
    reason = "" if depth.valid else "\n".join(wrap(depth.reason, 40))
    maps = [(depth.depth, name, reason)]
    if truth is not None:
        maps.append((truth, "true depth", ""))
    figure, axes = _beside(len(maps) + 1, image.shape[1] / image.shape[0], 3.3)
    axes[0].imshow(image[..., ::-1] if image.ndim == 3 else image, cmap="gray")
    axes[0].set_title("left camera", fontsize=10, loc="left")
    known = depth.depth[np.isfinite(depth.depth)]
    far = float(np.percentile(known, 95)) if len(known) else 1.0
    for place, (values, name, reason) in zip(axes[1:], maps, strict=True):
        place.set_facecolor(UNKNOWN)
        drawn = place.imshow(values, cmap=DEPTH_MAP, vmin=0.0, vmax=far)
        place.set_title(name, fontsize=10, loc="left")
        place.text(0.5, 0.5, reason, transform=place.transAxes, ha="center", va="center")
    _depth_bar(figure, drawn, axes[1:])
    return figure


def cues_side_by_side(
    image: NDArray[np.uint8],
    stereo: DepthMap,
    mono: DepthMap,
    truth: NDArray[np.float32] | None = None,
    far: float | None = None,
) -> Figure:
    """The left image, depth by stereo and by the student, and the true depth where it is known.

    Args:
        truth: (H, W) m.
        far: m, end of the colour scale; None: what 95 % of the known depths lie within.
    """
    maps = [(d.depth if d.valid else np.full_like(d.depth, np.nan)) for d in (stereo, mono)]
    names = [
        name if d.valid else f"{name}: invalid"
        for name, d in (("stereo", stereo), ("student", mono))
    ]
    reasons = ["" if d.valid else "\n".join(wrap(d.reason, 28)) for d in (stereo, mono)]
    if truth is not None:
        maps.append(truth)
        names.append("true depth")
        reasons.append("")
    known = np.concatenate([m[np.isfinite(m)] for m in maps])
    if far is None:
        far = float(np.percentile(known, 95)) if len(known) else 1.0
    height, width = image.shape[:2]
    figure, axes = _beside(len(maps) + 1, width / height, 3.1)
    axes[0].imshow(image[..., ::-1] if image.ndim == 3 else image, cmap="gray")
    axes[0].set_title("left camera", fontsize=9, loc="left")
    for place, values, name, reason in zip(axes[1:], maps, names, reasons, strict=True):
        place.set_facecolor(UNKNOWN)
        drawn = place.imshow(
            values, cmap=DEPTH_MAP, vmin=0.0, vmax=far, extent=(0, width, height, 0)
        )
        place.set_title(name, fontsize=9, loc="left")
        place.text(
            0.5, 0.5, reason, transform=place.transAxes, fontsize=8, ha="center", va="center"
        )
    _depth_bar(figure, drawn, axes[1:])
    return figure


def _beside(count: int, aspect: float, width: float) -> tuple[Figure, list[Axes]]:
    """Axes without ticks for images side by side, or, wide ones, one below the other.

    Args:
        aspect: of an image, width by height.
        width: inches of an image that stands beside others.
    """
    below = aspect > 1.8
    rows, columns = (count, 1) if below else (1, count)
    width = 6.6 if below else width
    size = (width * columns + 1.0, (width / aspect + 0.32) * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for place in axes:
        place.set(xticks=[], yticks=[])
    return figure, axes


def _depth_bar(figure: Figure, drawn: AxesImage, axes: list[Axes]) -> None:
    bar = figure.colorbar(drawn, ax=axes, label="m (lilac: unknown)", shrink=0.85, pad=0.01)
    bar.ax.yaxis.label.set_fontsize(8)
    bar.ax.tick_params(labelsize=8)


def obstacle_polar(
    scan: ObstacleScan, title: str = "", points: NDArray[np.float32] | None = None
) -> Figure:
    """The scan from above: red obstacle, green clear, grey behind an obstacle, lilac unknown.

    Args:
        points: (N, 3) m, drawn as grey dots; None: none.
    """
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes: PolarAxes = figure.add_subplot(projection="polar")  # type: ignore[assignment]
    axes.set_theta_zero_location("N")
    width = abs(scan.angle_increment)
    ranges = np.clip(scan.ranges, scan.range_min, scan.range_max)
    unknown, clear = np.isnan(scan.ranges), np.isposinf(scan.ranges)
    hit = ~unknown & ~clear
    for mask, start, end, colour in (
        (unknown, 0.0, scan.range_max, UNKNOWN),
        (clear, 0.0, scan.range_max, CLEAR),
        (hit, 0.0, ranges[hit], CLEAR),
        (hit, ranges[hit], scan.range_max, BEHIND),
    ):
        axes.bar(
            scan.angles[mask], end - start, width=width, bottom=start, color=colour, linewidth=0
        )
    if points is not None:
        angle, away = np.arctan2(points[:, 1], points[:, 0]), np.hypot(points[:, 0], points[:, 1])
        axes.scatter(angle, away, s=0.3, color=STATIC, alpha=0.35, linewidths=0, rasterized=True)
    if scan.closing_speed is not None:
        for angle, start, speed in zip(scan.angles, ranges, scan.closing_speed, strict=True):
            if abs(speed) > 0.5:
                end = max(start - speed, 0.0)
                axes.plot((angle, angle), (start, end), color=APPROACH if speed > 0 else RECEDE)
    axes.scatter(scan.angles[hit], ranges[hit], s=14, color=ROBOT, zorder=3)
    axes.set_ylim(0.0, scan.range_max)
    axes.set_title(title, fontsize=10, loc="left")
    shown = {"clear": CLEAR, "obstacle": ROBOT, "behind one": BEHIND, "unknown": UNKNOWN}
    key = [Patch(color=colour, label=name) for name, colour in shown.items()]
    axes.legend(
        handles=key, loc="lower left", bbox_to_anchor=(-0.08, -0.08), fontsize=8, frameon=False
    )
    return figure


def claims_from_above(claims: Sequence[Claim], radius: float = 50.0) -> Figure:
    """Claims that no label explains, from above, coloured by speed; crosses are ground or absurd.

    Args:
        claims: in their sweeps' frames.
        radius: metres shown around the robot.
    """
    figure = Figure(figsize=(7.2, 6.4), layout="constrained")
    axes = figure.subplots()
    colours = ScalarMappable(Normalize(0.0, FULL_SPEED), SPEED_MAP)
    for wrong, marker in ((False, "o"), (True, "X")):
        chosen = [claim for claim in claims if (claim.ground_arc or claim.absurd) is wrong]
        where = np.array([claim.centre for claim in chosen], np.float64).reshape(-1, 3)
        size = [8.0 + 0.05 * min(claim.points, 1000) + 40.0 * wrong for claim in chosen]
        speeds = colours.to_rgba(np.array([claim.speed for claim in chosen]))
        axes.scatter(-where[:, 1], where[:, 0], s=size, c=speeds, marker=marker)
    axes.plot(0, 0, marker="^", color=ROBOT, markersize=9)
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius), xlabel="right, m", ylabel="ahead, m")
    axes.set_aspect("equal")
    figure.colorbar(colours, ax=axes, label="speed over ground, m/s", shrink=0.75)
    return figure


def latency_histogram(milliseconds: Mapping[str, Sequence[float]]) -> Figure:
    """How long each kind of input took, with the median and the 95th percentile marked."""
    figure = Figure(figsize=(7.6, 0.6 + 1.7 * max(len(milliseconds), 1)), layout="constrained")
    all_axes = figure.subplots(len(milliseconds), 1, squeeze=False)[:, 0]
    for axes, (name, values) in zip(all_axes, milliseconds.items(), strict=True):
        p50, p95 = np.percentile(values, [50, 95])
        axes.hist(values, bins=40, color="#4c7fb0")
        axes.axvline(p50, color="black", linewidth=1)
        axes.axvline(p95, color=ROBOT, linewidth=1)
        axes.set_title(f"{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms", fontsize=10, loc="left")
        axes.set_ylabel("inputs")
    all_axes[-1].set_xlabel("milliseconds per input")
    return figure


def overview(pictures: Sequence[bytes]) -> bytes:
    """PNG pictures as one: the widest below, the others side by side above it."""
    ordered = sorted(pictures, key=_aspect)
    return stack([ordered] if len(ordered) < 3 else [ordered[:-1][::-1], ordered[-1:]])


def stack(rows: Sequence[Sequence[bytes]], width: int = 1200) -> bytes:
    """Rows of PNG pictures as one PNG ``width`` px wide; those of a row get the same height."""
    bands = []
    for row in rows:
        images = [_pixels(content) for content in row]
        height = int(width / sum(image.shape[1] / image.shape[0] for image in images))
        edges = np.cumsum([0.0] + [image.shape[1] / image.shape[0] * height for image in images])
        pixels = np.round(edges * width / edges[-1]).astype(int)
        fitted = [
            cv2.resize(image, (int(b - a), height), interpolation=cv2.INTER_AREA)
            for image, a, b in zip(images, pixels[:-1], pixels[1:], strict=True)
        ]
        bands.append(np.hstack(fitted))
    return bytes(cv2.imencode(".png", np.vstack(bands))[1])


def _pixels(picture: bytes) -> NDArray[np.uint8]:
    content = np.frombuffer(picture, np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def _aspect(picture: bytes) -> float:
    height, width = _pixels(picture).shape[:2]
    return width / height
