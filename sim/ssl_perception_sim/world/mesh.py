"""Triangle meshes with texture coordinates, and the few shapes that places are made of.

Texture coordinates are metres on the surface; the material says how many metres one repeat takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Mesh:
    """F triangles.

    Attributes:
        corners: (F, 3, 3) float32, m.
        uv: (F, 3, 2) float32, m along the surface.
        material: (F,) int16, index into ``materials.MATERIALS``.
        tint: (F, 3) float32, colour factor (blue, green, red).
        category: (F,) uint8, see ``categories.Category``.
        object_id: (F,) int32, which thing it belongs to.
    """

    corners: Float32
    uv: Float32
    material: NDArray[np.int16]
    tint: Float32
    category: NDArray[np.uint8]
    object_id: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.corners)

    def moved(self, shift: ArrayLike = (0, 0, 0), yaw: float = 0.0, scale: ArrayLike = 1.0) -> Mesh:
        """Scaled, turned about z, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        corners = (self.corners * np.asarray(scale, np.float32)) @ turn.T
        return replace(self, corners=corners + np.asarray(shift, np.float32))

    def permuted(self, axes: tuple[int, int, int], shift: ArrayLike = (0, 0, 0)) -> Mesh:
        """Coordinates in another order (lays a standing tube down), then shifted."""
        corners = self.corners[..., list(axes)] + np.asarray(shift, np.float32)
        return replace(self, corners=corners)

    def labelled(self, category: int, object_id: int) -> Mesh:
        """The same triangles as one object of one category."""
        count = len(self)
        return replace(
            self,
            category=np.full(count, category, np.uint8),
            object_id=np.full(count, object_id, np.int32),
        )

    @property
    def normals(self) -> Float32:
        """(F, 3) unit normals (by winding; shading takes either side)."""
        edges = self.corners[:, 1:] - self.corners[:, :1]
        normal = np.cross(edges[:, 0], edges[:, 1])
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)

    @property
    def radius(self) -> float:
        """Of the sphere about the origin that holds the mesh, m."""
        return float(np.sqrt((self.corners.astype(float) ** 2).sum(-1).max()))


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """All triangles in one mesh."""
    parts = list(meshes)
    return Mesh(
        *(
            np.concatenate([getattr(m, name) for m in parts])
            for name in ("corners", "uv", "material", "tint", "category", "object_id")
        )
    )


def triangles(
    corners: ArrayLike, uv: ArrayLike, material: int, tint: ArrayLike = (1, 1, 1)
) -> Mesh:
    """A mesh of one material from raw triangles; ``tint`` is one colour or one per triangle."""
    corners = np.asarray(corners, np.float32)
    count = len(corners)
    return Mesh(
        corners,
        np.asarray(uv, np.float32),
        np.full(count, material, np.int16),
        np.broadcast_to(np.asarray(tint, np.float32), (count, 3)).copy(),
        np.zeros(count, np.uint8),
        np.zeros(count, np.int32),
    )


def grid(points: ArrayLike, uv: ArrayLike, material: int, tint: ArrayLike = (1, 1, 1)) -> Mesh:
    """A surface through an (R, C, 3) lattice of points with (R, C, 2) texture coordinates."""
    points, uv = np.asarray(points, np.float32), np.asarray(uv, np.float32)

    def split(values: Float32) -> Float32:
        a, b, c, d = values[:-1, :-1], values[1:, :-1], values[1:, 1:], values[:-1, 1:]
        pair = np.stack([np.stack([a, b, c], 2), np.stack([a, c, d], 2)], 2)
        return pair.reshape(-1, 3, values.shape[-1])

    return triangles(split(points), split(uv), material, tint)


