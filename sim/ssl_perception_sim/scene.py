"""Bodies in a world, and the rays that sensors cast at them.

Each rigid body has its own embree scene in its own coordinates. A ray that may meet a moving body
is carried into the body's frame *at the time the ray is fired*, so a rolling shutter is exact and
nothing is rebuilt between frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numba import njit
from numpy.typing import NDArray

from ssl_perception_sim.mesh import Mesh
from ssl_perception_sim.motion import Float, Motion, Still

NOTHING = -1


class Caster:
    """Nearest hits of rays with one mesh (the only place that knows embree)."""

    def __init__(self, mesh: Mesh) -> None:
        self._scene = EmbreeScene()
        vertices = np.ascontiguousarray(mesh.corners.reshape(-1, 3), np.float32)
        TriangleMesh(self._scene, vertices, np.arange(len(vertices), dtype=np.int32).reshape(-1, 3))

    def cast(
        self,
        origins: NDArray[np.float32],
        directions: NDArray[np.float32],
        limits: NDArray[np.float32],
    ) -> dict[str, NDArray]:
        """For (N, 3) rays: ``tfar`` (N,), ``primID`` (N,) (-1: none), ``u``, ``v`` (N,).

        Only hits nearer than ``limits`` (N,) count. Directions are unit vectors.
        """
        return self._scene.run(origins, directions, dists=limits, output=1)


@dataclass(eq=False)
class Body:
    """Something rigid.

    Attributes:
        mesh: in body coordinates.
        motion: where it is.
        name: for people.
        articulated: its parent moves as a whole but this part has its own motion too.
    """

    mesh: Mesh
    motion: Motion
    name: str = ""

    def __post_init__(self) -> None:
        self.caster = Caster(self.mesh)
        self.radius = self.mesh.radius
        self.moves = not isinstance(self.motion, Still)


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
        face: (N,) int32 triangle of that body; -1 nothing.
        u, v: (N,) float32 barycentric.
    """

    distance: NDArray[np.float32]
    body: NDArray[np.int16]
    face: NDArray[np.int32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]


@njit(cache=True)
def _enter_frame(chosen, per_column, origins, directions, rotations, positions, limits):  # type: ignore[no-untyped-def]
    """Rays ``chosen`` in the coordinates of a body with one pose a column."""
    count = len(chosen)
    o, d = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    limit = np.empty(count, np.float32)
    for k in range(count):
        n = chosen[k]
        c = n // per_column
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


@njit(cache=True)
def _towards(directions, per_column, centres, angles, all_cosine):  # type: ignore[no-untyped-def]
    """Indices of rays within a cone about the body's centre, one cone a column."""
    out = np.empty(len(directions), np.int32)
    count = 0
    for c in range(len(centres)):
        if angles[c] <= -1.0:
            for n in range(c * per_column, (c + 1) * per_column):
                out[count] = n
                count += 1
            continue
        x, y, z, cosine = centres[c, 0], centres[c, 1], centres[c, 2], angles[c]
        for n in range(c * per_column, (c + 1) * per_column):
            if directions[n, 0] * x + directions[n, 1] * y + directions[n, 2] * z > cosine:
                out[count] = n
                count += 1
    return out[:count]


