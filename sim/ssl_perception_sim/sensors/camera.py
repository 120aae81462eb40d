"""A stereo camera: rays, textures, light, and what lens and chip do to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ssl_perception.config import Section
from ssl_perception.frames import BODY_FROM_OPTICAL
from ssl_perception.runtime.numba_kernel import kernel
from ssl_perception.types import CameraModel, StereoPair
from ssl_perception_sim.world.materials import INDEX, MATERIALS
from ssl_perception_sim.world.motion import (
    Float,
    Motion,
    Poses,
    rotation,
)
from ssl_perception_sim.world.randomness import stream
from ssl_perception_sim.world.scene import Hits, Rays, Scene
from ssl_perception_sim.world.textures import Atlas

REPEAT = np.array([m.repeat for m in MATERIALS.values()], np.float32)
SKY = INDEX["sky"]


class StereoRig(Section):
    """What the camera is."""

    width: int = Field(320, ge=16, le=4096, description="px")
    height: int = Field(240, ge=16, le=4096, description="px")
    field_of_view: float = Field(75.0, ge=10, le=150, description="horizontal, degrees")
    baseline: float = Field(0.06, gt=0, le=3, description="m")
    rate: float = Field(10.0, gt=0, le=200, description="pairs a second")
    mount: tuple[float, float, float] = Field((0.0, 0.0, 0.0), description="on the vehicle, m")
    pitch: float = Field(0.0, ge=-90, le=90, description="degrees, positive looks down")
    exposure: float = Field(0.004, ge=0, le=0.1, description="s the shutter is open: motion blur")
    noise: float = Field(2.0, ge=0, le=50, description="levels of 255 (std) at mid-grey")
    vignetting: float = Field(0.25, ge=0, le=0.9, description="share of light lost in the corners")
    blur: float = Field(0.45, ge=0, le=5, description="of the lens, px (std)")
    reach: float = Field(150.0, gt=1, le=1000, description="m seen at most")
    shadows: bool = Field(False, description="cast the sun's shadows (costs half as much again)")

    @property
    def focal(self) -> float:
        """px."""
        return float(self.width / 2 / np.tan(np.deg2rad(self.field_of_view) / 2))

    def model(self, frame: str = "left_optical_frame") -> CameraModel:
        """The left camera's intrinsics; the right one has the same."""
        f = self.focal
        return CameraModel(
            self.width, self.height, f, f, (self.width - 1) / 2, (self.height - 1) / 2, frame
        )


class Light(Section):
    """Sun (or a lamp far away) and sky."""

    direction: tuple[float, float, float] = Field((0.35, -0.45, 0.82), description="to the sun")
    sun: float = Field(0.8, ge=0, le=5, description="strength; 1 is a bright day")
    sky: float = Field(0.65, ge=0, le=5, description="strength of the light from all around")
    haze: float = Field(400.0, gt=1, le=1e6, description="m at which a third of contrast is left")


@dataclass(frozen=True, eq=False)
class Frame:
    """A stereo pair and its truth.

    Attributes:
        pair: what the camera gives.
        depth: (H, W) float32 m along the optical axis of the left camera; NaN for the sky.
        category: (H, W) uint8. object_id: (H, W) int32, 0 for the ground and nothing.
        world_from_camera: (4, 4) optical axes of the left camera.
    """

    pair: StereoPair
    depth: NDArray[np.float32]
    category: NDArray[np.uint8]
    object_id: NDArray[np.int32]
    world_from_camera: Float


@lru_cache(maxsize=4)
def _directions(width: int, height: int, focal: float) -> NDArray[np.float32]:
    """(H W, 3) unit vectors in optical axes."""
    x = (np.arange(width) - (width - 1) / 2) / focal
    y = (np.arange(height) - (height - 1) / 2) / focal
    grid = np.ones((height, width, 3))
    grid[..., 0], grid[..., 1] = x[None, :], y[:, None]
    grid /= np.linalg.norm(grid, axis=2, keepdims=True)
    return grid.reshape(-1, 3).astype(np.float32)


