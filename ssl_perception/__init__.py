"""Online self-supervised perception: lidar scene flow and depth that teaches itself.

The names in ``__all__`` are the public face, and stay. Everything else can be imported from its
module but may change with any version. Each name loads its module on first use, so that ``import
ssl_perception`` takes no time.

>>> import numpy as np
>>> from ssl_perception import PointCloud, estimate_flow
>>> wall = np.stack(np.meshgrid([10.0], np.arange(-3, 3, 0.1), np.arange(0, 2, 0.1)), -1)
>>> cloud = PointCloud(wall.reshape(-1, 3), stamp=0.0)
>>> later = PointCloud(cloud.points, stamp=0.1)
>>> flow = estimate_flow(cloud, later, method="rigid_cluster")
>>> flow.flow.shape, bool(flow.moving.any())
((1200, 3), False)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_perception.version import __version__

if TYPE_CHECKING:
    from ssl_perception.config import Config
    from ssl_perception.errors import InputError
    from ssl_perception.flow import estimate_flow
    from ssl_perception.pipeline import Perception
    from ssl_perception.types import (
        CameraImage,
        CameraModel,
        DepthMap,
        ObstacleScan,
        Odometry,
        PointCloud,
        SceneFlow,
        StereoPair,
    )

__all__ = [
    "CameraImage",
    "CameraModel",
    "Config",
    "DepthMap",
    "InputError",
    "ObstacleScan",
    "Odometry",
    "Perception",
    "PointCloud",
    "SceneFlow",
    "StereoPair",
    "__version__",
    "estimate_flow",
]

_MODULES = {
    "Config": "ssl_perception.config",
    "InputError": "ssl_perception.errors",
    "Perception": "ssl_perception.pipeline",
    "estimate_flow": "ssl_perception.flow",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "ssl_perception.types")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
