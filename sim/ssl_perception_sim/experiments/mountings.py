"""``ssl-perception evaluate mountings``: one street, seen by lidars mounted in other ways."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.flow.online.online import OnlineFlow
from ssl_perception.io.write import write_json
from ssl_perception.runtime.console import print_table, progress_bar
from ssl_perception_sim.recording.pairs import street_sweeps
from ssl_perception_sim.sensors.lidar import Lidar, Pattern

AHEAD = 1.9  # m: over the bonnet's end, where a low lidar sees the road
SETTLE = 4  # sweeps before the score begins
LEAST_POINTS, NEAR = 20, 40.0  # of an object that is to be found, and m to it


def _lidar(
    height: float = 1.75,
    roll: float = 0.0,
    pitch: float = 0.0,
    pattern: Pattern = "beams64",
) -> Lidar:
    tilt = (np.deg2rad(roll), np.deg2rad(pitch), 0.0)
    return Lidar(pattern=pattern, mount=(AHEAD, 0.0, height), tilt=tilt)


MOUNTINGS: dict[str, Lidar] = {
    "default": _lidar(),
    "0.3 m": _lidar(0.3),
    "0.6 m": _lidar(0.6),
    "1.2 m": _lidar(1.2),
    "2.5 m": _lidar(2.5),
    "pitch 10": _lidar(pitch=10.0),
    "pitch 20": _lidar(pitch=20.0),
    "pitch -20": _lidar(pitch=-20.0),
    "roll 10": _lidar(roll=10.0),
    "roll 20": _lidar(roll=20.0),
    # upside down and level, the 64 beams look up: they meet the road beyond 50 m only
    "upside down": _lidar(roll=180.0, pattern="beams128"),
    "upside down, pitch 15": _lidar(roll=180.0, pitch=15.0),
    "16 beams": _lidar(pattern="beams16"),
    "32 beams": _lidar(pattern="beams32"),
    "128 beams": _lidar(pattern="beams128"),
    "rosette": _lidar(pattern="rosette"),
}


def score_mounting(lidar: Lidar, seed: int, seconds: float, config: Config) -> dict[str, Any]:
    """One drive through one street.

    Returns:
        ``false_points``: points of static things said to move, and ``sweeps`` they are of;
        ``found`` of ``movers``: things faster than 0.5 m/s of which more than half the points are
        said to move, counted in each sweep; ``height`` m, ``tilt_error`` degrees found in the end,
        None: no ground; ``doubt``.
    """
    online = OnlineFlow(config)
    false = found = movers = sweeps = 0
    result = None
    for k, sweep in enumerate(street_sweeps(seed, seconds, lidar)):
        result = online.process(sweep.cloud)
        if k < SETTLE:
            continue
        sweeps += 1
        claimed = result.flow.moving
        false += int(np.count_nonzero(claimed & ~sweep.moving))
        near = np.linalg.norm(sweep.cloud.points, axis=1) < NEAR
        known = near & (result.flow.confidence > 0.0) & sweep.moving
        for number in np.unique(sweep.object_id[known]):
            of = known & (sweep.object_id == number)
            if np.count_nonzero(of) >= LEAST_POINTS:
                movers += 1
                found += int(claimed[of].mean() > 0.5)
    assert result is not None
    mounting = result.mounting
    up = lidar.vehicle_from_lidar[2, :3]  # against the car, which follows the road's slope
    return {
        "false_points": false,
        "sweeps": sweeps,
        "found": found,
        "movers": movers,
        "height": None if mounting is None else mounting.height,
        "tilt_error": None
        if mounting is None
        else float(np.degrees(np.arccos(np.clip(mounting.up @ up, -1.0, 1.0)))),
        "doubt": result.doubt,
    }


def run_evaluate_mountings(
    seeds: Sequence[int],
    names: Sequence[str],
    seconds: float,
    config: Config,
    json_file: Path | None,
    console: Console,
) -> dict[str, Any]:
    """Score each mounting on each street, print the table, write the figures.

    Raises:
        InputError: an unknown mounting.
    """
    for name in names:
        if name not in MOUNTINGS:
            raise InputError(f"--mounting {name}: choose from {', '.join(MOUNTINGS)}")
    rows: list[dict[str, Any]] = []
    with progress_bar(console) as bar:
        task = bar.add_task("mountings", total=len(names) * len(seeds))
        for name in names:
            parts = []
            for seed in seeds:
                parts.append(score_mounting(MOUNTINGS[name], seed, seconds, config))
                bar.advance(task)
            rows.append({"mounting": name, **_joined(MOUNTINGS[name], parts)})
    lines = [
        [
            row["mounting"],
            f"{row['true_height']:.2f}",
            _cell(row["height"]),
            _cell(row["tilt_error"]),
            f"{row['false_per_sweep']:.1f}",
            _cell(row["recall"]),
            str(row["movers"]),
        ]
        for row in rows
    ]
    heads = ["mounting", "true m", "found m", "tilt off", "false", "recall", "of"]
    print_table(heads, lines, console)
    console.print(
        "found m: height found at the end, tilt off: degrees that its tilt is off, the worst "
        "street's; false: static points said to move, a sweep; recall: share of what moves "
        "faster than about 0.5 m/s of which more than half the points are said to move",
        style="dim",
    )
    figures = {"seeds": list(seeds), "seconds": seconds, "results": rows}
    if json_file is not None:
        write_json(json_file, figures)
    return figures


def _joined(lidar: Lidar, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    movers = sum(part["movers"] for part in parts)
    height = lidar.mount[2]
    known = [part for part in parts if part["height"] is not None]
    worst = max(known, key=lambda part: abs(part["height"] - height)) if known else None
    return {
        "true_height": height,
        "height": None if worst is None else worst["height"],
        "tilt_error": max((part["tilt_error"] for part in known), default=None),
        "without_ground": len(parts) - len(known),
        "false_per_sweep": sum(p["false_points"] for p in parts) / sum(p["sweeps"] for p in parts),
        "recall": sum(part["found"] for part in parts) / movers if movers else None,
        "movers": movers,
        "doubts": sorted({part["doubt"] for part in parts} - {""}),
    }


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
