"""The report of one run: a few telling frames kept while it runs, drawn when it is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ssl_perception.evaluation import pictures
from ssl_perception.evaluation.report import Section, png
from ssl_perception.io.point_cloud2 import FlowCloud
from ssl_perception.io.write import write_output
from ssl_perception.types import DepthMap, FloatArray, ObstacleScan

_TRUE_ARROWS = " Thin black arrows are the true displacement."
_CAPTIONS = {
    "scene_flow": (
        "Scene flow",
        "The sweep with most moving points, from above: grey static, coloured moving. Arrows show "
        "the displacement over 1 s.",
    ),
    "depth": ("Depth", "The stereo pair with the nearest obstacle."),
    "obstacle_distance": (
        "Obstacle distance",
        "From above, at the same instant; ahead is up, distances in m. Unknown is never free.",
    ),
    "lidar_scan": (
        "Obstacle distance from lidar",
        "Of the sweep above: its returns in grey, the scan drawn from them. Ahead is up, distances "
        "in m; the lines show how far an obstacle comes nearer (red) or recedes (blue) in 1 s.",
    ),
    "latency": ("Time per input", "From the decoded input to the result."),
}
PICTURES = (*_CAPTIONS, "overview")  # names of all that ``write_pictures`` may write


@dataclass(frozen=True, eq=False)
class _Sweep:
    flow: FlowCloud
    truth: FloatArray | None
    scan: ObstacleScan | None


@dataclass(frozen=True, eq=False)
class _Pair:
    image: NDArray[np.uint8]
    depth: DepthMap
    scan: ObstacleScan
    truth: FloatArray | None
    nearest: float


class RunReport:
    """Keeps the sweep with most moving points and the pair with the nearest obstacle.

    Memory does not grow with the length of the log, but for one number per input.
    """

    def __init__(self) -> None:
        self._sweep: _Sweep | None = None
        self._pair: _Pair | None = None
        self._milliseconds: dict[str, list[float]] = {}

    def sweep(
        self,
        flow: FlowCloud,
        truth: FloatArray | None = None,
        scan: ObstacleScan | None = None,
    ) -> None:
        """Take a sweep's flow, its true velocities (N, 3) m/s where known, and its scan."""
        if self._sweep is None or flow.moving.sum() > self._sweep.flow.moving.sum():
            self._sweep = _Sweep(flow, truth, scan)

    def pair(
        self,
        image: NDArray[np.uint8],
        depth: DepthMap,
        scan: ObstacleScan,
        truth: FloatArray | None = None,
    ) -> None:
        """Take a left image with its depth and scan, and the true depth (H, W) m where known."""
        finite = scan.ranges[np.isfinite(scan.ranges)]
        nearest = float(finite.min()) if len(finite) else np.inf
        if self._pair is None or nearest < self._pair.nearest:
            self._pair = _Pair(image, depth, scan, truth, nearest)

    def time(self, kind: str, seconds: float) -> None:
        """Take the time that one input of this kind took."""
        self._milliseconds.setdefault(kind, []).append(1e3 * seconds)

    def only_times(self) -> RunReport:
        """A report with this one's times, and no frames yet."""
        other = RunReport()
        other._milliseconds = self._milliseconds
        return other

    def latency(self) -> dict[str, dict[str, float]]:
        """Milliseconds per kind of input: median, 95th percentile, largest."""
        return {
            kind: {
                "p50": float(np.percentile(values, 50)),
                "p95": float(np.percentile(values, 95)),
                "max": float(np.max(values)),
            }
            for kind, values in self._milliseconds.items()
        }

    def figures(self) -> dict[str, Figure]:
        """Name -> picture, for whatever kinds of input there were."""
        drawn: dict[str, Figure] = {}
        if self._sweep is not None:
            sweep = self._sweep
            drawn["scene_flow"] = pictures.bird_eye(sweep.flow, truth=sweep.truth)
            if sweep.scan is not None:
                drawn["lidar_scan"] = pictures.obstacle_polar(sweep.scan, points=sweep.flow.points)
        if self._pair is not None:
            pair = self._pair
            drawn["depth"] = pictures.depth_beside_image(pair.image, pair.depth, pair.truth)
            drawn["obstacle_distance"] = pictures.obstacle_polar(pair.scan)
        if self._milliseconds:
            drawn["latency"] = pictures.latency_histogram(self._milliseconds)
        return drawn

    def sections(self) -> list[Section]:
        """The report's chapters."""
        chapters = []
        for name, figure in self.figures().items():
            title, caption = _CAPTIONS[name]
            if name == "scene_flow" and self._sweep is not None and self._sweep.truth is not None:
                caption += _TRUE_ARROWS
            chapters.append(Section(title, figures=[(figure, caption)]))
        if self._milliseconds:
            chapters[-1].header = ("input", "p50 ms", "p95 ms", "max ms")
            chapters[-1].rows = latency_rows(self.latency())
        return chapters

    def write_pictures(self, folder: Path, below: Sequence[bytes] = ()) -> list[Path]:
        """Each picture as a PNG file of its own, and ``overview.png`` with what was seen.

        Args:
            below: other PNG pictures, shown below in the overview.
        """
        drawn = {name: png(figure) for name, figure in self.figures().items()}
        seen = [
            drawn[name] for name in ("scene_flow", "depth", "obstacle_distance") if name in drawn
        ]
        if seen:
            rows = [[pictures.overview(seen)], *([picture] for picture in below)]
            drawn["overview"] = pictures.stack(rows)
        written = []
        for name, content in drawn.items():
            path = folder / f"{name}.png"
            write_output(path, content)
            written.append(path)
        return written


def latency_rows(latency: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Table rows: kind of input, p50, p95, largest, milliseconds."""
    return [
        (kind, *(f"{times[key]:.1f}" for key in ("p50", "p95", "max")))
        for kind, times in latency.items()
    ]
