"""A recorded log through the pipeline, into a bag of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from ssl_perception.config import Config
from ssl_perception.depth.result import DepthResult
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.depth.trust.state import ActiveCue
from ssl_perception.errors import InputError
from ssl_perception.evaluation.drive import Drive
from ssl_perception.evaluation.provenance import provenance
from ssl_perception.evaluation.report import write_html
from ssl_perception.evaluation.run_report import RunReport, latency_rows
from ssl_perception.evaluation.trust_timeline import TrustTimeline
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.io import images
from ssl_perception.io.further_outputs import FurtherOutputs
from ssl_perception.io.log import Log, Recorded
from ssl_perception.io.open_log import open_log
from ssl_perception.io.output import OutputBag
from ssl_perception.io.output_paths import check_outputs
from ssl_perception.io.point_cloud2 import FlowCloud
from ssl_perception.io.trajectory import WORLD, Trajectory, write_path
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.collision import NO_FOOTPRINT
from ssl_perception.obstacles.scan import nearest_ahead
from ssl_perception.pipeline import Perception
from ssl_perception.runtime.console import (
    PREPARING,
    meanwhile,
    print_table,
    printable,
    progress_bar,
)
from ssl_perception.types import CameraImage, Odometry, PointCloud, StereoPair
from ssl_perception.warm_up import time_to_warm, warm_up

Result = SweepFlow | DepthResult
CAMERA = "left_camera_optical"
AHEAD = 0.35  # rad, width of what obstacle_range calls ahead


@dataclass
class Summary:
    """What a run did, in figures."""

    log: str
    sweeps: int = 0
    stereo_pairs: int = 0
    images: int = 0
    skipped: list[str] = field(default_factory=list)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    ego_motion: list[dict[str, Any]] = field(default_factory=list)
    mounting_doubt: str = ""
    sensor_doubt: str = ""
    moving_points: int = 0
    valid_depth: list[float] = field(default_factory=list)
    report: RunReport = field(default_factory=RunReport)
    drive: Drive = field(default_factory=Drive)
    trajectory: Trajectory = field(default_factory=Trajectory)
    trust: TrustTimeline | None = None

    def add(self, recorded: Recorded, result: Result) -> None:
        """Count one result."""
        if isinstance(result, SweepFlow):
            self.sweeps += 1
            self.mounting_doubt = result.doubt
            self.moving_points += int(result.flow.moving.sum())
            step = result.current_from_previous
            pose = self.trajectory.add(recorded.stamp_ns, result.cloud.frame, step)
            self.drive.sweep(result, pose)
            if result.current_from_previous is not None:
                motion = result.current_from_previous.tolist()
                self.ego_motion.append(
                    {"stamp_ns": recorded.stamp_ns, "current_from_previous": motion}
                )
        else:
            assert isinstance(recorded.value, StereoPair | CameraImage)
            if isinstance(recorded.value, StereoPair):
                self.stereo_pairs += 1
            else:
                self.images += 1
            self.drive.depth(result, _frame_kind(recorded))
            # an invalid depth map has no known pixel, whatever the matcher found
            self.valid_depth.append(result.stereo.valid_fraction if result.stereo.valid else 0.0)
            if self.trust is not None:
                self.trust.add(recorded.value.image, result)

    @property
    def depths(self) -> int:
        """Results of the depth half: of stereo pairs, or of images of one camera."""
        return self.stereo_pairs + self.images

    def figures(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "log": self.log,
            "sweeps": self.sweeps,
            "stereo_pairs": self.stereo_pairs,
            "images": self.images,
            "flow_messages": self.sweeps,
            "depth_messages": self.depths,
            "scan_messages": self.depths,
            "skipped": self.skipped,
            "mounting_doubt": self.mounting_doubt,
            "sensor_doubt": self.sensor_doubt,
            "latency_ms": self.latency,
            "moving_points_per_sweep": self.moving_points / self.sweeps if self.sweeps else None,
            "valid_depth_fraction": float(np.mean(self.valid_depth)) if self.valid_depth else None,
            "trajectory_m": self.trajectory.metres if self.sweeps else None,
            "ego_motion_unknown": self.trajectory.unknown,
            "ego_motion": self.ego_motion,
            **({} if self.trust is None else {"trust": self.trust.figures()}),
        }


def replay(
    log: Log,
    perception: Perception,
    on_bad: Callable[[InputError], None] | None = None,
    preparing: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[tuple[Recorded, Result]]:
    """The pipeline's answer to each sweep and stereo pair, or image, of a log, in the order of
    time.

    Before the first sweep compilers get the time that they want (a minute, once after an
    installation), so that latencies are those of the work.

    Args:
        on_bad: called with each input that can't be used, then the next one is taken; None: raise.
        preparing: entered while the compilers work.

    Raises:
        InputError: the log, or (without ``on_bad``) a message in it, can't be used.
    """
    warm = time_to_warm(perception.config.flow.method) is not None
    for recorded in log.read(on_bad):
        value = recorded.value
        try:
            if isinstance(value, PointCloud):
                if not warm:
                    with preparing():
                        warm_up(perception.config)
                    warm = True
                yield recorded, perception.sweep(value)
            elif isinstance(value, StereoPair):
                yield recorded, perception.stereo(value)
            elif isinstance(value, CameraImage):
                yield recorded, perception.image(value)
            elif isinstance(value, Odometry):
                perception.odometry(value)
        except InputError as error:
            located = InputError(f"{log.name}: {recorded.topic} at {recorded.stamp_ns} ns: {error}")
            if on_bad is None:
                raise located from None
            on_bad(located)


def _frame_kind(recorded: Recorded) -> str:
    return "stereo pair" if isinstance(recorded.value, StereoPair) else "image"


def collect(report: RunReport, recorded: Recorded, result: Result) -> None:
    """Show a result to the report."""
    spent = sum(result.stages.values())
    if isinstance(result, SweepFlow):
        flow = result.flow
        report.time("sweep", spent)
        seen = FlowCloud(result.cloud.points, flow.velocity, flow.moving, flow.confidence)
        report.sweep(seen, scan=result.lidar_scan)
    else:
        assert isinstance(recorded.value, StereoPair | CameraImage)
        report.time(_frame_kind(recorded), spent)
        for stage in ("student", "learner"):
            if stage in result.stages:
                report.time(stage, result.stages[stage])
        report.pair(recorded.value.image, result.depth, result.scan)


def write_result(
    bag: OutputBag,
    recorded: Recorded,
    result: Result,
    perception: Perception,
    further: FurtherOutputs,
) -> None:
    """One result as messages with the source's own stamp: what the nodes publish."""
    if isinstance(result, SweepFlow):
        bag.scene_flow(recorded.stamp_ns, result.cloud, result.flow)
        bag.moving_points(recorded.stamp_ns, result.cloud.select(result.flow.moving))
        bag.moving_objects(recorded.stamp_ns, result.cloud.frame, result.objects)
        further.objects(recorded.stamp_ns, result.cloud.frame, result.objects)
        bag.time_to_collision(recorded.stamp_ns, perception.time_to_collision(result))
        if result.lidar_scan is not None:
            bag.lidar_obstacle_distance(recorded.stamp_ns, result.lidar_scan)
        if perception.accumulated is not None:
            bag.points_accumulated(recorded.stamp_ns, perception.accumulated.cloud())
    else:
        stamp_ns, pair = recorded.stamp_ns, recorded.value
        bag.camera_info("stereo/camera_info", stamp_ns, result.stereo.camera)
        bag.depth(stamp_ns, result.stereo)
        bag.confidence(stamp_ns, result.stereo)
        bag.status(stamp_ns, result.stereo)
        teacher = perception.depth.teacher
        if isinstance(teacher, StereoMatcher) and isinstance(pair, StereoPair):
            searched = teacher.search_range(pair.camera.width)
            bag.disparity(stamp_ns, result.stereo, pair.baseline, float(searched))
        if result.mono is not None:
            bag.camera_info("mono/camera_info", stamp_ns, result.mono.camera)
            bag.depth(stamp_ns, result.mono)
            bag.status(stamp_ns, result.mono)
        bag.trust(stamp_ns, result.trust)
        if result.trust.active_cue is not ActiveCue.NONE:
            bag.image("depth", stamp_ns, images.encode_depth(result.depth))
            further.depth(stamp_ns, result.depth)
        bag.obstacle_distance(stamp_ns, result.scan)
        further.scan(stamp_ns, result.scan)
        ahead = nearest_ahead(result.scan, AHEAD / 2)
        bag.obstacle_range(stamp_ns, result.scan, ahead, AHEAD)


