"""Images and camera_infos as drivers send them, for tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_perception.types import CameraModel


def image_message(pixels: NDArray[Any], encoding: str = "mono8") -> Any:
    height, width = pixels.shape[:2]
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=pixels.nbytes // height,
        data=pixels.tobytes(),
    )


def info_message(camera: CameraModel, shift: float = 0.0, **given: Any) -> Any:
    """A rectified camera's CameraInfo; ``shift`` is P[3]."""
    k = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    p = np.column_stack([k, [shift, 0, 0]])
    whole = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    fields: dict[str, Any] = {
        "header": SimpleNamespace(frame_id=camera.frame),
        "width": camera.width,
        "height": camera.height,
        "distortion_model": "plumb_bob",
        "d": np.zeros(5),
        "k": k.reshape(-1),
        "r": np.eye(3).reshape(-1),
        "p": p.reshape(-1),
        "binning_x": 0,
        "binning_y": 0,
        "roi": whole,
    }
    return SimpleNamespace(**{**fields, **given})
