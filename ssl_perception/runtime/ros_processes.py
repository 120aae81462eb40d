"""Running the ROS 2 nodes as processes, from code that itself knows no ROS.

The nodes are ``python -m ssl_perception_ros.NAME``: found when the ROS workspace is sourced, or in
the source tree beside this package.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

import yaml
from rich.console import Console

from ssl_perception.config import Config
from ssl_perception.errors import InputError

SOURCE = Path(__file__).resolve().parents[2] / "ros_ws" / "src" / "ssl_perception_ros"
PLAYED = (
    "/points",
    *(f"/{side}/{what}" for side in ("left", "right") for what in ("image_rect", "camera_info")),
)
# A line of a node's log is the same on every machine; "active" is what it logs on activation.
LOG_FORMAT = {
    "RCUTILS_CONSOLE_OUTPUT_FORMAT": "[{severity}] [{time}] [{name}]: {message}",
    "RCUTILS_COLORIZED_OUTPUT": "0",
}
_ACTIVE = re.compile(r"^\[INFO\] \[[\d.]+\] \[[\w.]+\]: active$", re.MULTILINE)
END_PATIENCE = 20.0  # s between asking a process to end and making it; the learner may take 12


def environment(domain: int | None = None) -> dict[str, str]:
    """The environment that the nodes need on this machine.

    Args:
        domain: ROS domain of their own, seen on this machine alone; None: as it is.

    Raises:
        InputError: there is no ROS 2 here, or no nodes.
    """
    values = dict(os.environ)
    if find_spec("rclpy") is None:
        raise InputError("no ROS 2 here: source it, or pip install -r requirements-ros.txt")
    found = find_spec("ssl_perception_ros")
    package = SOURCE if found is None or found.origin is None else Path(found.origin).parents[1]
    if not package.is_dir():
        raise InputError("package ssl_perception_ros not found: source the ROS workspace")
    # also where it was found: this process's path isn't always that of its children
    paths = (str(package), *values.get("PYTHONPATH", "").split(os.pathsep))
    values["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    # ROS from wheels doesn't set it; a sourced ROS does
    values.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    if domain is not None:
        values["ROS_DOMAIN_ID"] = str(domain)
        values["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    return values


class Nodes:
    """Node processes that end together; use it as a context manager, in the main thread.

    Also when this process gets SIGTERM: nodes in groups of their own would go on.

    Attributes:
        processes: by name.
        logs: folder with what each process printed, ``NAME.log``.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = {**environment, **LOG_FORMAT}
        self.logs = logs
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._nodes: dict[str, int] = {}  # in each process

    def start(
        self,
        name: str,
        parameters: Mapping[str, object] | None = None,
        remaps: Mapping[str, str] | None = None,
        files: tuple[Path, ...] = (),
        components: tuple[str, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start ``ssl_perception_ros.NAME`` in a process group of its own.

        Args:
            components: the nodes of a ``component_container``.
        """
        module = f"ssl_perception_ros.{name}"
        arguments = [sys.executable, "-m", module, *components, "--ros-args"]
        for file in files:
            arguments += ["--params-file", str(file)]
        for key, value in (parameters or {}).items():
            text = yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
            arguments += ["-p", f"{key}:={text}"]
        for old, new in (remaps or {}).items():
            arguments += ["-r", f"{old}:={new}"]
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                arguments,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self._nodes[name] = max(1, len(components))
        return process

    def ready(self, seconds: float) -> None:
        """Wait until every node has logged that it is active.

        Raises:
            InputError: one ended, or it takes longer than ``seconds``.
        """
        until = time.monotonic() + seconds
        for name, process in self.processes.items():
            log = self.logs / f"{name}.log"
            while len(_ACTIVE.findall(log.read_text(errors="replace"))) < self._nodes.get(name, 1):
                if process.poll() is not None:
                    raise InputError(f"node {name} ended: {self.last(name)}")
                if time.monotonic() > until:
                    raise InputError(f"node {name} isn't active after {seconds:g} s")
                time.sleep(0.05)

    def wait(self, name: str, seconds: float) -> int:
        """Exit code of a process that ends by itself.

        Raises:
            InputError: it goes on for longer than ``seconds``, or another one died.
        """
        until = time.monotonic() + seconds
        while (code := self.processes[name].poll()) is None:
            for other, process in self.processes.items():
                if process.poll() not in (None, 0):
                    raise InputError(
                        f"node {other} ended with {process.returncode}: {self.last(other)}"
                    )
            if time.monotonic() > until:
                raise InputError(f"node {name} goes on after {seconds:g} s: {self.last(name)}")
            time.sleep(0.05)
        return code

    def last(self, name: str) -> str:
        """The last line that a process printed."""
        lines = (self.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def stop(self) -> dict[str, int]:
        """Ask all to end (SIGINT), then make them; exit codes by name."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        until = time.monotonic() + END_PATIENCE
        for process in self.processes.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return {name: process.returncode for name, process in self.processes.items()}

    def failures(self) -> dict[str, str]:
        """Stop all; who ended with another code than 0, and the last line that it printed."""
        return {
            name: f"ended with {code}: {self.last(name)}"
            for name, code in self.stop().items()
            if code != 0
        }

    def __enter__(self) -> Nodes:
        def leave(number: int, frame: object) -> None:
            raise SystemExit(128 + number)

        self._before = signal.signal(signal.SIGTERM, leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._before)


def through_nodes(log: Path, output: Path, config: Config, console: Console) -> None:
    """Play a log to ``scene_flow``, ``stereo_depth`` and ``obstacle_distance``; record them.

    Raises:
        InputError: no ROS 2 here, or a node failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / "parameters.yaml"
        values = config.model_dump(mode="json")
        # nothing skipped, and no scans made up once the log has ended
        values |= {"queue": 1000, "timeout": 3600.0}
        everything = {"/**": {"ros__parameters": values}}
        parameters.write_text(yaml.safe_dump(everything), encoding="utf-8")
        with Nodes(environment(domain=os.getpid() % 100 + 1), Path(folder)) as nodes:
            nodes.start("bag_recorder", {"output": str(output.resolve()), "idle": 10.0})
            for name in ("scene_flow", "stereo_depth", "obstacle_distance"):
                nodes.start(name, files=(parameters,))
            with console.status("starting the nodes ..."):
                nodes.ready(300.0)
            nodes.start("bag_player", {"bag": str(log.resolve()), "topics": " ".join(PLAYED)})
            with console.status("playing at the log's own rate ..."):
                if nodes.wait("bag_player", 3600.0) != 0:
                    raise InputError(f"bag_player failed: {nodes.last('bag_player')}")
                nodes.wait("bag_recorder", 600.0)
    if not output.is_file():
        raise InputError(f"{output}: the nodes said nothing")
