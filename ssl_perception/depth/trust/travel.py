"""How far the robot has come since the student's last test, by odometry where there is any."""

from __future__ import annotations

import math
from dataclasses import replace

from ssl_perception.depth.trust.state import Trust
from ssl_perception.types import Odometry

_STEP = 0.05  # m; less may be the jitter of odometry at rest


def travel(trust: Trust, odometry: Odometry) -> Trust:
    """The state after a pose of the robot: the way to it, in straight steps, is added.

    The first pose, and one in another frame than the last, only says where the way goes on. A jump
    of odometry counts as way, which is the safe side.
    """
    x, y, z = odometry.world_from_body[:3, 3].tolist()
    place = (odometry.frame, x, y, z)
    if trust.place is None or trust.place[0] != odometry.frame:
        return replace(trust, place=place)
    step = math.dist(trust.place[1:], place[1:])
    if step < _STEP:
        return trust
    return replace(trust, place=place, travelled=trust.travelled + step)
