"""``ssl-perception bench depth``: how long each part of depth takes here, on one thread."""

from __future__ import annotations

import os
import platform
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config, ScanConfig, StereoConfig
from ssl_perception.depth.learning.checkpoint import Checkpoint
from ssl_perception.depth.learning.learner import Learner
from ssl_perception.depth.student.architecture import SIZES
from ssl_perception.depth.student.inference import StudentInference
from ssl_perception.depth.student.textons import Textons
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.io.model_store import ModelStore
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.scan import obstacle_scan
from ssl_perception.runtime.resident_memory import resident_megabytes
from ssl_perception.types import CameraModel, StereoPair

ASKED = {"mono inference": 1.0, "learning step": 45.0}  # ms, from the design


class Timing(NamedTuple):
    """Milliseconds. On a busy machine ``cpu`` is the part that is ours."""

    median: float
    p99: float
    cpu: float


_CAMERA = CameraModel(320, 240, 208.5, 208.5, 159.5, 119.5)
_SWAP_SECONDS, _FRAME_SECONDS = 3.0, 1 / 30


def run_bench_depth(config: Config, json_file: Path | None, out: Console, frames: int = 0) -> None:
    """Measure on made-up 320x240 pictures; the times don't depend on what is in them.

    Args:
        frames: of a long run of the learner besides, each another picture; 0: none.
    """
    cv2.setNumThreads(1)
    pair = _pair()
    matcher = StereoMatcher(StereoConfig(disparities=32))
    depth = matcher.depth(pair)
    size = SIZES[config.student.size]
    target = pseudo_label(depth, config.pseudo_label, size.grid)
    assert depth.valid and target is not None, depth.reason
    scan = ScanConfig(range_max=8.0, below=0.35, above=0.3)

    learner = Learner(config.learner, seed=0, architecture=size)
    for _ in range(12):
        learner.step(pair.left, target)
    mono = StudentInference(config.student)
    mono.load(learner.weights(), 0)
    textons = Textons(config.textons)
    for k in range(config.textons.dictionary_frames + 60):
        textons.learn(np.roll(pair.left, 3 * k, axis=1), 1.0 + 0.01 * k)

    rows = {
        "stereo match, 32 disparities": _time(lambda: matcher.match(pair), 60),
        "obstacle scan": _time(lambda: obstacle_scan(depth, scan), 200),
        "label": _time(lambda: pseudo_label(depth, config.pseudo_label, size.grid), 200),
        "mono inference": _time(lambda: mono.predict(pair.left), 500),
        "learning step": _time(lambda: learner.step(pair.left, target), 80),
        "textons inference": _time(lambda: textons.predict(pair.left), 200),
        "build and load a model": _time(lambda: mono.load(learner.weights(), 1), 20),
    }
    with tempfile.TemporaryDirectory() as folder, ModelStore(Path(folder)) as store:
        checkpoint = Checkpoint(store)
        rows["save a generation"] = _time(lambda: checkpoint.save(learner), 10)
    swap = _swap(mono, learner, pair.left)

    table = Table("part", "median ms", "p99 ms", "cpu ms", "asked ms")
    for name, (median, p99, cpu) in rows.items():
        table.add_row(
            name, f"{median:.2f}", f"{p99:.2f}", f"{cpu:.2f}", f"{ASKED[name]:g}"
            if name in ASKED else "",
        )  # fmt: skip
    out.print(table)
    out.print(
        f"hot swap: {swap['swaps']} models while {swap['frames']} frames came at 30 Hz, "
        f"{swap['lost']} lost, slowest {swap['slowest_ms']:.1f} ms"
    )
    out.print(f"providers in use: {', '.join(mono.providers)}")
    endurance = _endure(config, pair.left, target, frames) if frames else None
    if endurance is not None:
        out.print(
            f"{frames} frames learnt: a step's p99 {endurance['first_p99_ms']:.1f} ms of processor "
            f"time in the first thousand, {endurance['last_p99_ms']:.1f} in the last; resident "
            f"memory {endurance['full_mb']:.0f} MB when the replay memory was full, "
            f"{endurance['end_mb']:.0f} MB at the end"
        )
    if json_file is not None:
        report = {
            "ms": {name: timing._asdict() for name, timing in rows.items()},
            "asked_ms": ASKED,
            "swap": swap,
            "endurance": endurance,
            "providers": mono.providers,
            "machine": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "versions": {
                "opencv": cv2.__version__,
                "onnxruntime": onnxruntime.__version__,
                "torch": torch.__version__,
            },
        }
        write_json(json_file, report)


