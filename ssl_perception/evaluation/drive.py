"""A run to look through: the drive in 3-D, what each stage took, and which input was worst.

A bounded number of sweeps is kept, evenly spread, each with a bounded number of points; of every
input only a few numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.depth.result import DepthResult
from ssl_perception.evaluation.pictures import FULL_SPEED
from ssl_perception.evaluation.report import Section
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.io.trajectory import Pose
from ssl_perception.types import FloatArray, MovingObject

MAX_FRAMES = 48  # in the scrubber
MAX_POINTS = 3000  # of a frame
MAX_TIMES = 4000  # inputs in the plot of times: a longer run shows every second, every fourth, ...
WORST = 5
_EYE = {"x": -0.6, "y": -0.6, "z": 0.6}  # of the camera, in sizes of the scene
_GREY = "#8a94a0"
_EDGES = (0, 1, 2, 3, 0, 4, 5, 6, 7, 4)  # of a box, drawn in one line


@dataclass(frozen=True, eq=False)
class _Frame:
    """A sweep in world axes: (n, 3) static, (m, 3) moving points, (m,) speeds m/s, the tracks."""

    seconds: float
    static: FloatArray
    moving: FloatArray
    speed: FloatArray
    objects: list[MovingObject]
    pose: Pose


@dataclass(frozen=True)
class _Input:
    """One input: when, which kind, ms by stage, and why its result is unusable (empty: it is)."""

    seconds: float
    kind: str
    stages: dict[str, float]
    reason: str

    @property
    def total(self) -> float:
        return sum(self.stages.values())


@dataclass
class Drive:
    """Takes the results of a run one after the other, in the order of time."""

    _frames: list[_Frame] = field(default_factory=list)
    _inputs: list[_Input] = field(default_factory=list)
    _gate: list[tuple[float, float, str, str]] = field(default_factory=list)
    _path: list[tuple[float, float, float]] = field(default_factory=list)
    _start: float = math.nan
    _stride: int = 1
    _sweeps: int = 0

    def sweep(self, result: SweepFlow, pose: Pose) -> None:
        """Take a sweep's result, and where the lidar was: (4, 4) world from lidar."""
        seconds = self._seconds(result.cloud.stamp)
        stages = {name: 1e3 * spent for name, spent in result.stages.items()}
        self._inputs.append(_Input(seconds, "sweep", stages, result.reset))
        x, y, z = pose[:3, 3].tolist()
        self._path.append((x, y, z))
        if self._sweeps % self._stride == 0:
            self._frames.append(_frame(seconds, result, pose))
            if len(self._frames) > MAX_FRAMES:
                self._frames, self._stride = self._frames[::2], 2 * self._stride
        self._sweeps += 1

    def depth(self, result: DepthResult, kind: str) -> None:
        """Take the result of a stereo pair or an image; ``kind`` says which."""
        stereo, trust = result.stereo, result.trust
        seconds = self._seconds(stereo.stamp)
        stages = {name: 1e3 * spent for name, spent in result.stages.items()}
        reason = "" if stereo.valid else stereo.reason or "invalid"
        self._inputs.append(_Input(seconds, kind, stages, reason))
        valid = stereo.valid_fraction if stereo.valid else 0.0
        self._gate.append((seconds, valid, trust.active_cue.value, reason))

    def _seconds(self, stamp: float) -> float:
        if math.isnan(self._start):
            self._start = stamp
        return stamp - self._start

    def sections(self) -> list[Section]:
        """Chapters of the report, for whatever kinds of input there were."""
        chapters = []
        if self._frames:
            plot = (self._scrubber(), _DRIVE_CAPTION.format(len(self._frames), self._sweeps))
            chapters.append(Section("The drive", plots=[plot]))
        if self._inputs:
            times = (self._latency(), _LATENCY_CAPTION)
            chapters.append(Section("Time per stage", plots=[times]))
            rows = [
                (f"{i.seconds:.2f}", i.kind, f"{i.total:.1f}", _slowest(i), i.reason or "usable")
                for i in self._worst()
            ]
            chapters.append(Section("Worst inputs", _WORST_TEXT, _WORST_HEADER, rows))
        if self._gate:
            chapters.append(Section("Trust and gate", plots=[(self._timeline(), _GATE_CAPTION)]))
        return chapters

    def _worst(self) -> list[_Input]:
        """Unusable ones first, then the slowest; a first sweep has nothing to be compared with."""
        return sorted(self._inputs[1:], key=lambda i: (not i.reason, -i.total))[:WORST]

    def _scrubber(self) -> Any:
        from plotly import graph_objects as go

        path = np.array(self._path)
        trail = go.Scatter3d(**_xyz(path), mode="lines", name="path", line={"color": "#4c7fb0"})
        every = [_traces(frame) for frame in self._frames]
        shown = range(1, 1 + len(every[0]))
        frames = [
            go.Frame(data=traces, name=str(k), traces=list(shown)) for k, traces in enumerate(every)
        ]
        steps = [
            {
                "label": f"{frame.seconds:.1f}",
                "method": "animate",
                "args": [[str(k)], {"mode": "immediate", "frame": {"duration": 0}}],
            }
            for k, frame in enumerate(self._frames)
        ]
        first = int(np.argmax([len(frame.speed) for frame in self._frames]))
        figure = go.Figure([trail, *every[first]], frames=frames)
        play = {"label": "Play", "method": "animate", "args": [None, {"frame": {"duration": 150}}]}
        menu = {"type": "buttons", "buttons": [play], "font": {"color": "#1f2933"}}
        axes = {f"{axis}axis": {"title": f"{axis} m"} for axis in "xyz"}
        figure.update_layout(
            height=560,
            margin={"l": 0, "r": 0, "t": 10, "b": 50},
            legend={"orientation": "h", "y": 1.0, "itemsizing": "constant"},
            scene={"aspectmode": "data", "camera": {"eye": _EYE}, **axes},
            sliders=[
                {
                    "currentvalue": {"prefix": "s: "},
                    "steps": steps,
                    "active": first,
                    "x": 0.12,
                    "len": 0.86,
                }
            ],
            updatemenus=[{**menu, "x": 0.1, "y": -0.02}],
        )
        return figure

    def _latency(self) -> Any:
        from plotly import graph_objects as go

        figure = go.Figure()
        for kind in dict.fromkeys(i.kind for i in self._inputs):
            inputs = [i for i in self._inputs if i.kind == kind]
            inputs = inputs[:: -(-len(inputs) // MAX_TIMES)]
            seconds = np.array([i.seconds for i in inputs], np.float32)
            for stage in dict.fromkeys(name for i in inputs for name in i.stages):
                spent = np.array([i.stages.get(stage, 0.0) for i in inputs], np.float32)
                area = {"stackgroup": kind, "mode": "lines", "line": {"width": 0.5}}
                figure.add_scatter(x=seconds, y=spent, name=f"{kind}: {stage}", **area)
        return _over_time(figure, "ms")

    def _timeline(self) -> Any:
        from plotly import graph_objects as go

        gate = self._gate[:: -(-len(self._gate) // MAX_TIMES)]
        seconds, valid, cues, reasons = (list(column) for column in zip(*gate, strict=True))
        figure = go.Figure()
        x = np.array(seconds, np.float32)
        y = np.array(valid, np.float32)
        figure.add_scatter(x=x, y=y, name="share of known depth", text=reasons, mode="lines")
        names = list(dict.fromkeys(cues))
        rows = np.array([names.index(cue) for cue in cues], np.int16)
        figure.add_scatter(
            x=x, y=rows, name="active cue", yaxis="y2", mode="lines", line={"shape": "hv"}
        )
        figure.update_layout(
            yaxis2={
                "overlaying": "y",
                "side": "right",
                "tickvals": list(range(len(names))),
                "ticktext": names,
                "range": [-0.5, len(names) - 0.5],
                "showgrid": False,
            }
        )
        return _over_time(figure, "share")


def _frame(seconds: float, result: SweepFlow, pose: Pose) -> _Frame:
    points, moving = result.cloud.points, result.flow.moving
    world = (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)
    static = np.flatnonzero(~moving)
    moved = np.flatnonzero(moving)[: MAX_POINTS // 2]
    step = max(1, -(-len(static) // (MAX_POINTS - len(moved))))
    speed = np.linalg.norm(result.flow.velocity[moved], axis=1).astype(np.float32)
    return _Frame(seconds, world[static[::step]], world[moved], speed, result.objects, pose)


def _xyz(points: NDArray) -> dict[str, NDArray[np.float32]]:
    rounded = np.round(points.reshape(-1, 3), 2).astype(np.float32)
    return {axis: rounded[:, k] for k, axis in enumerate("xyz")}


def _traces(frame: _Frame) -> list[Any]:
    """Static points, moving points, tracks, and the robot: the same traces in every frame."""
    from plotly import graph_objects as go

    dots = {"size": 1.5, "color": _GREY, "opacity": 0.6}
    speeds = {
        "size": 3,
        "color": frame.speed,
        "colorscale": "Turbo",
        "cmin": 0.0,
        "cmax": FULL_SPEED,
        "colorbar": {"title": "m/s", "thickness": 10, "len": 0.6},
    }
    boxes = [_box(moving, frame.pose) for moving in frame.objects]
    corners = np.concatenate([*boxes, np.full((1, 3), np.nan)])
    tops = np.array([box.max(axis=0) for box in (b[:-1] for b in boxes)]).reshape(-1, 3)
    labels = [f"{o.id}: {np.linalg.norm(o.velocity):.1f} m/s" for o in frame.objects]
    place, robot = frame.pose[:3, 3], {"color": "#4c7fb0", "size": 5}
    return [
        go.Scatter3d(**_xyz(frame.static), mode="markers", name="static", marker=dots),
        go.Scatter3d(**_xyz(frame.moving), mode="markers", name="moving", marker=speeds),
        go.Scatter3d(**_xyz(corners), mode="lines", name="tracks", line={"color": "#e07b39"}),
        go.Scatter3d(**_xyz(tops), mode="text", text=labels, name="id: speed"),
        go.Scatter3d(**_xyz(place), mode="markers", name="lidar", marker=robot),
    ]


def _box(moving: MovingObject, pose: Pose) -> FloatArray:
    """The edges of a track's box as one line in world axes, ended by NaN: (11, 3)."""
    signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    corners = np.array([(x, y, z) for z in (-1, 1) for x, y in signs]) / 2 * moving.size
    cos, sin = math.cos(moving.yaw), math.sin(moving.yaw)
    turned = corners @ np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    world = (turned + moving.centre) @ pose[:3, :3].T + pose[:3, 3]
    return np.concatenate([world[list(_EDGES)], np.full((1, 3), np.nan)]).astype(np.float32)


def _over_time(figure: Any, unit: str) -> Any:
    margin = {"l": 50, "r": 20, "t": 10, "b": 40}
    figure.update_layout(
        height=360, margin=margin, legend={"orientation": "h", "y": -0.35}, hovermode="x unified"
    )
    figure.update_xaxes(title="seconds")
    figure.update_yaxes(title=unit, selector={"overlaying": None})
    return figure


def _slowest(one: _Input) -> str:
    if not one.stages:
        return ""
    stage = max(one.stages, key=lambda name: one.stages[name])
    return f"{stage} {one.stages[stage]:.1f} ms"


_DRIVE_CAPTION = (
    "{} of {} sweeps, some of their points, in the axes of the first sweep: grey static, coloured "
    "moving, orange the tracked objects with id and speed. Drag to turn, scroll to zoom."
)
_LATENCY_CAPTION = (
    "Milliseconds of each stage, stacked, over the log's time. Click a name to hide it."
)
_GATE_CAPTION = (
    "Share of the teacher's pixels with a known depth, 0 where it refused the frame (the reason is "
    "beside the pointer), and the cue that obstacle distance came from."
)
_WORST_TEXT = "Inputs without a usable result first, then the slowest ones."
_WORST_HEADER = ("s", "input", "ms", "slowest stage", "result")
