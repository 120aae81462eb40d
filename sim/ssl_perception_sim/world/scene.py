"""Bodies in a world, and the rays that sensors cast at them.

Each rigid body has its own embree scene in its own coordinates. A ray that may meet a moving body
is carried into the body's frame *at the time the ray is fired*, so a rolling shutter is exact and
nothing is rebuilt between frames. Actors (a car; a walker of seven bodies) are culled as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore import EmbreeDevice
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception_sim.world.mesh import Mesh
from ssl_perception_sim.world.motion import (
    Float,
    Joint,
    Motion,
    Poses,
    Still,
)

NOTHING = -1


@cache
def _device() -> EmbreeDevice:
    return EmbreeDevice()


class Caster:
    """Nearest hits of rays with one mesh (the only place that knows embree)."""

    def __init__(self, mesh: Mesh) -> None:
        self._scene = EmbreeScene(_device())
        vertices = np.ascontiguousarray(mesh.corners.reshape(-1, 3), np.float32)
        TriangleMesh(self._scene, vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3))

    def cast(
        self,
        origins: NDArray[np.float32],
        directions: NDArray[np.float32],
        limits: NDArray[np.float32],
    ) -> dict[str, NDArray]:
        """For (N, 3) rays: ``tfar`` (N,), ``primID`` (N,) (-1: none), ``u``, ``v`` (N,).

        Only hits nearer than ``limits`` (N,) count. Directions are unit vectors. embree writes
        ``tfar`` into ``limits`` itself.
        """
        return self._scene.run(origins, directions, dists=limits, output=1)


@dataclass(eq=False)
class Body:
    """Something rigid.

    Attributes:
        mesh: in body coordinates.
        motion: where it is.
    """

    mesh: Mesh
    motion: Motion

    def __post_init__(self) -> None:
        self.caster = Caster(self.mesh)
        self.radius = self.mesh.radius


@dataclass(eq=False)
class Actor:
    """Something that moves: one body, or several on joints.

    Attributes:
        motion: of the whole.
        parts: its bodies.
        name: what it is.
    """

    motion: Motion
    parts: list[Body]
    name: str = ""

    def __post_init__(self) -> None:
        self.radius = max(part.radius + _arm(part.motion) for part in self.parts)


def _arm(motion: Motion) -> float:
    """How far a joint can carry a part's origin from the whole's, m."""
    if isinstance(motion, Joint):
        return float(np.linalg.norm(motion.hinge)) + _arm(motion.parent)
    return 0.0


@dataclass(frozen=True, eq=False)
class Rays:
    """C columns of B rays; the rays of a column leave one point at one time.

    A camera image is one column; a spinning lidar has one column an azimuth step.

    Attributes:
        times: (C,) float64 s.
        origins: (C, 3) float64 m, world.
        directions: (C, B, 3) float32 unit vectors, world.
        reach: m.
    """

    times: Float
    origins: Float
    directions: NDArray[np.float32]
    reach: float = 200.0


@dataclass(frozen=True, eq=False)
class Hits:
    """Where rays ended, flat over columns then rays: N = C B.

    Attributes:
        distance: (N,) float32 m; ``reach`` where nothing was met.
        body: (N,) int16 index into the scene's bodies; -1 nothing.
        face: (N,) int32 row in the scene's per-face tables; -1 nothing.
        u, v: (N,) float32 barycentric.
        origin, direction: (N, 3) float32, the ray in the coordinates of the body that it met, at
            the time it was fired: ``origin + range * direction`` is a point of the body.
    """

    distance: NDArray[np.float32]
    body: NDArray[np.int16]
    face: NDArray[np.int32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    origin: NDArray[np.float32]
    direction: NDArray[np.float32]


@kernel
def _cones(directions, per_column):  # type: ignore[no-untyped-def]
    """Axis (C, 3) and half-angle (C,) of the cone that holds each column's rays."""
    columns = len(directions) // per_column
    axes, angles = np.empty((columns, 3), np.float32), np.empty(columns, np.float32)
    for c in range(columns):
        mean = np.zeros(3)
        for n in range(c * per_column, (c + 1) * per_column):
            for k in range(3):
                mean[k] += directions[n, k]
        mean /= max(np.sqrt((mean**2).sum()), 1e-9)
        least = 1.0
        for n in range(c * per_column, (c + 1) * per_column):
            dot = 0.0
            for k in range(3):
                dot += directions[n, k] * mean[k]
            least = min(least, dot)
        axes[c] = mean
        angles[c] = np.arccos(max(least, -1.0))
    return axes, angles


