"""``ssl-perception doctor``: what this installation can do, and what it lacks; or whether the
sensors of a log are fit to start with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ssl_perception.config import Config
from ssl_perception.runtime.installation import PARTS, examine


def run_doctor(json_file: Path | None, console: Console) -> None:
    """Print the findings."""
    from ssl_perception.io.write import write_json

    found = examine()
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "version", "how to get it"):
        table.add_column(heading)
    for part, (_, way) in PARTS.items():
        have = found["parts"][part]
        table.add_row(part, have or Text("missing", "yellow"), "" if have else way)
    ros = found["ros2"]
    table.add_row(
        "ROS 2 nodes (rclpy)",
        ros or Text("missing", "yellow"),
        "" if ros else "source your ROS 2, or pip install -r requirements-ros.txt",
    )
    console.print(table)
    host = found["machine"]
    console.print(f"{host['processor']}, {host['cores']} cores, Python {host['python']}")
    console.print(f"CUDA device: {found['cuda_device'] or 'none; everything runs on the CPU'}")
    console.print(
        f"ONNX Runtime providers: {', '.join(found['onnxruntime_providers'] or ['none'])}"
    )
    if json_file is not None:
        write_json(json_file, found)


def run_preflight(
    path: Path, config: Config, seconds: float, json_file: Path | None, console: Console
) -> None:
    """Check the sensors of a log, by its first seconds.

    Raises:
        InputError: the log can't be read.
        typer.Exit: with code 1, something is wrong.
    """
    from ssl_perception.io.open_log import open_log
    from ssl_perception.io.write import write_json
    from ssl_perception.preflight import preflight
    from ssl_perception.runtime.console import announce_compilation, print_table
    from ssl_perception.warm_up import time_to_warm, warm_up

    teacher = config.teacher.source
    log = open_log(path, config.topics, teacher, config.files, config.camera, config.points)
    if time_to_warm(config.flow.method) is not None:
        announce_compilation(console)
        warm_up(config)
    found = preflight(log, config, seconds)
    header = ("topic", "messages", "Hz", "jitter ms", "missing", "frame")
    print_table(header, [_row(stream) for stream in found.streams], console)
    for name, value in found.figures.items():
        console.print(f"{name.replace('_', ' ')}: {value:.3g}", soft_wrap=True)
    for line in found.unknown:
        console.print(f"not checked: {line}", soft_wrap=True)
    for finding in found.findings:
        text = Text.assemble(("wrong: ", "bold yellow"), f"{finding.subject}: {finding.wrong}")
        console.print(text, soft_wrap=True)
        console.print(f"       {finding.mend}", soft_wrap=True)
    if json_file is not None:
        write_json(json_file, {"log": str(path), "seconds": seconds, **found.plain()})
    if found.findings:
        raise typer.Exit(1)
    console.print("nothing wrong found")


def _row(stream: dict[str, Any]) -> tuple[str, ...]:
    figures = (stream["hz"], stream["jitter_ms"])
    hz, jitter = ("-" if math.isnan(figure) else f"{figure:.3g}" for figure in figures)
    return (
        stream["topic"],
        str(stream["messages"]),
        hz,
        jitter,
        str(stream["missing"]),
        stream["frame"],
    )