class Scene:
    """All bodies of a world; body 0 is everything that never moves.

    Args:
        static: the world's fixed mesh.
        bodies: everything rigid that moves; parts of articulated things are bodies of their own.
    """

    def __init__(self, static: Mesh, bodies: list[Body]) -> None:
        self.bodies = [Body(static, Still(), "static"), *bodies]
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
        directions = np.ascontiguousarray(rays.directions.reshape(-1, 3), np.float32)
        count = len(directions)
        origins32 = np.repeat(rays.origins.astype(np.float32), per_column, axis=0)
        limit = np.full(count, rays.reach, np.float32)
        found = self.bodies[0].caster.cast(origins32, directions, limit)
        distance, face, u, v = found["tfar"], found["primID"], found["u"], found["v"]
        body = np.where(face >= 0, 0, NOTHING).astype(np.int16)
        for index in range(1, len(self.bodies)):
            part = self.bodies[index]
            rotations, positions = part.motion.pose(rays.times)
            away = positions - rays.origins
            gap = np.linalg.norm(away, axis=1)
            if gap.min() - part.radius > rays.reach:
                continue
            sine = np.minimum(part.radius / np.maximum(gap, 1e-6), 1.0)
            cosine = np.where(sine < 1.0, np.sqrt(1.0 - sine**2) - 1e-4, -1.0)
            chosen = _towards(
                directions, per_column, (away / np.maximum(gap, 1e-6)[:, None]).astype(np.float32),
                cosine.astype(np.float32), 0.0,
            )  # fmt: skip
            if not len(chosen):
                continue
            o, d, near = _enter_frame(
                chosen, per_column, rays.origins, directions,
                np.ascontiguousarray(rotations), np.ascontiguousarray(positions), distance,
            )  # fmt: skip
            hit = part.caster.cast(o, d, near)
            won = np.flatnonzero(hit["primID"] >= 0)
            if not len(won):
                continue
            rows = chosen[won]
            distance[rows] = hit["tfar"][won]
            face[rows] = hit["primID"][won]
            u[rows], v[rows] = hit["u"][won], hit["v"][won]
            body[rows] = index
        distance[face < 0] = rays.reach
        return Hits(distance, body, face, u, v)

    def occluded(
        self, starts: Float, towards: Float, time: float, reach: float = 150.0
    ) -> NDArray[np.bool_]:
        """Whether something lies between each of ``starts`` (N, 3) and the far light.

        Args:
            towards: (3,) unit vector to the light. time: s. reach: m.
        """
        start = np.ascontiguousarray(starts, np.float32)
        ray = np.tile(towards.astype(np.float32), (len(start), 1))
        limit = np.full(len(start), reach, np.float32)
        dark = self.bodies[0].caster.cast(start, ray, limit)["primID"] >= 0
        for part in self.bodies[1:]:
            (turn,), (place,) = part.motion.pose(np.array([time]))
            away = place.astype(np.float32) - start
            along = away @ ray[0]
            aside = np.einsum("ni,ni->n", away, away) - along**2
            rows = np.flatnonzero((aside < part.radius**2) & (along > -part.radius) & ~dark)
            if len(rows):
                local = ((start[rows] - place) @ turn).astype(np.float32)
                direction = np.tile((towards @ turn).astype(np.float32), (len(rows), 1))
                hit = part.caster.cast(local, direction, limit[: len(rows)])
                dark[rows] = hit["primID"] >= 0
        return dark

    def global_face(self, hits: Hits) -> NDArray[np.int32]:
        """(N,) row of each hit in the scene's per-face tables; -1 nothing."""
        return np.where(hits.body >= 0, hits.face + self.first_face[hits.body], NOTHING)

    def displacement(
        self, points: Float, body: NDArray[np.int16], seen: Float, start: float, end: float
    ) -> Float:
        """How far the body under each point moves from ``start`` to ``end``, in world axes.

        Args:
            points: (N, 3) m, world, as measured at the times ``seen``.
            body: (N,) index of the body that each lies on.
            seen: (N,) s.
            start, end: s.

        Returns:
            (N, 3) m: ``B(end) q - B(start) q`` with ``q = B(seen)^-1 p`` for body pose B.
        """
        out = np.zeros((len(points), 3))
        ends = np.array([start, end])
        for index in np.unique(body):
            if index <= 0 or not self.bodies[index].moves:
                continue
            rows = np.flatnonzero(body == index)
            motion = self.bodies[index].motion
            turn, place = motion.pose(seen[rows])
            local = np.einsum("nji,nj->ni", turn, points[rows] - place)
            (r0, r1), (p0, p1) = motion.pose(ends)
            out[rows] = (local @ r1.T + p1) - (local @ r0.T + p0)
        return out
