"""``ssl-perception experiment lidar-teacher``: what a lidar teaches in streets, against the truth.

A label is a cell of the student's grid; its truth is the label that a perfect depth image would
give. The same sweeps and images go to several teachers: the one that ships, one that keeps points
which the camera can't see, one that doesn't carry points on to the image's instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from ssl_perception.config import Config, LidarTeacherConfig, override, preset
from ssl_perception.depth.teacher.lidar import LidarTeacher
from ssl_perception.depth.teacher.pseudo_label import pseudo_label
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.pipeline import Perception
from ssl_perception.runtime.console import print_table, progress_bar
from ssl_perception.types import DepthMap, FloatArray
from ssl_perception_sim.sensors.camera import Frame
from ssl_perception_sim.sensors.lidar import PATTERNS, Lidar, Pattern, Sweep
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.world import World

WRONG = 0.1  # of the true depth
BEAM_GAPS = {"beams16": 0.035, "beams32": 0.024, "beams64": 0.009, "beams128": 0.0065}  # rad


class _Tally:
    """The errors of one teacher's labels.

    Attributes:
        errors: label / truth - 1 of each label, a (n,) array per image.
        cells: of all images, with truth.
        invalid: images for which the teacher's gate was closed.
    """

    def __init__(self) -> None:
        self.errors: list[FloatArray] = []
        self.cells = 0
        self.invalid = 0

    def add(self, label: FloatArray | None, truth: FloatArray) -> None:
        """Take a label (30, 40) and the true one; log depths, NaN unknown."""
        self.cells += int(np.isfinite(truth).sum())
        if label is None:
            self.invalid += 1
            return
        both = np.isfinite(label) & np.isfinite(truth)
        self.errors.append(np.expm1(label[both] - truth[both]))

    def figures(self) -> dict[str, float]:
        """Shares of all labels; ``labelled`` of the cells."""
        errors = np.concatenate([*self.errors, np.empty(0, np.float32)])
        return {
            "labels": len(errors),
            "labelled": len(errors) / max(self.cells, 1),
            "median_error": float(np.median(np.abs(errors))) if len(errors) else float("nan"),
            "wrong": float(np.mean(np.abs(errors) > WRONG)),
            "too_far": float(np.mean(errors > WRONG)),
            "invalid": self.invalid,
        }


def teachers(
    options: LidarTeacherConfig, camera_from_lidar: NDArray[np.float64]
) -> dict[str, LidarTeacher]:
    """The variants that are compared."""
    changes: dict[str, dict[str, Any]] = {
        "as it ships": {},
        "occlusion not handled": {"occlusion": False},
        "points not carried on": {"max_age_unmoved": options.max_age},
    }
    return {
        name: LidarTeacher(options.model_copy(update=change), camera_from_lidar)
        for name, change in changes.items()
    }


def drive(world: World, seconds: float, config: Config, tallies: dict[str, _Tally]) -> None:
    """Drive through a street, and tally every teacher's labels."""
    assert world.camera is not None and world.lidar is not None
    mounted = np.linalg.inv(world.camera.body_from_camera) @ world.lidar.vehicle_from_lidar
    variants = teachers(config.teacher.lidar, mounted)
    perception = Perception(config)
    for _ in range(round(seconds / world.tick)):
        for reading in world.step().readings:
            if isinstance(reading.value, Sweep):
                result = perception.sweep(reading.value.cloud)
                for name, teacher in variants.items():
                    still = name == "points not carried on"
                    teacher.add(result.others, None if still else result.twist)
            elif isinstance(reading.value, Frame):
                pair = reading.value.pair
                perfect = DepthMap(reading.value.depth, pair.camera, pair.stamp)
                truth = pseudo_label(perfect, config.pseudo_label)
                assert truth is not None
                for name, teacher in variants.items():
                    label = pseudo_label(teacher.depth(pair), config.pseudo_label)
                    tallies.setdefault(name, _Tally()).add(label, truth)


def run_lidar_teacher(
    seeds: Sequence[int],
    seconds: float,
    pattern: str,
    settings: Sequence[str],
    json_file: Path | None,
    console: Console,
) -> dict[str, dict[str, float]]:
    """Drive, print the table, write the figures.

    Raises:
        InputError: an unknown pattern or setting, or a file that can't be written.
    """
    if pattern not in PATTERNS:
        raise InputError(f"--lidar {pattern!r} is none of {', '.join(PATTERNS)}")
    gap = f"teacher.lidar.beam_gap={BEAM_GAPS.get(pattern, 0.035)}"
    config = override(preset("street"), ["teacher.source=lidar", gap, *settings])
    kind: Pattern = pattern  # type: ignore[assignment]  # one of them
    tallies: dict[str, _Tally] = {}
    with progress_bar(console) as bar:
        task = bar.add_task("streets", total=len(seeds))
        for seed in seeds:
            drive(worlds.street(seed, seconds, Lidar(pattern=kind)), seconds, config, tallies)
            bar.advance(task)
    figures = {name: tally.figures() for name, tally in tallies.items()}
    rows = [
        (
            name,
            f"{f['labels']:.0f}",
            *(f"{100 * f[key]:.2f}" for key in ("labelled", "median_error", "wrong", "too_far")),
            f"{f['invalid']:.0f}",
        )
        for name, f in figures.items()
    ]
    heads = ("teacher", "labels", "of cells %", "median error %", "wrong %", "too far %", "invalid")
    print_table(heads, rows, console)
    console.print(
        f"Cells of the student's grid against a perfect depth image's; wrong: by more than "
        f"{WRONG:.0%}; too far: by more than {WRONG:.0%} beyond. {pattern}, streets "
        f"{', '.join(str(seed) for seed in seeds)}, {seconds:g} s each."
    )
    if json_file is not None:
        write_json(json_file, {"lidar": pattern, "seeds": list(seeds), "teachers": figures})
    return figures