def _pair() -> StereoPair:
    noise = np.random.default_rng(0).standard_normal((240, 400)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    scene = np.clip(128 + 40 * smooth / smooth.std(), 0, 255).astype(np.uint8)
    left, right = (cv2.cvtColor(scene[:, x : x + 320], cv2.COLOR_GRAY2BGR) for x in (0, 9))
    return StereoPair(np.asarray(left, np.uint8), np.asarray(right, np.uint8), _CAMERA, 0.06)


def _time(work: Callable[[], object], count: int) -> Timing:
    """Wall and processor time of ``count`` rounds, after a tenth as many to warm up."""
    for _ in range(max(2, count // 10)):
        work()
    wall, cpu = [], []
    for _ in range(count):
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        cpu.append(time.process_time() - cpu_start)
        wall.append(time.perf_counter() - start)
    ms = 1e3 * np.array(wall)
    return Timing(float(np.median(ms)), float(np.quantile(ms, 0.99)), 1e3 * float(np.median(cpu)))


def _endure(config: Config, image: np.ndarray, target: np.ndarray, frames: int) -> dict[str, float]:
    """Learn many different frames; whether steps get slower or memory grows.

    Steps are timed in processor time: a long run meets whatever else the machine does.
    """
    learner = Learner(config.learner, seed=0, architecture=SIZES[config.student.size])
    random = np.random.default_rng(0)
    thousand = min(1000, frames // 2)
    taken = np.empty(frames)
    full_mb = 0.0
    for k in range(frames):
        picture = np.roll(image, int(random.integers(320)), axis=1)
        picture = np.asarray(cv2.convertScaleAbs(picture, alpha=random.uniform(0.5, 1.5)), np.uint8)
        depth = target + np.float32(random.uniform(-0.5, 0.5))
        start = time.process_time()
        learner.step(picture, depth)
        taken[k] = time.process_time() - start
        if not full_mb and (len(learner.memory) >= config.learner.memory.frames or k == frames - 1):
            full_mb = resident_megabytes()
    ms = 1e3 * taken
    return {
        "frames": frames,
        "first_p99_ms": float(np.quantile(ms[:thousand], 0.99)),
        "last_p99_ms": float(np.quantile(ms[-thousand:], 0.99)),
        "full_mb": full_mb,
        "end_mb": resident_megabytes(),
    }


def _swap(mono: StudentInference, learner: Learner, image: np.ndarray) -> dict[str, float]:
    """Exchange models from another thread while frames come at 30 Hz.

    A frame is lost when its answer isn't there before the next one comes.
    """
    weights = learner.weights()
    stop = threading.Event()
    swaps = 0

    def exchange() -> None:
        nonlocal swaps
        while not stop.is_set():
            swaps += 1
            mono.load(weights, swaps)
            stop.wait(0.1)

    thread = threading.Thread(target=exchange)
    thread.start()
    frames = lost = 0
    slowest = 0.0
    due = time.perf_counter()
    end = due + _SWAP_SECONDS
    while due < end:
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        answered = mono.predict(image) is not None
        taken = time.perf_counter() - start
        frames += 1
        lost += (not answered) or taken > _FRAME_SECONDS
        slowest = max(slowest, taken)
        due += _FRAME_SECONDS
    stop.set()
    thread.join()
    return {"swaps": swaps, "frames": frames, "lost": lost, "slowest_ms": 1e3 * slowest}