def quad(
    corners: ArrayLike, material: int, tint: ArrayLike = (1, 1, 1), step: float = np.inf
) -> Mesh:
    """A planar quadrilateral from four corners in order, cut into cells of about ``step`` m."""
    a, b, c, d = np.asarray(corners, float)
    width, height = np.sqrt(((b - a) ** 2).sum()), np.sqrt(((d - a) ** 2).sum())
    if step >= max(width, height):  # most of them are one cell
        flat_corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
        halves = [[0, 1, 2], [0, 2, 3]]
        return triangles(np.array([a, b, c, d])[halves], flat_corners[halves], material, tint)
    u = np.linspace(0, 1, max(1, int(np.ceil(width / step))) + 1)[:, None, None]
    v = np.linspace(0, 1, max(1, int(np.ceil(height / step))) + 1)[None, :, None]
    points = (a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v
    flat = np.concatenate(
        [
            np.broadcast_to(u, (*points.shape[:2], 1)) * width,
            np.broadcast_to(v, (*points.shape[:2], 1)) * height,
        ],
        2,
    )
    return grid(points, flat, material, tint)


def hexahedron(
    corners: ArrayLike,
    material: int | tuple[int, int, int],
    tint: ArrayLike = (1, 1, 1),
    step: float = np.inf,
) -> Mesh:
    """Six faces over eight corners: four of the bottom, counter-clockwise, then four of the top.

    ``material`` may be (sides, bottom, top).
    """
    p = np.asarray(corners, float)
    side, bottom, top = material if isinstance(material, tuple) else (material,) * 3
    faces = [quad(p[[k, (k + 1) % 4, 4 + (k + 1) % 4, 4 + k]], side, tint, step) for k in range(4)]
    faces.append(quad(p[[3, 2, 1, 0]], bottom, tint, step))
    faces.append(quad(p[4:], top, tint, step))
    return merge(faces)


def box(
    size: ArrayLike,
    material: int | tuple[int, int, int],
    tint: ArrayLike = (1, 1, 1),
    taper: ArrayLike = (1.0, 1.0),
    step: float = np.inf,
) -> Mesh:
    """A box standing on z = 0, centred in x and y; ``taper`` shrinks the top in x and y."""
    x, y, z = np.asarray(size, float)
    foot = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]]) / 2
    top = foot * [*np.asarray(taper, float), 1.0] + [0, 0, z]
    return hexahedron(np.concatenate([foot, top]), material, tint, step)


def tube(
    bottom: float,
    top: float,
    height: float,
    material: int,
    tint: ArrayLike = (1, 1, 1),
    sides: int = 8,
    caps: bool = True,
) -> Mesh:
    """A (tapered) cylinder standing on z = 0: radii at both ends and height, m."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    lattice = np.zeros((sides + 1, 2, 3))
    lattice[:, 0, :2], lattice[:, 1, :2] = ring * bottom, ring * top
    lattice[:, 1, 2] = height
    uv = np.zeros((sides + 1, 2, 2))
    uv[..., 0] = angle[:, None] * max(bottom, top)
    uv[:, 1, 1] = height
    parts = [grid(lattice, uv, material, tint)]
    if caps:
        for level, radius in ((0, bottom), (1, top)):
            if radius > 0:
                rim = lattice[:, level]
                hub = np.broadcast_to([0, 0, level * height], (sides, 3))
                fan = np.stack([hub, rim[:-1], rim[1:]], 1)
                parts.append(triangles(fan, fan[..., :2], material, tint))
    return merge(parts)


def ellipsoid(radii: ArrayLike, material: int, tint: ArrayLike = (1, 1, 1), rings: int = 6) -> Mesh:
    """An ellipsoid about the origin."""
    radii = np.asarray(radii, float)
    theta = np.linspace(0, 2 * np.pi, 2 * rings + 1)[:, None]
    phi = np.linspace(-np.pi / 2, np.pi / 2, rings + 1)[None, :]
    unit = np.stack(
        [np.cos(theta) * np.cos(phi), np.sin(theta) * np.cos(phi), np.sin(phi) + 0 * theta], -1
    )
    uv = np.stack([theta * radii[0] + 0 * phi, phi * radii[2] + 0 * theta], -1)
    return grid(unit * radii, uv, material, tint)


def leaves(
    rng: np.random.Generator,
    count: int,
    radii: ArrayLike,
    size: tuple[float, float],
    material: int,
    tint: ArrayLike = (1, 1, 1),
) -> Mesh:
    """Loose triangles within an ellipsoid: foliage that rays pass through here and there.

    Denser towards the outside, as crowns are; sizes are edge lengths in metres.
    """
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    depth = rng.uniform(0.25, 1.0, (count, 1)) ** 0.6
    centre = direction * depth * np.asarray(radii, float)
    shape = rng.normal(size=(count, 3, 3))
    shape -= shape.mean(1, keepdims=True)
    shape /= np.linalg.norm(shape, axis=2, keepdims=True)
    edge = rng.uniform(*size, (count, 1, 1)) * 0.6
    corners = centre[:, None] + shape * edge
    shade = rng.uniform(0.65, 1.15, (count, 1)) * np.asarray(tint, float)
    uv = rng.uniform(0, 4, (count, 1, 2)) + np.array([[0, 0], [0.2, 0], [0, 0.2]])
    return triangles(corners, uv, material, shade)
