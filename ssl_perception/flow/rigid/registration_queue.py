"""Order of the clusters, and their registration in two lanes until time is up.

The motion of a cluster depends on the states of those beside it, so the lanes go by rounds: within
one, both read the states from before it. That, and numbering in order what was split off, makes
the answer the same whichever lane took which cluster, and with one thread.
"""

from __future__ import annotations

from math import isinf

import numpy as np
from numpy.typing import NDArray

from ssl_perception.flow.rigid.candidates import LANES
from ssl_perception.flow.rigid.cluster_motion import Motions
from ssl_perception.flow.rigid.cluster_registration import register_clusters
from ssl_perception.flow.rigid.cluster_scratch import scratch
from ssl_perception.flow.rigid.components import Components
from ssl_perception.flow.rigid.scene import Scene
from ssl_perception.flow.rigid.steps_ahead import no_steps
from ssl_perception.flow.rigid.workspace import Workspace
from ssl_perception.runtime.deadline import Deadline
from ssl_perception.runtime.worker_thread import RunTwo
from ssl_perception.types import FloatArray

_ROUND = 16  # clusters, after which the lanes exchange states; with 48 streets got worse


def most_important_first(
    points: NDArray[np.int32], centre: FloatArray, candidate: NDArray[np.int8]
) -> NDArray[np.int32]:
    """Candidates by their urgency for the robot: near before far, large before small."""
    queue = np.flatnonzero(candidate)
    distance = np.hypot(centre[queue, 0], centre[queue, 1])
    urgency = distance / np.sqrt(points[queue])
    return queue[np.argsort(urgency, kind="stable")].astype(np.int32)


def register_all(
    scene: Scene,
    queue: NDArray[np.int32],
    boxes: FloatArray,
    shifts: FloatArray,
    found: Motions,
    deadline: Deadline,
    reserve: float,
    workspace: Workspace,
    run_two: RunTwo,
    device: str,
) -> int:
    """Register the clusters of the queue in two lanes; returns how many there was time for.

    Args:
        boxes, shifts: (G, 2, 3) and (G, 2), regions expected to move and their displacements.
        found: written.
        reserve: seconds that must be left before the deadline.
        device: of PyTorch, where ICP is done for all clusters at once, ahead of the rest; empty:
            it is done cluster by cluster, by compiled kernels.
    """
    count = int(scene.parts.size[0])
    # each in its own thread's memory: two lanes that write to one cache line wait for each other
    memory = run_two(
        lambda: scratch(scene.field.reach, count), lambda: scratch(scene.field.reach, count + 1)
    )
    ahead = no_steps(len(found.state))
    if device and len(queue):
        # here, not above: PyTorch is loaded only where it is asked for
        from ssl_perception.flow.rigid.batched_icp import steps_of_all

        ahead = steps_of_all(
            scene, queue, boxes, shifts, memory[0], found, deadline, reserve, device
        )
    known_state = workspace.array("known_state", found.state.shape, np.int8)
    taken = np.zeros(1, np.int64)
    enough = _ROUND if isinf(deadline.end) else 1  # between two looks at the clock
    done = 0

    def register(lane: int, turn: NDArray[np.int32]) -> None:
        own = memory[lane]
        while taken[0] < len(turn) and deadline.remaining > reserve:
            register_clusters(
                scene, turn, taken, enough, known_state, boxes, shifts, ahead, own, found
            )

    while done < len(queue) and deadline.remaining > reserve:
        turn = queue[done : done + _ROUND]
        taken[0] = 0
        known_state[:] = found.state
        run_two(lambda turn=turn: register(0, turn), lambda turn=turn: register(1, turn))  # type: ignore[misc]
        done += min(int(taken[0]), len(turn))
    _number_in_order(scene.parts, found, count, [int(own.fresh[0]) for own in memory])
    return done


def _number_in_order(parts: Components, found: Motions, count: int, fresh: list[int]) -> None:
    """Number the parts split off by where their voxels are listed, whichever lane split them off.

    Args:
        count: clusters before splitting. fresh: each lane's next number.
    """
    numbers = np.concatenate(
        [np.arange(count + lane, end, LANES) for lane, end in enumerate(fresh)]
    )
    numbers = numbers[parts.points[numbers] > 0]  # others were put back
    numbers = numbers[np.argsort(parts.begin[numbers])]
    parts.size[0] = end = count + len(numbers)
    measures = (parts.begin, parts.end, parts.points, parts.unmatched, parts.box, parts.centre)
    for rows in (*measures, *found):
        rows[count:end] = rows[numbers]
    for c in range(count, end):
        parts.label[parts.order[parts.begin[c] : parts.end[c]]] = c
