"""The shipped student of a drone: good in its own room, small, and trusted as it was."""

from __future__ import annotations

from ssl_perception.commands.demo_drone import ROOM, STORE
from ssl_perception.pipeline import Perception
from ssl_perception.runtime.shipped import shipped
from ssl_perception_sim.experiments.held_out import HeldOut
from ssl_perception_sim.experiments.students import DRONE


def test_the_shipped_student_knows_its_room() -> None:
    store = shipped(STORE)
    files = [path for path in store.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) < 3e6
    assert {path.parent.name for path in files} == {STORE, "generations", "blobs"}
    assert shipped(f"{STORE}.md").is_file(), "its card"
    with Perception(DRONE, store) as perception:
        assert not perception.problems
        trust = perception.depth.fusion.trust
        assert trust.trusted and trust.last_sample < 0, "it needs a new test beside stereo"
        point = HeldOut(ROOM, 200, DRONE.trust).score(perception.depth, 0.0)
    assert point.auc > 0.97
    assert point.tpr > 0.9 and point.fpr < 0.3