@kernel
def _towards(directions, per_column, axes, angles, towards, angle):  # type: ignore[no-untyped-def]
    """Rays within ``angle`` of ``towards``, and their columns."""
    cosine = np.cos(angle)
    x, y, z = towards
    near = np.empty(len(axes), np.int64)
    count = 0
    for c in range(len(axes)):
        limit = angle + angles[c] + 1e-3
        if limit >= np.pi or axes[c, 0] * x + axes[c, 1] * y + axes[c, 2] * z > np.cos(limit):
            near[count] = c
            count += 1
    rays = np.empty(count * per_column, np.int32)
    slots = np.empty(count * per_column, np.int32)
    columns = np.empty(count, np.int64)
    total, used = 0, 0
    for k in range(count):
        c = near[k]
        before = total
        for n in range(c * per_column, (c + 1) * per_column):
            if directions[n, 0] * x + directions[n, 1] * y + directions[n, 2] * z >= cosine:
                rays[total] = n
                slots[total] = used
                total += 1
        if total > before:
            columns[used] = c
            used += 1
    return rays[:total], slots[:total], columns[:used]


@kernel
def _enter_frame(rays, slots, origins, directions, rotations, positions, limits):  # type: ignore[no-untyped-def]
    """The chosen rays in the coordinates of a body with one pose a slot."""
    count = len(rays)
    o, d = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    limit = np.empty(count, np.float32)
    for k in range(count):
        n, c = rays[k], slots[k]
        x = origins[c, 0] - positions[c, 0]
        y = origins[c, 1] - positions[c, 1]
        z = origins[c, 2] - positions[c, 2]
        dx, dy, dz = directions[n, 0], directions[n, 1], directions[n, 2]
        for a in range(3):
            r0, r1, r2 = rotations[c, 0, a], rotations[c, 1, a], rotations[c, 2, a]
            o[k, a] = r0 * x + r1 * y + r2 * z
            d[k, a] = r0 * dx + r1 * dy + r2 * dz
        limit[k] = limits[n]
    return o, d, limit


@kernel
def _keep_nearer(rays, found, primitive, first_face, index, us, vs, o, d,  # type: ignore[no-untyped-def]
                 distance, face, body, u, v, origin, direction):  # fmt: skip
    """Write the hits of one body over what was there."""
    for k in range(len(rays)):
        if primitive[k] >= 0:
            n = rays[k]
            distance[n] = found[k]
            face[n] = first_face + primitive[k]
            body[n] = index
            u[n], v[n] = us[k], vs[k]
            for a in range(3):
                origin[n, a] = o[k, a]
                direction[n, a] = d[k, a]


@kernel
def _in_tube(starts, towards, centre, radius, dark):  # type: ignore[no-untyped-def]
    """Lit points whose line to the light passes within ``radius`` of ``centre``."""
    rows = np.empty(len(starts), np.int64)
    count = 0
    for n in range(len(starts)):
        if dark[n]:
            continue
        x, y, z = centre[0] - starts[n, 0], centre[1] - starts[n, 1], centre[2] - starts[n, 2]
        along = x * towards[0] + y * towards[1] + z * towards[2]
        if along > -radius and x * x + y * y + z * z - along * along < radius * radius:
            rows[count] = n
            count += 1
    return rows[:count]


