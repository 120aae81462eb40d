"""The report of one run: a few telling frames kept while it runs, drawn when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from ssl_perception.evaluation import pictures
from ssl_perception.evaluation.report import Section, png, write_html
from ssl_perception.types import StereoPair

if TYPE_CHECKING:
    from ssl_perception.flow.online import SweepFlow
    from ssl_perception.io.log import Recorded
    from ssl_perception.pipeline import StereoDepth


class RunReport:
    """Keeps the sweep with most moving points, the stereo pair with the nearest obstacle, times.

    Memory does not grow with the length of the log beyond a few numbers per input.
    """

    def __init__(self) -> None:
        self._sweep: tuple[Recorded, SweepFlow] | None = None
        self._stereo: tuple[Recorded, StereoDepth] | None = None
        self._nearest = np.inf
        self._milliseconds: dict[str, list[float]] = {}
        self._moving: list[tuple[float, int]] = []
        self._nearest_by_time: list[tuple[float, float]] = []

    def add(self, recorded: Recorded, result: SweepFlow | StereoDepth) -> None:
        """Take one result."""
        spent = 1e3 * sum(result.stages.values())
        seconds = recorded.stamp_ns * 1e-9
        if hasattr(result, "flow"):
            self._milliseconds.setdefault("sweep", []).append(spent)
            count = int(result.flow.moving.sum())
            self._moving.append((seconds, count))
            if self._sweep is None or count > self._sweep[1].flow.moving.sum():
                self._sweep = recorded, result
        else:
            self._milliseconds.setdefault("stereo pair", []).append(spent)
            finite = result.scan.ranges[np.isfinite(result.scan.ranges)]
            nearest = float(finite.min()) if len(finite) else np.nan
            self._nearest_by_time.append((seconds, nearest))
            if self._stereo is None or nearest < self._nearest:
                self._stereo = recorded, result
                self._nearest = nearest

    def figures(self) -> dict[str, Figure]:
        """Name -> picture, for whatever kinds of input there were."""
        drawn: dict[str, Figure] = {}
        if self._sweep is not None:
            recorded, sweep = self._sweep
            drawn["scene_flow"] = pictures.bird_eye(
                sweep.cloud,
                sweep.flow.velocity,
                sweep.flow.moving,
                sweep.ground,
                title="one sweep from above; arrows: way per second",
            )
        if self._stereo is not None:
            recorded, stereo = self._stereo
            assert isinstance(recorded.value, StereoPair)
            drawn["depth"] = pictures.depth_beside_image(recorded.value.left, stereo.depth)
            drawn["obstacle_distance"] = pictures.obstacle_polar(stereo.scan, "same instant, m")
        if self._milliseconds:
            values = {kind: np.array(ms) for kind, ms in self._milliseconds.items()}
            drawn["latency"] = pictures.latency_histogram(values)
        return drawn

    def sections(self, latency: Mapping[str, Mapping[str, float]]) -> list[Section]:
        """The report's chapters."""
        drawn = self.figures()
        captions = {
            "scene_flow": (
                "Scene flow",
                "The sweep with most moving points. Pale: ground; grey: static; colour: speed.",
            ),
            "depth": ("Depth", "The stereo pair with the nearest obstacle."),
            "obstacle_distance": ("Obstacle distance", "Lilac is unknown, and never free."),
            "latency": ("Time per input", "From the decoded input to the result."),
        }
        chapters = [
            Section(captions[name][0], figures=[(figure, captions[name][1])])
            for name, figure in drawn.items()
        ]
        rows = [
            (kind, *(f"{times[key]:.1f}" for key in ("p50", "p95", "max")))
            for kind, times in latency.items()
        ]
        if rows:
            chapters[-1].header, chapters[-1].rows = ("input", "p50 ms", "p95 ms", "max ms"), rows
        return chapters

    def write(
        self, path: Path, title: str, latency: Mapping[str, Mapping[str, float]], lead: str = ""
    ) -> None:
        """The page, with its pictures inside."""
        write_html(path, title, lead, self.sections(latency))

    def write_pictures(self, folder: Path) -> list[Path]:
        """Each picture as a PNG file of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for name, figure in self.figures().items():
            path = folder / f"{name}.png"
            path.write_bytes(png(figure))
            written.append(path)
        return written
