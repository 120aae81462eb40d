"""What perception saw, drawn: bird's-eye flow, depth beside the image, obstacle scan, latencies.

Each function returns a matplotlib figure and changes nothing it is given. Nothing here opens a
window, so it works on a robot without a screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ssl_perception.types import DepthMap, ObstacleScan, PointCloud

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.projections.polar import PolarAxes

STATIC = "#9aa3ad"
GROUND = "#dfe3e8"
UNKNOWN = "#e8d9f0"
ROBOT = "#d1495b"
SPEED_MAP = "turbo"
DEPTH_MAP = "viridis_r"
FULL_SPEED = 15.0  # m/s, end of the colour scale


def bird_eye(
    cloud: PointCloud,
    velocity: NDArray[np.float32],
    moving: NDArray[np.bool_],
    ground: NDArray[np.bool_] | None = None,
    radius: float = 50.0,
    title: str = "",
    truth: NDArray[np.float32] | None = None,
) -> Figure:
    """A sweep from above, what moves coloured by speed, an arrow per patch of moving points.

    Args:
        cloud: N points in the sensor's frame (x forward, drawn upwards).
        velocity: (N, 3) m/s over ground; NaN where unknown.
        moving: (N,) points on something that moves.
        ground: (N,) drawn paler; None: none.
        radius: metres shown around the robot.
        truth: (N, 3) true velocities, m/s, drawn as thin black arrows; None: not drawn.
    """
    figure = Figure(figsize=(8.2, 7.2), layout="constrained")
    axes = figure.subplots()
    x, y = cloud.points[:, 0], cloud.points[:, 1]
    seen = (np.abs(x) <= radius) & (np.abs(y) <= radius)
    ground = np.zeros(len(cloud), np.bool_) if ground is None else ground
    for mask, colour, size in ((ground, GROUND, 0.3), (~ground & ~moving, STATIC, 0.4)):
        drawn = seen & mask
        axes.scatter(-y[drawn], x[drawn], s=size, c=colour, linewidths=0, rasterized=True)
    colours = ScalarMappable(Normalize(0.0, FULL_SPEED), SPEED_MAP)
    rows = np.flatnonzero(seen & moving & np.isfinite(velocity).all(axis=1))
    speed = np.linalg.norm(velocity[rows, :2], axis=1)
    axes.scatter(-y[rows], x[rows], s=2.0, c=colours.to_rgba(speed), linewidths=0)
    if truth is not None:
        true_mover = seen & (np.linalg.norm(np.nan_to_num(truth), axis=1) > 0.5)
        patches = _patches(cloud.points, truth, np.flatnonzero(true_mover))
        _arrows(axes, *patches, "black", 0.0022)
    where, how = _patches(cloud.points, velocity, rows)
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
    image: NDArray[np.uint8], depth: DepthMap, truth: DepthMap | None = None
) -> Figure:
    """The left image, the depth seen in it, and the true depth where it is known."""
    panels = 2 if truth is None else 3
    height = 1.2 + 3.1 * image.shape[0] / image.shape[1] * (1.6 if panels == 2 else 1.0)
    figure = Figure(figsize=(10.4, height), layout="constrained")
    axes = figure.subplots(1, panels)
    axes[0].imshow(image[..., ::-1] if image.ndim == 3 else image, cmap="gray")
    axes[0].set_title("left camera", fontsize=10, loc="left")
    known = depth.depth[np.isfinite(depth.depth)]
    far = float(np.percentile(known, 95)) if len(known) else 1.0
    maps = [(depth, f"depth from {depth.cue.value}")]
    if truth is not None:
        maps.append((truth, "true depth"))
    for place, (each, name) in zip(axes[1:], maps, strict=True):
        place.set_facecolor(UNKNOWN)
        picture = place.imshow(each.depth, cmap=DEPTH_MAP, vmin=0.0, vmax=far)
        trust = "" if each.valid else f": not to be trusted, {each.reason}"
        place.set_title(name + trust, fontsize=10, loc="left")
    figure.colorbar(picture, ax=axes[1:], label="m (lilac: unknown)", shrink=0.8)
    for place in axes:
        place.set(xticks=[], yticks=[])
    return figure


def obstacle_polar(scan: ObstacleScan, title: str = "") -> Figure:
    """The scan seen from above: red obstacle, green clear, lilac unknown."""
    figure = Figure(figsize=(5.2, 5.2), layout="constrained")
    axes: PolarAxes = figure.add_subplot(projection="polar")  # type: ignore[assignment]
    axes.set_theta_zero_location("N")
    width = abs(scan.angle_increment)
    ranges = np.clip(scan.ranges, scan.range_min, scan.range_max)
    unknown, clear = np.isnan(scan.ranges), np.isposinf(scan.ranges)
    hit = ~unknown & ~clear
    for mask, length, colour, name in (
        (unknown, scan.range_max, UNKNOWN, "unknown"),
        (clear, scan.range_max, "#b7dfc1", "clear"),
        (hit, ranges, "#b7dfc1", None),
    ):
        heights = length[mask] if isinstance(length, np.ndarray) else length
        axes.bar(scan.angles[mask], heights, width=width, color=colour, label=name, linewidth=0)
    rest = scan.range_max - ranges[hit]
    axes.bar(scan.angles[hit], rest, width=width, bottom=ranges[hit], color="#e9edf1", linewidth=0)
    axes.scatter(scan.angles[hit], ranges[hit], s=14, color=ROBOT, zorder=3, label="obstacle")
    axes.set_ylim(0.0, scan.range_max)
    axes.set_title(title, fontsize=10, loc="left")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.08, -0.08), fontsize=8, frameon=False)
    return figure


def latency_histogram(milliseconds: Mapping[str, NDArray[np.float64]]) -> Figure:
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


def over_time(
    seconds: NDArray[np.float64], rows: Mapping[str, NDArray[np.float64]], label: str
) -> Figure:
    """Lines over the length of the log, one per row."""
    figure = Figure(figsize=(7.6, 2.6), layout="constrained")
    axes = figure.subplots()
    for name, values in rows.items():
        axes.plot(seconds, values, linewidth=1.3, label=name)
    axes.set(xlabel="seconds", ylabel=label, ylim=(0.0, None))
    axes.legend(fontsize=8, frameon=False)
    return figure
