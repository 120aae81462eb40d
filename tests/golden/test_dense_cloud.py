"""Ten sweeps of a real street as one cloud: moving things are sharp with flow, smeared without."""

from __future__ import annotations

import itertools
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rosbags.rosbag2 import Reader

from ssl_perception.commands.evaluate_accumulation import run_evaluate_accumulation
from ssl_perception.commands.replay import run_replay
from ssl_perception.config import AccumulationConfig, Config
from ssl_perception.errors import InputError
from ssl_perception.io.bag_log import typestore
from ssl_perception.io.open_log import open_log
from ssl_perception.io.point_cloud2 import decode
from ssl_perception.types import PointCloud


def test_flow_keeps_moving_things_sharp(data: Path, tmp_path: Path) -> None:
    picture = tmp_path / "dense.png"
    figures = run_evaluate_accumulation(
        data / "lidar_seq_kitti_city", Config(), picture, None, Console(file=StringIO())
    )
    assert figures["sweeps"] == 10
    # seen: 1.27 m, 0.43 m, 0.16 m
    assert figures["flow"]["mean"] < 0.25
    assert figures["flow"]["mean"] < 0.5 * figures["ego_motion"]["mean"]
    assert figures["ego_motion"]["mean"] < figures["nothing"]["mean"]
    assert picture.stat().st_size > 10_000


def test_where_nothing_moves_there_is_nothing_to_measure(data: Path) -> None:
    with pytest.raises(InputError, match="nothing moves"):
        run_evaluate_accumulation(
            data / "ros2_bags_reencoded" / "vlp16_points_mcap",
            Config(),
            None,
            None,
            Console(file=StringIO()),
        )


def test_replay_writes_it_when_asked_to(data: Path, tmp_path: Path) -> None:
    log, output = data / "ros2_bags_reencoded" / "vlp16_points_mcap", tmp_path / "out.mcap"
    config = Config(accumulation=AccumulationConfig(sweeps=2, ground=True))
    run_replay(log, output, config, None, None, False, None, Console(file=StringIO()))
    sizes = [len(r.value) for r in open_log(log) if isinstance(r.value, PointCloud)]
    with Reader(output) as reader:
        wanted = [c for c in reader.connections if c.topic == "/points_accumulated"]
        dense = [
            decode(typestore().deserialize_cdr(raw, connection.msgtype))
            for connection, _, raw in reader.messages(wanted)
        ]
    assert [len(cloud) for cloud in dense] == [sizes[0]] + [
        a + b for a, b in itertools.pairwise(sizes)
    ]
    assert all(cloud.time is not None and cloud.time.max() <= 0.0 for cloud in dense)
