"""Flow that includes the ego motion, in FlowNet3D's layout, made of a real pair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ssl_perception import cli
from ssl_perception.datasets import open_flow

EGO = np.array([0.8, 0.05, 0.0], np.float32)  # m that the sensor drives in between


def test_the_ego_motion_is_part_of_the_answer(data: Path, tmp_path: Path) -> None:
    pair = open_flow("pair", data / "lidar_flow_av2_7fab2350")[0]
    assert pair.flow is not None
    folder, figures = tmp_path / "kitti", tmp_path / "f.json"
    folder.mkdir()
    np.savez(
        folder / "000000.npz",
        pos1=pair.source.points - EGO,
        pos2=pair.target.points,
        gt=pair.flow + EGO,
    )
    cli.app(
        ["evaluate", "flow", str(folder), "--dataset", "kitti-scene-flow",
         "--method", "rigid_cluster", "--json", str(figures)],
        standalone_mode=False,
    )  # fmt: skip
    found = json.loads(figures.read_text())["methods"]
    assert set(found) == {"zero", "ego_motion", "rigid_cluster"}
    assert found["zero"]["epe"] > 0.7
    # seen: 0.025 and 0.011 m
    assert found["rigid_cluster"]["epe"] < 0.02
    assert found["rigid_cluster"]["epe"] < found["ego_motion"]["epe"] < 0.05
    assert found["zero"]["epe_dynamic_foreground"] is None, "nobody knows what moves over ground"
    assert found["zero"]["bucketed_dynamic_error"] is None