@lru_cache(maxsize=4)
def _vignette(width: int, height: int, strength: float) -> NDArray[np.float32]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (1 - strength * (x**2 + y**2) / 2).astype(np.float32)


@lru_cache(maxsize=4)
def _grain(seed: int, width: int, height: int) -> NDArray[np.float32]:
    """One large sheet of chip noise; each image takes its own cut of it."""
    shape = (height + 97, width + 131, 3)
    return stream(seed, "grain").standard_normal(shape, dtype=np.float32)


def _grain_cut(seed: int, index: int, side: int) -> tuple[int, int]:
    """Row and column of the chip noise of frame ``index``: another one than the frame's before.

    With the same cut a camera that stands still would repeat its image to the last bit, which is
    what a frozen one does.
    """
    here, before = (
        stream(seed, "grain cut", 2 * k + side).integers(0, (97, 131))
        for k in (index, max(index - 1, 0))
    )
    again = index > 0 and np.array_equal(here, before)
    return (int(here[0]) + again) % 97, int(here[1])


@kernel
def _look_up(  # type: ignore[no-untyped-def]
    face, body, u, v, distance, directions, local, uv, material, normals, suns, ups,
    repeat, sky, corner, size, levels, pixel, sun_strength, sky_strength, shadow, baked,
):  # fmt: skip
    """Atlas position and light of each pixel; ``sky``: the material where no face is hit."""
    count = len(face)
    x, y = np.empty(count, np.float32), np.empty(count, np.float32)
    light = np.empty(count, np.float32)
    for n in range(count):
        f = face[n]
        dx, dy, dz = directions[n, 0], directions[n, 1], directions[n, 2]
        if f < 0:
            m = sky
            tu = (np.arctan2(dy, dx) / (2 * np.pi) + 0.5) * 3.0
            tv = max(0.02, min(0.98, 1.0 - dz))
            level = 0
            light[n] = 1.0
        else:
            m = material[f]
            a, b = u[n], v[n]
            c = 1.0 - a - b
            tu = (c * uv[f, 0, 0] + a * uv[f, 1, 0] + b * uv[f, 2, 0]) / repeat[m]
            tv = -(c * uv[f, 0, 1] + a * uv[f, 1, 1] + b * uv[f, 2, 1]) / repeat[m]
            nx, ny, nz = normals[f, 0], normals[f, 1], normals[f, 2]
            facing = nx * local[n, 0] + ny * local[n, 1] + nz * local[n, 2]
            if facing > 0:
                nx, ny, nz = -nx, -ny, -nz
            texels = distance[n] * pixel * size / repeat[m] / np.sqrt(max(abs(facing), 0.05))
            level = int(np.floor(np.log2(max(texels, 1.0)) + 0.35))
            if level > levels - 1:
                level = levels - 1
            k = body[n]
            lambert = nx * suns[k, 0] + ny * suns[k, 1] + nz * suns[k, 2]
            upward = nx * ups[k, 0] + ny * ups[k, 1] + nz * ups[k, 2]
            lambert = max(lambert, 0.0) * shadow[n]
            ambient = c * baked[f, 0] + a * baked[f, 1] + b * baked[f, 2]
            light[n] = sun_strength * lambert + sky_strength * (0.72 + 0.28 * upward) * ambient
        edge = size / 2.0**level
        x[n] = corner[m, level, 0] + (tu - np.floor(tu)) * edge - 0.5
        y[n] = corner[m, level, 1] + (tv - np.floor(tv)) * edge - 0.5
    return x, y, light


@kernel
def _colour(texel, light, face, tint, distance, haze):  # type: ignore[no-untyped-def]
    """Light that reaches the lens: texture, tint, light, haze."""
    count = len(face)
    out = np.empty((count, 3), np.float32)
    air = np.array([225.0, 205.0, 190.0])
    for n in range(count):
        f = face[n]
        if f < 0:
            for k in range(3):
                out[n, k] = texel[n, k]
        else:
            clear = np.exp(-distance[n] / haze)
            for k in range(3):
                value = texel[n, k] * tint[f, k] * light[n]
                out[n, k] = value * clear + air[k] * (1 - clear)
    return out


