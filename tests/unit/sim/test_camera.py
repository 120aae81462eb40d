"""What the rendered stereo camera sees: exact depth, real stereo on it, and its failures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ssl_perception_sim.recording.pairs import room_frames
from ssl_perception_sim.sensors import camera
from ssl_perception_sim.sensors.camera import StereoRig
from ssl_perception_sim.world import worlds
from ssl_perception_sim.world.materials import INDEX
from ssl_perception_sim.world.room import RoomPlan
from ssl_perception_sim.world.world_file import parse


def matcher() -> cv2.StereoSGBM:
    mode = cv2.STEREO_SGBM_MODE_SGBM_3WAY
    return cv2.StereoSGBM.create(0, 32, 5, 200, 800, 1, 0, 10, 100, 2, mode)


def stereo_errors(plan: RoomPlan, seed: int, count: int) -> tuple[np.ndarray, float]:
    """Relative depth errors of SGBM where it answers, and the share where it does."""
    errors, answered = [], []
    for frame in room_frames(seed, count, plan):
        pair = frame.pair
        disparity = matcher().compute(pair.left, pair.right).astype(np.float32) / 16
        with np.errstate(divide="ignore"):
            depth = pair.camera.fx * pair.baseline / disparity
        seen = (disparity > 0) & (frame.depth > 0.45)
        errors.append(np.abs(depth - frame.depth)[seen] / frame.depth[seen])
        answered.append((disparity > 0).mean())
    return np.concatenate(errors), float(np.mean(answered))


def test_stereo_agrees_with_true_depth_on_textured_walls() -> None:
    plan = RoomPlan(walls=("brick", "posters", "stripes", "checker"))
    errors, answered = stereo_errors(plan, 5, 8)
    assert np.median(errors) <= 0.025
    assert answered > 0.6
    assert (errors > 0.25).mean() < 0.05


def test_stereo_is_fooled_by_blank_walls_as_in_reality() -> None:
    plan = RoomPlan(walls=("blank", "blank", "blank", "blank"), clutter=0, contrast=0.0)
    errors, answered = stereo_errors(plan, 5, 6)
    assert answered > 0.2  # it answers all the same
    assert (errors > 0.25).mean() > 0.25  # and is wrong


def test_depth_is_exact() -> None:
    world = worlds.build(
        parse({
            "kind": "room", "seed": 1, "room": {"size": [8, 8, 3], "clutter": 0},
            "things": [{"size": [0.5, 8, 3], "position": [3.25, 0, 0], "material": "checker"}],
        })
    )  # fmt: skip
    from ssl_perception_sim.world.motion import Still

    assert world.camera is not None
    here = np.array([0.5, 0.0, 1.4])
    frame = world.camera.capture(Still(np.eye(3), here), 0.0, 0)
    ahead = frame.depth[100:140, 120:200]
    # the camera is 0.08 m ahead of the body: 3.0 - 0.58 to the thing's face
    assert np.abs(ahead - 2.42).max() < 1e-4
    assert (frame.object_id[100:140, 120:200] == 10_000).all()


def test_the_right_image_is_the_left_one_shifted_by_the_disparity() -> None:
    (frame,) = room_frames(6, 1, RoomPlan(walls=("checker",) * 4, clutter=0))
    pair = frame.pair
    columns = np.arange(320, dtype=np.float32)
    shift = pair.camera.fx * pair.baseline / frame.depth
    rows = np.repeat(np.arange(240, dtype=np.float32)[:, None], 320, 1)
    rebuilt = cv2.remap(pair.right, columns - shift, rows, cv2.INTER_LINEAR)
    inside = (columns - shift) > 1
    difference = np.abs(rebuilt.astype(int) - pair.left.astype(int)).mean(2)[inside]
    plain = np.abs(pair.right.astype(int) - pair.left.astype(int)).mean(2)[inside]
    assert np.median(difference) < 6
    assert difference.mean() < 0.5 * plain.mean()


@pytest.mark.parametrize(("seed", "side", "index"), [(3, "left", 141), (3, "right", 2137)])
def test_a_still_camera_never_repeats_an_image(seed: int, side: str, index: int) -> None:
    """Once in 12,707 frames the noise of two in a row would be the same."""
    from ssl_perception_sim.world.motion import Still

    camera = worlds.room(seed).camera
    assert camera is not None
    before, here, after = (
        getattr(camera.capture(Still(np.eye(3), np.array([0.0, 0.0, 1.2])), 0.0, k).pair, side)
        for k in (index, index + 1, index + 2)
    )
    assert not np.array_equal(before, here)
    assert not np.array_equal(here, after)


@pytest.fixture
def broken_room() -> dict[str, object]:
    return {"kind": "room", "seed": 2, "room": {"clutter": 2}, "camera": {"mount": [0.08, 0.03, 0]}}


def frames(values: dict[str, object], steps: int) -> list:
    world = worlds.build(parse(values))
    return [frame for _ in range(steps) for frame in world.step().frames]


def test_camera_faults_hold_from_their_start(broken_room: dict[str, object]) -> None:
    broken_room["faults"] = [
        {"fault": "camera_black", "side": "left", "start": 0.15, "end": 0.25},
        {"fault": "camera_frozen", "side": "right", "start": 0.35},
        {"fault": "camera_blank", "side": "left", "start": 0.45},
    ]
    seen = frames(broken_room, 5)
    assert seen[0].pair.left.std() > 5
    assert seen[1].pair.left.max() == 0
    assert seen[1].pair.right.std() > 5
    assert seen[2].pair.left.std() > 5
    assert np.array_equal(seen[3].pair.right, seen[2].pair.right)
    assert np.array_equal(seen[4].pair.right, seen[2].pair.right)
    assert not np.array_equal(seen[2].pair.right, seen[1].pair.right)
    assert seen[4].pair.left.std() == 0


def test_a_knocked_camera_spoils_the_rows(broken_room: dict[str, object]) -> None:
    straight = frames(broken_room, 1)[0]
    broken_room["faults"] = [{"fault": "camera_decalibrated", "angle": 1.0}]
    knocked = frames(broken_room, 1)[0]
    assert np.array_equal(straight.pair.left, knocked.pair.left)
    assert np.abs(straight.pair.right.astype(int) - knocked.pair.right).mean() > 3


def test_dirt_stays_where_it_is(broken_room: dict[str, object]) -> None:
    clean = frames(broken_room, 2)
    broken_room["faults"] = [{"fault": "camera_dirt", "side": "left", "share": 0.3}]
    dirty = frames(broken_room, 2)
    spots = [
        (np.abs(c.pair.left.astype(int) - d.pair.left).max(2) > 15)
        for c, d in zip(clean, dirty, strict=True)
    ]
    assert 0.1 < spots[0].mean() < 0.5
    assert (spots[0] == spots[1]).mean() > 0.9
    assert np.array_equal(clean[0].pair.right, dirty[0].pair.right)


def test_turning_smears_the_picture() -> None:
    from ssl_perception_sim.world.motion import Arc

    def sharpness(yaw_rate: float) -> float:
        world = worlds.room(
            8, RoomPlan(walls=("checker",) * 4, clutter=0), StereoRig(exposure=0.02)
        )
        assert world.camera is not None
        motion = Arc(np.array([0.0, 0.0, 1.2]), 0.0, 0.0, yaw_rate)
        image = world.camera.capture(motion, 0.0, 0).pair.left
        return float(np.abs(np.diff(image.astype(float), axis=1)).mean())

    assert sharpness(4.0) < 0.75 * sharpness(0.0)


def test_the_sky_is_found_where_the_materials_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number is the order of the materials, which a compiled kernel must not keep."""
    rig = {"width": 96, "height": 64}
    street = {"kind": "street", "seed": 1, "street": {"length": 40}, "camera": rig}
    world = worlds.build(parse(street))
    from ssl_perception_sim.world.motion import Still

    assert world.camera is not None
    still = Still(np.eye(3), np.array([0.0, 0.0, 1.5]))
    before = world.camera.capture(still, 0.0, 0)
    sky = np.isnan(before.depth)
    assert sky.mean() > 0.05
    monkeypatch.setattr(camera, "SKY", INDEX["checker"])
    after = world.camera.capture(still, 0.0, 0)
    difference = np.abs(after.pair.left.astype(int) - before.pair.left.astype(int)).mean(axis=2)
    assert difference[sky].mean() > 10