def write_frames(
    bag: OutputBag, recorded: Recorded, result: Result, trajectory: Trajectory, log: Log
) -> None:
    """``/tf``: where the lidar is in the axes of the first sweep; before the first one
    ``/tf_static``: where the camera sits, if the log says so."""
    if not isinstance(result, SweepFlow) or not result.cloud.frame:
        return
    first, last = len(trajectory.poses) == 1, trajectory.poses[-1]
    bag.mounts("tf", recorded.stamp_ns, WORLD, {result.cloud.frame: last})
    if first and log.camera_from_lidar is not None:
        camera = {CAMERA: np.linalg.inv(log.camera_from_lidar).astype(np.float64)}
        bag.mounts("tf_static", recorded.stamp_ns, result.cloud.frame, camera)


def viewer_file(log: Path, output: Path | None) -> Path:
    """What the viewer writes when there is no screen: beside the bag of results, else here."""
    return Path(f"{log.stem}.rrd") if output is None else output.with_suffix(".rrd")


def run_replay(
    path: Path,
    output: Path | None,
    config: Config,
    report: Path | None,
    viewer: str | None,
    skip_bad: bool,
    json_file: Path | None,
    console: Console,
    learn: bool = False,
    store: Path | None = None,
    seed: int = 0,
    trajectory: Path | None = None,
) -> Summary:
    """``ssl-perception replay``: read, run, write, and say what happened.

    Nothing is left at ``output`` when the run fails. None: results are shown, and not kept.

    Raises:
        InputError: the log or the settings can't be used.
    """
    # the command line has done so for its options; this is for callers from code
    written = {"--out": output, "--report": report, "--json": json_file}
    written["--trajectory"] = trajectory
    check_outputs([path], written | {"--store": store if learn else None})
    log = open_log(
        path,
        config.topics,
        config.teacher.source,
        config.files,
        config.camera,
        config.points,
    )
    summary = Summary(str(path))
    if learn or store is not None:
        summary.trust = TrustTimeline(config.trust)
    collected = summary.report
    live = None
    if viewer is not None:
        from ssl_perception.commands.viewer import Viewer

        live = Viewer(viewer_file(path, output))
    on_bad = (lambda error: summary.skipped.append(str(error))) if skip_bad else None
    with (
        nullcontext() if output is None else OutputBag(output) as bag,
        Perception(config, store, learn, seed, log.camera_from_lidar) as perception,
        progress_bar(console) as bar,
    ):
        summary.skipped += perception.problems
        sectors = config.scan.sectors
        further = None if bag is None else FurtherOutputs(bag, config.outputs, sectors)
        task = bar.add_task(log.name, total=len(log))
        preparing = partial(meanwhile, bar, task, PREPARING)
        for recorded, result in replay(log, perception, on_bad, preparing):
            summary.add(recorded, result)
            summary.sensor_doubt = perception.doubt or summary.sensor_doubt
            if bag is not None and further is not None:
                write_result(bag, recorded, result, perception, further)
                write_frames(bag, recorded, result, summary.trajectory, log)
            collect(collected, recorded, result)
            if live is not None:
                live.show(recorded, result)
            bar.advance(task)
        bar.update(task, total=summary.sweeps + summary.depths)
        if bag is not None:
            write_path(bag, summary.trajectory)
        if not summary.sweeps and not summary.depths:
            raise InputError(f"{path}: not one usable sweep or stereo pair")
        if summary.trust is not None and not summary.depths:
            raise InputError(f"{path}: no stereo pair in it, so nothing for a student")
    summary.latency = collected.latency()
    _print(summary, console)
    unknown = NO_FOOTPRINT if summary.sweeps and not config.collision.has_footprint else ""
    for line in (unknown, summary.mounting_doubt, summary.sensor_doubt):
        if line:
            console.print(line, soft_wrap=True)
    if trajectory is not None:
        summary.trajectory.save(trajectory)
        console.print(f"path     {trajectory}")
    kept = output if output is not None else "not kept; --out FILE.mcap keeps them"
    console.print(f"results  {kept}")
    if learn and store is not None:
        console.print(f"student  {store}")
    if live is not None and live.recording is not None:
        console.print(f"viewer   no screen here; open it with: rerun {live.recording}")
    if report is not None:
        timeline = [] if summary.trust is None else summary.trust.sections()
        frames = (
            f"{summary.images} images"
            if summary.images
            else (f"{summary.stereo_pairs} stereo pairs")
        )
        lead = f"{summary.sweeps} sweeps, {frames}."
        for line in (unknown, summary.mounting_doubt, summary.sensor_doubt):
            lead += f" {line[0].upper()}{line[1:]}." if line else ""
        this_run = provenance(config, summary.skipped)
        sections = [*summary.drive.sections(), *collected.sections(), *timeline, this_run]
        write_html(report, f"Replay of {log.name}", lead, sections)
        console.print(f"report   {report}")
    if json_file is not None:
        write_json(json_file, summary.figures())
    return summary