@kernel
def _develop(image, gain, vignette, grain, row, column, noise):  # type: ignore[no-untyped-def]
    """What the chip makes of it: gain, vignetting, a soft shoulder, noise, 8 bits."""
    height, width = image.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    for i in range(height):
        for j in range(width):
            factor = gain * vignette[i, j]
            for k in range(3):
                value = image[i, j, k] * factor
                if value > 200.0:
                    value = 200.0 + 55.0 * (1.0 - np.exp(-(value - 200.0) / 55.0))
                sigma = noise * np.sqrt(0.3 + 0.7 * value / 128.0)
                value += sigma * grain[row + i, column + j, k]
                out[i, j, k] = np.uint8(min(max(value + 0.5, 0.0), 255.0))
    return out


class StereoCamera:
    """Renders pairs of one rig in one world.

    Args:
        rig, scene, atlas, light: camera and world.
        baked: (F, 3) float32 ambient light at each corner of each face of the scene.
    """

    def __init__(
        self, rig: StereoRig, scene: Scene, atlas: Atlas, light: Light, seed: int,
        baked: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        self.rig, self.scene, self.atlas, self.light, self.seed = rig, scene, atlas, light, seed
        faces = len(scene.material)
        self.baked = np.ones((faces, 3), np.float32) if baked is None else baked
        tilt = rotation(0.0, np.deg2rad(rig.pitch), 0.0)[0]
        self.body_from_camera = np.eye(4)
        self.body_from_camera[:3, :3] = tilt @ BODY_FROM_OPTICAL[:3, :3]
        self.body_from_camera[:3, 3] = rig.mount

    def capture(
        self,
        vehicle: Motion,
        stamp: float,
        index: int,
        right_turn: Float | None = None,
        right_lag: float = 0.0,
        with_right: bool = True,
    ) -> Frame:
        """The pair seen at ``stamp``.

        Args:
            vehicle: ``world_from_body``.
            stamp: s.
            index: number of the frame; chooses the noise.
            right_turn: (3, 3) rotation of the right camera, in its optical axes, that the
                calibration knows nothing of.
            right_lag: s by which the right image is older.
            with_right: False: the right image isn't needed, and is left black.
        """
        rig = self.rig
        world_from_camera = self._pose(vehicle, stamp)
        right = self._pose(vehicle, stamp - right_lag) if right_lag else world_from_camera.copy()
        right[:3, 3] += right[:3, 0] * rig.baseline
        if right_turn is not None:
            right[:3, :3] = right[:3, :3] @ right_turn
        left_image, hits = self._light(world_from_camera, stamp)
        # exposure follows the scene, in part and within bounds, alike in both cameras
        mean = float(left_image.mean())
        gain = float(np.clip((118.0 / max(mean, 1.0)) ** 0.7, 0.4, 2.5))
        smear = self._shake(vehicle, stamp)
        shape = (rig.height, rig.width)
        face = hits.face
        along = _directions(rig.width, rig.height, rig.focal)[:, 2]
        depth = np.where(face >= 0, hits.distance * along, np.nan).astype(np.float32)
        seen = np.maximum(face, 0)
        category = np.where(face >= 0, self.scene.category[seen], 255).astype(np.uint8)
        object_id = np.where(face >= 0, self.scene.object_id[seen], 0).astype(np.int32)
        left_picture = self._expose(left_image, gain, index, 0, smear)
        right_picture = (
            self._expose(self._light(right, stamp - right_lag)[0], gain, index, 1, smear)
            if with_right
            else np.zeros_like(left_picture)
        )
        pair = StereoPair(
            left_picture,
            right_picture,
            rig.model(),
            rig.baseline,
            stamp,
        )
        return Frame(
            pair,
            depth.reshape(shape),
            category.reshape(shape),
            object_id.reshape(shape),
            world_from_camera,
        )

    def _pose(self, vehicle: Motion, stamp: float) -> Float:
        """``world_from_camera`` of the left camera, (4, 4)."""
        (turn,), (place,) = vehicle.pose(np.array([stamp]))
        world_from_camera = np.eye(4)
        world_from_camera[:3, :3] = turn @ self.body_from_camera[:3, :3]
        world_from_camera[:3, 3] = place + turn @ self.body_from_camera[:3, 3]
        return world_from_camera

    def _light(self, world_from_camera: Float, stamp: float) -> tuple[NDArray[np.float32], Hits]:
        """(H, W, 3) float32 light on the chip before exposure, and what was hit."""
        rig, scene = self.rig, self.scene
        rays = _directions(rig.width, rig.height, rig.focal)
        directions = rays @ world_from_camera[:3, :3].T.astype(np.float32)
        origin = world_from_camera[:3, 3]
        times = np.array([stamp])
        hits = scene.cast(Rays(times, origin[None], directions[None], rig.reach))
        face = hits.face
        sun = np.asarray(self.light.direction, float)
        sun = sun / np.linalg.norm(sun)
        shadow = np.ones(len(face), np.float32)
        if rig.shadows:
            rows = np.flatnonzero(face >= 0)
            start = origin + directions[rows] * (hits.distance[rows] - 0.02)[:, None]
            shadow[rows] = ~scene.occluded(start.astype(np.float32), sun, stamp)
        suns, ups = (np.empty((len(scene.bodies), 3), np.float32) for _ in range(2))
        poses = Poses(times)
        for body in np.unique(hits.body[hits.body >= 0]):
            (turn,), _ = poses.of(scene.bodies[body].motion)
            suns[body], ups[body] = sun @ turn, turn[2]
        x, y, light = _look_up(
            face, hits.body, hits.u, hits.v, hits.distance, directions, hits.direction, scene.uv,
            scene.material, scene.normals, suns, ups, REPEAT, SKY, self.atlas.corner,
            self.atlas.size, self.atlas.levels, np.float32(1 / rig.focal),
            np.float32(self.light.sun), np.float32(self.light.sky), shadow, self.baked,
        )  # fmt: skip
        shape = (rig.height, rig.width)
        texel = cv2.remap(
            self.atlas.image, x.reshape(shape), y.reshape(shape), cv2.INTER_LINEAR
        ).reshape(-1, 3)
        colour = _colour(texel, light, face, scene.tint, hits.distance, np.float32(self.light.haze))
        return colour.reshape(*shape, 3), hits

    def _shake(self, vehicle: Motion, stamp: float) -> NDArray[np.float32] | None:
        """The line along which the picture smears while the shutter is open, from the turn rate."""
        (before, after), _ = vehicle.pose(np.array([stamp - self.rig.exposure, stamp]))
        turn = (before.T @ after) - np.eye(3)
        # first-order rotation vector in body axes; yaw moves the picture sideways, pitch up
        dx, dy = self.rig.focal * turn[1, 0], -self.rig.focal * turn[0, 2]
        length = float(np.hypot(dx, dy))
        if length < 0.7:
            return None
        size = 2 * int(np.ceil(min(length, 25.0) / 2)) + 3
        smear = np.zeros((size, size), np.float32)
        middle, scale = size // 2, min(1.0, 25.0 / length)
        for share in np.linspace(-0.5, 0.5, 4 * size):
            px, py = middle + share * dx * scale, middle + share * dy * scale
            smear[round(py), round(px)] += 1
        return smear / smear.sum()

    def _expose(
        self, image: NDArray[np.float32], gain: float, index: int, side: int,
        smear: NDArray[np.float32] | None,
    ) -> NDArray[np.uint8]:  # fmt: skip
        rig = self.rig
        if smear is not None:
            image = np.asarray(cv2.filter2D(image, -1, smear), np.float32)
        if rig.blur > 0:
            image = np.asarray(cv2.GaussianBlur(image, (3, 3), rig.blur), np.float32)
        row, column = _grain_cut(self.seed, index, side)
        return _develop(
            image, np.float32(gain), _vignette(rig.width, rig.height, rig.vignetting),
            _grain(self.seed, rig.width, rig.height), row, column, np.float32(rig.noise),
        )  # fmt: skip
