"""Watch a run in Rerun: the cloud coloured by speed, the image, its depth and the scan.

Needs the ``viewer`` extra. With a screen the viewer opens; without one everything goes into a
``.rrd`` file to open later with ``rerun FILE.rrd``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

from ssl_perception.evaluation.pictures import FULL_SPEED, SPEED_MAP
from ssl_perception.flow.online.sweep_flow import SweepFlow
from ssl_perception.runtime.extras import needs_extra
from ssl_perception.types import CameraImage, StereoPair

if TYPE_CHECKING:
    from ssl_perception.depth.result import DepthResult
    from ssl_perception.io.log import Recorded

STATIC_COLOUR = (154, 163, 173)
GROUND_COLOUR = (90, 96, 102)


class Viewer:
    """Shows each result as it comes.

    Args:
        recording: file to write when there is no screen.

    Raises:
        InputError: rerun-sdk is not installed.
    """

    def __init__(self, recording: Path) -> None:
        with needs_extra("--viewer rerun"):
            import rerun
        self._rerun = rerun
        screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
        rerun.init("ssl_perception", spawn=screen)
        self.recording = None if screen else recording
        if self.recording is not None:
            rerun.save(str(self.recording))
        rerun.log("/", rerun.ViewCoordinates.FLU, static=True)

    def show(self, recorded: Recorded, result: SweepFlow | DepthResult) -> None:
        """Log one result at its source's stamp."""
        rerun = self._rerun
        rerun.set_time("sensor", timestamp=recorded.stamp_ns * 1e-9)
        if isinstance(result, SweepFlow):
            points = result.cloud.points
            colours = np.empty((len(points), 3), np.uint8)
            colours[:] = STATIC_COLOUR
            colours[result.ground] = GROUND_COLOUR
            moving = result.flow.moving
            velocity = result.flow.velocity[moving]
            speed = np.linalg.norm(velocity, axis=1) / FULL_SPEED
            colours[moving] = (colormaps[SPEED_MAP](speed)[:, :3] * 255).astype(np.uint8)
            rerun.log("lidar", rerun.Points3D(points, colors=colours))
            rerun.log("lidar/flow", rerun.Arrows3D(origins=points[moving], vectors=velocity))
        else:
            assert isinstance(recorded.value, StereoPair | CameraImage)
            rerun.log("camera/left", rerun.Image(_rgb(recorded.value.image)))
            depth = np.nan_to_num(result.depth.depth)  # Rerun draws 0 as "no depth"
            rerun.log("camera/depth", rerun.DepthImage(depth, meter=1.0))
            scan = result.scan
            hit = np.isfinite(scan.ranges)
            ahead = scan.ranges[hit] * np.cos(scan.angles[hit])
            left = scan.ranges[hit] * np.sin(scan.angles[hit])
            rerun.log("scan", rerun.Points3D(np.stack([ahead, left, np.zeros_like(left)], 1)))


def _rgb(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1] if image.ndim == 3 else image