_LATENCY_LEGEND = (
    "From the decoded input to the result: median, 95th percentile, largest. Student and learner "
    "are parts of stereo pair or image."
)


def _print(summary: Summary, console: Console) -> None:
    counts = dict.fromkeys(summary.latency, summary.depths) | {"sweep": summary.sweeps}
    rows = [(kind, str(counts[kind]), *times) for kind, *times in latency_rows(summary.latency)]
    print_table(("input", "results", "p50 ms", "p95 ms", "max ms"), rows, console)
    console.print(_LATENCY_LEGEND, style="dim")
    if summary.trust is not None:
        _print_trust(summary.trust, console)
    for line in summary.skipped:
        console.print(Text.assemble(("skipped", "yellow"), " ", printable(line)))


def _print_trust(timeline: TrustTimeline, console: Console) -> None:
    figures = timeline.figures()
    if not figures:
        return
    shares = ", ".join(f"{cue} {s:.1f} s" for cue, s in figures["active_cue_seconds"].items() if s)
    console.print(f"active cue: {shares}")
    rates = [f"{k.upper()} {figures[k]:.2f}" for k in ("tpr", "fpr") if figures[k] is not None]
    verdict = "trusted" if figures["trusted"] else "not trusted"
    console.print(f"student: {verdict} at the end" + (f", {', '.join(rates)}" if rates else ""))
    if timeline.untested:
        console.print(timeline.untested, soft_wrap=True)
    first, last = figures["student_error_first"], figures["student_error_last"]
    if last is not None:
        console.print(f"its median error in log depth: {first:.3f} at first, {last:.3f} at the end")
