"""What this machine and this installation have."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ssl_perception.version import __version__

LEARNING = "learning, flow solvers by gradient (torch)"
# What works with it -> distributions any of which gives it, and the way to get it.
PARTS: dict[str, tuple[tuple[str, ...], str]] = {
    LEARNING: (("torch",), "pip install 'ssl-perception[learning]'"),
    "fast flow solvers (numba)": (("numba",), "core"),
    "ego motion (small_gicp)": (("small-gicp",), "core"),
    "ground (Patchwork++)": (("pypatchworkpp",), "x86-64 alone; without it a grid of planes"),
    "stereo, images (OpenCV)": (("opencv-python-headless", "opencv-python"), "core"),
    "bags without ROS (rosbags)": (("rosbags",), "core"),
    "mono depth inference (ONNX Runtime)": (
        ("onnxruntime", "onnxruntime-gpu"),
        "pip install 'ssl-perception[cpu]' or '[gpu]'",
    ),
    "simulator, demo (embreex)": (("embreex",), "pip install 'ssl-perception[sim]'"),
    "Argoverse 2 (pyarrow)": (("pyarrow",), "pip install 'ssl-perception[datasets]'"),
    "live viewer (rerun)": (("rerun-sdk",), "pip install 'ssl-perception[viewer]'"),
    "3-D viewer (Open3D)": (("open3d",), "pip install 'ssl-perception[viewer]'"),
    "batch on a cluster (Ray)": (("ray",), "pip install 'ssl-perception[cluster]'"),
}


def _installed(names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _ros() -> str | None:
    try:
        import_module("rclpy")
    except ImportError:
        return None
    return os.environ.get("ROS_DISTRO", "from wheels")


def _gpu() -> str | None:
    try:
        torch = import_module("torch")
    except ImportError:  # installed, and broken
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def machine() -> dict[str, Any]:
    """What figures were measured on: kept with every JSON that holds some."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def examine() -> dict[str, Any]:
    """All findings, ready for JSON; a part that is missing is None."""
    parts = {part: _installed(names) for part, (names, _) in PARTS.items()}
    providers = None
    if parts["mono depth inference (ONNX Runtime)"]:
        providers = import_module("onnxruntime").get_available_providers()
    return {
        "ssl_perception": __version__,
        "machine": machine(),
        "parts": parts,
        "cuda_device": _gpu() if parts[LEARNING] else None,
        "onnxruntime_providers": providers,
        "ros2": _ros(),
    }