class Scene:
    """All there is in a world.

    Body 0 is everything that never moves; the actors' bodies follow in order.

    Args:
        static: the world's fixed mesh.
        actors: what moves.
    """

    def __init__(self, static: Mesh, actors: list[Actor]) -> None:
        self.actors = actors
        self.bodies = [Body(static, Still()), *(part for a in actors for part in a.parts)]
        counts = [len(body.mesh) for body in self.bodies]
        self.first_face = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
        meshes = [body.mesh for body in self.bodies]
        self.normals = np.concatenate([m.normals for m in meshes])
        self.uv = np.concatenate([m.uv for m in meshes])
        self.material = np.concatenate([m.material for m in meshes])
        self.tint = np.concatenate([m.tint for m in meshes])
        self.category = np.concatenate([m.category for m in meshes])
        self.object_id = np.concatenate([m.object_id for m in meshes])

    def cast(self, rays: Rays) -> Hits:
        """The nearest surface along each ray at the time the ray is fired."""
        per_column = rays.directions.shape[1]
        direction = np.array(rays.directions.reshape(-1, 3), np.float32)
        origin = np.repeat(rays.origins.astype(np.float32), per_column, axis=0)
        limit = np.full(len(direction), rays.reach, np.float32)
        found = self.bodies[0].caster.cast(origin, direction, limit)
        distance, face, u, v = found["tfar"], found["primID"], found["u"], found["v"]
        body = np.where(face >= 0, 0, NOTHING).astype(np.int16)
        if self.actors:
            self._cast_at_actors(rays, distance, face, body, u, v, origin, direction)
        return Hits(distance, body, face, u, v, origin, direction)

    def _cast_at_actors(self, rays: Rays, *hits: NDArray) -> None:
        per_column = rays.directions.shape[1]
        flat = np.ascontiguousarray(rays.directions.reshape(-1, 3), np.float32)
        axes, angles = _cones(flat, per_column)
        count = len(rays.times)
        some = np.unique([0, count // 4, count // 2, 3 * count // 4, count - 1])
        moments, eyes = rays.times[some], rays.origins[some]
        index = 1
        distance = hits[0]
        for actor in self.actors:
            first, index = index, index + len(actor.parts)
            away = actor.motion.pose(moments)[1] - eyes
            middle = away[len(some) // 2]
            # the widest that the way from eye to actor differs from the middle one, and a margin
            # for what it does between the moments looked at
            wander = np.linalg.norm(away - middle, axis=1).max()
            gap = float(np.linalg.norm(middle))
            radius = actor.radius + 1.2 * wander + 0.02
            if gap - radius > rays.reach:
                continue
            angle = np.pi if gap <= radius else float(np.arcsin(radius / gap))
            towards = (middle / max(gap, 1e-9)).astype(np.float32)
            chosen, slots, columns = _towards(flat, per_column, axes, angles, towards, angle)
            if not len(chosen):
                continue
            poses, eye = Poses(rays.times[columns]), rays.origins[columns]
            for number, part in enumerate(actor.parts, first):
                o, d, near = _enter_frame(
                    chosen, slots, eye, flat, *poses.of(part.motion), distance
                )
                hit = part.caster.cast(o, d, near)
                _keep_nearer(
                    chosen, hit["tfar"], hit["primID"], self.first_face[number], number,
                    hit["u"], hit["v"], o, d, *hits,
                )  # fmt: skip

    def occluded(
        self, starts: NDArray[np.float32], towards: Float, time: float, reach: float = 150.0
    ) -> NDArray[np.bool_]:
        """Whether something lies between each of ``starts`` (N, 3) and the far light.

        Args:
            towards: (3,) unit vector to the light. time: s. reach: m.
        """
        ray = np.tile(towards.astype(np.float32), (len(starts), 1))

        def blocked(body: Body, start: NDArray, direction: NDArray) -> NDArray[np.bool_]:
            limit = np.full(len(start), reach, np.float32)
            return body.caster.cast(start, direction, limit)["primID"] >= 0

        dark = blocked(self.bodies[0], starts, ray)
        poses = Poses(np.array([time]))
        for actor in self.actors:
            centre = poses.of(actor.motion)[1][0]
            rows = _in_tube(starts, ray[0], centre.astype(np.float32), actor.radius, dark)
            if not len(rows):
                continue
            for part in actor.parts:
                (turn,), (place,) = poses.of(part.motion)
                local = ((starts[rows] - place) @ turn).astype(np.float32)
                direction = np.tile((towards @ turn).astype(np.float32), (len(rows), 1))
                dark[rows] |= blocked(part, local, direction)
        return dark

    def displacement(
        self, local: NDArray[np.float32], body: NDArray[np.int16], start: float, end: float
    ) -> Float:
        """How far each point of a body moves from ``start`` to ``end`` (s), in world axes.

        Args:
            local: (N, 3) m, points in the coordinates of their bodies.
            body: (N,) which body each belongs to.

        Returns:
            (N, 3) m: ``B(end) q - B(start) q`` for body pose B and point q; exactly 0 on what
            never moves.
        """
        out = np.zeros((len(local), 3))
        moving = np.flatnonzero(body > 0)
        if not len(moving):
            return out
        order = moving[np.argsort(body[moving], kind="stable")]
        numbers, firsts = np.unique(body[order], return_index=True)
        poses = Poses(np.array([start, end]))
        for number, rows in zip(numbers, np.split(order, firsts[1:]), strict=True):
            (r0, r1), (p0, p1) = poses.of(self.bodies[number].motion)
            q = local[rows].astype(float)
            out[rows] = (q @ r1.T + p1) - (q @ r0.T + p0)
        return out
