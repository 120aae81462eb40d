"""``ssl-perception doctor``: what this installation can do, and what it lacks."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

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
