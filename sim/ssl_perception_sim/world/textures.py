"""Procedural textures by seed, all in one image (atlas) with their mip levels.

One atlas means one ``cv2.remap`` an image: each pixel looks up its own texture at its own level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception_sim.world.materials import MATERIALS
from ssl_perception_sim.world.randomness import stream

Image = NDArray[np.float32]  # (S, S, 3), 0 to 1, blue green red


def _noise(rng: np.random.Generator, size: int, cells: int, octaves: int = 4) -> Image:
    """(S, S) smooth periodic noise in about 0 to 1."""
    out = np.zeros((size, size), np.float32)
    weight = 1.0
    for octave in range(octaves):
        count = min(cells * 2**octave, size)
        coarse = rng.random((count, count), dtype=np.float32)
        padded = np.pad(coarse, 2, mode="wrap")
        scale = size / count
        large = cv2.resize(padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        cut = round(2 * scale)
        out += weight * large[cut : cut + size, cut : cut + size]
        weight *= 0.5
    return out / (2.0 - 2.0 ** (1 - octaves))


def _colour(gray: Image, dark: tuple[float, ...], light: tuple[float, ...]) -> Image:
    mix = np.clip(gray, 0, 1)[..., None]
    return (np.asarray(dark, np.float32) * (1 - mix) + np.asarray(light, np.float32) * mix).astype(
        np.float32
    )


def _speckle(rng: np.random.Generator, size: int, strength: float) -> Image:
    return (1 + strength * rng.normal(size=(size, size, 1))).astype(np.float32)


def _asphalt(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 4, 6), (0.22, 0.22, 0.22), (0.42, 0.41, 0.41))
    return base * _speckle(rng, size, 0.12)


def _plaster(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 6, 6), (0.62, 0.66, 0.70), (0.92, 0.94, 0.95))
    return base * _speckle(rng, size, 0.05)


def _concrete(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 3, 6), (0.35, 0.36, 0.37), (0.70, 0.71, 0.71))
    return base * _speckle(rng, size, 0.06)


def _paint(rng: np.random.Generator, size: int) -> Image:
    return _colour(_noise(rng, size, 2, 3), (0.80, 0.80, 0.80), (1.0, 1.0, 1.0))


def _blank(rng: np.random.Generator, size: int) -> Image:
    return np.full((size, size, 3), 0.85, np.float32)


def _tiles(
    rng: np.random.Generator, size: int, rows: int, columns: int, joint: float, offset: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Joint mask and tile number of a brick-like pattern."""
    y, x = np.mgrid[0:size, 0:size] / size
    row = np.floor(y * rows).astype(int)
    shifted = (x * columns + offset * (row % 2)) % columns
    column = np.floor(shifted).astype(int)
    fy, fx = y * rows - row, shifted - column
    edge = (fy < joint * rows / columns) | (fx < joint)
    return edge, row * columns + column


def _brick(rng: np.random.Generator, size: int) -> Image:
    edge, tile = _tiles(rng, size, 24, 8, 0.06, 0.5)
    tones = rng.uniform(0.7, 1.15, (tile.max() + 1, 1)) * np.array([0.25, 0.32, 0.62])
    tones *= rng.uniform(0.85, 1.1, tones.shape)
    out = tones[tile].astype(np.float32)
    out[edge] = (0.62, 0.66, 0.68)
    return out * _speckle(rng, size, 0.08) * (0.7 + 0.5 * _noise(rng, size, 4, 5)[..., None])


def _paving(rng: np.random.Generator, size: int) -> Image:
    edge, tile = _tiles(rng, size, 6, 6, 0.03, 0.5)
    tones = rng.uniform(0.8, 1.1, (tile.max() + 1, 1)) * np.array([0.52, 0.55, 0.57])
    out = tones[tile].astype(np.float32)
    out[edge] *= 0.6
    return out * _speckle(rng, size, 0.07) * (0.75 + 0.4 * _noise(rng, size, 4, 5)[..., None])


def _roof(rng: np.random.Generator, size: int) -> Image:
    edge, tile = _tiles(rng, size, 16, 10, 0.1, 0.5)
    tones = rng.uniform(0.7, 1.1, (tile.max() + 1, 1)) * np.array([0.22, 0.26, 0.45])
    out = tones[tile].astype(np.float32)
    out[edge] *= 0.5
    return out * _speckle(rng, size, 0.06)


def _checker(rng: np.random.Generator, size: int) -> Image:
    _, tile = _tiles(rng, size, 8, 8, 0.0, 0.0)
    tones = rng.uniform(0.15, 0.95, (tile.max() + 1, 3))
    return tones[tile].astype(np.float32) * _speckle(rng, size, 0.06)


def _grass(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 6, 6), (0.10, 0.26, 0.18), (0.30, 0.55, 0.42))
    return base * _speckle(rng, size, 0.25)


def _leaf(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 16, 4), (0.10, 0.28, 0.16), (0.28, 0.62, 0.40))
    return base * _speckle(rng, size, 0.12)


def _streaks(rng: np.random.Generator, size: int, stretch: int) -> Image:
    fine = _noise(rng, size, 16, 4)
    blurred: Image = cv2.blur(np.tile(fine, (3, 3)), (1, stretch)).astype(np.float32)
    return blurred[size : 2 * size, size : 2 * size]


def _wood(rng: np.random.Generator, size: int) -> Image:
    plank = (np.arange(size) * 6 // size)[None, :].repeat(size, 0)
    tone = rng.uniform(0.75, 1.1, 6)[plank][..., None].astype(np.float32)
    grain = _streaks(rng, size, size // 6)
    out = _colour(grain * 1.6 - 0.3, (0.16, 0.28, 0.42), (0.45, 0.62, 0.80)) * tone
    out[:, (np.arange(size) % (size // 6)) < 2] *= 0.45
    return out * _speckle(rng, size, 0.05)


def _bark(rng: np.random.Generator, size: int) -> Image:
    grain = _streaks(rng, size, size // 12)
    return _colour(grain * 2 - 0.5, (0.10, 0.14, 0.18), (0.35, 0.42, 0.48)) * _speckle(
        rng, size, 0.12
    )


def _glass(rng: np.random.Generator, size: int) -> Image:
    y = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    gray = 0.6 * np.abs(2 * y - 1) + 0.5 * _noise(rng, size, 3, 3)
    return _colour(gray, (0.16, 0.13, 0.10), (0.62, 0.55, 0.46))


def _cloth(rng: np.random.Generator, size: int) -> Image:
    y, x = np.mgrid[0:size, 0:size] * (2 * np.pi * 24 / size)
    weave = 0.85 + 0.08 * np.sin(x) * np.sin(y)
    folds = 0.6 + 0.6 * _noise(rng, size, 4, 4)
    return np.repeat((weave * folds)[..., None], 3, 2).astype(np.float32)


def _carpet(rng: np.random.Generator, size: int) -> Image:
    base = _colour(_noise(rng, size, 8, 6), (0.30, 0.26, 0.24), (0.62, 0.55, 0.50))
    return base * _speckle(rng, size, 0.22)


def _stripes(rng: np.random.Generator, size: int) -> Image:
    edges = np.sort(rng.integers(0, size, 15))
    tones = rng.uniform(0.15, 0.95, (16, 3)).astype(np.float32)
    out = tones[np.searchsorted(edges, np.arange(size))][None].repeat(size, 0)
    return out * _speckle(rng, size, 0.05) * (0.8 + 0.35 * _noise(rng, size, 6, 5)[..., None])


def _poster(rng: np.random.Generator, size: int) -> Image:
    image = np.full((size, size, 3), rng.integers(120, 255, 3), np.uint8)
    for _ in range(60):
        x, y, w, h = (int(n) for n in rng.integers(0, size, 4))
        tone = tuple(int(c) for c in rng.integers(10, 255, 3))
        kind = rng.integers(4)
        if kind == 0:
            cv2.rectangle(image, (x, y), (x + w // 5, y + h // 5), tone, -1)
        elif kind == 1:
            cv2.circle(image, (x, y), w // 10 + 2, tone, -1)
        elif kind == 2:
            cv2.line(image, (x, y), (w, h), tone, int(rng.integers(1, size // 50 + 2)))
        else:
            word = "".join(chr(c) for c in rng.integers(65, 91, 5))
            cv2.putText(image, word, (x, y), cv2.FONT_HERSHEY_DUPLEX, size / 256, tone, 2)
    return np.asarray(image.astype(np.float32) / 255 * _speckle(rng, size, 0.04), np.float32)


def _books(rng: np.random.Generator, size: int) -> Image:
    image = np.full((size, size, 3), (0.2, 0.3, 0.42), np.float32)
    shelf = size // 4
    for row in range(4):
        x = 2
        while x < size - 4:
            width = int(rng.integers(size // 50 + 2, size // 18 + 3))
            height = int(shelf * rng.uniform(0.6, 0.9))
            tone = rng.uniform(0.1, 0.9, 3)
            bottom = (row + 1) * shelf - size // 50
            image[bottom - height : bottom, x : x + width] = tone
            image[bottom - height // 2 : bottom - height // 2 + 3, x : x + width] = 1 - tone
            image[bottom - height : bottom, x : x + 1] *= 0.4
            x += width
    return image * _speckle(rng, size, 0.05)


def _sky(rng: np.random.Generator, size: int) -> Image:
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    cloud = np.clip(2.2 * _noise(rng, size, 4, 6) - 0.95, 0, 1)[..., None]
    blue = _colour(
        height + np.zeros((size, size), np.float32), (0.95, 0.80, 0.66), (0.85, 0.55, 0.30)
    )
    return (blue * (1 - cloud) + cloud * 0.95).astype(np.float32)


TEXTURES: dict[str, Callable[[np.random.Generator, int], Image]] = {
    "asphalt": _asphalt, "plaster": _plaster, "concrete": _concrete, "paint": _paint,
    "blank": _blank, "brick": _brick, "paving": _paving, "roof": _roof, "checker": _checker,
    "grass": _grass, "leaf": _leaf, "wood": _wood, "bark": _bark, "glass": _glass,
    "cloth": _cloth, "carpet": _carpet, "stripes": _stripes, "poster_a": _poster,
    "poster_b": _poster, "poster_c": _poster, "books": _books, "sky": _sky,
}  # fmt: skip

BORDER = 2  # wrapped texels around each level, so that bilinear look-ups never see a neighbour


@dataclass(frozen=True, eq=False)
class Atlas:
    """All textures in one image.

    Attributes:
        image: (H, W, 3) uint8.
        corner: (M, L, 2) float32, x and y of level l of material m's texture.
        size: edge of level 0, px.
    """

    image: NDArray[np.uint8]
    corner: NDArray[np.float32]
    size: int

    @property
    def levels(self) -> int:
        return self.corner.shape[1]


def build(seed: int, used: set[str], size: int = 256, contrast: float = 1.0) -> Atlas:
    """Draw the textures of the materials ``used``.

    Args:
        seed: of the world.
        used: names of materials.
        size: edge of the finest level, a power of two.
        contrast: 1 as drawn, 0 flat: how much texture stereo has to hold on to.
    """
    levels = int(np.log2(size)) - 2
    names = sorted({MATERIALS[name].texture for name in used})
    row = size + 2 * BORDER
    width = sum(size >> level for level in range(levels)) + 2 * BORDER * levels
    columns = max(1, int(np.ceil(np.sqrt(len(names) * row / width))))
    rows = -(-len(names) // columns)
    image = np.zeros((rows * row, columns * width, 3), np.uint8)
    corner = np.zeros((len(MATERIALS), levels, 2), np.float32)
    for k, name in enumerate(names):
        picture = TEXTURES[name](stream(seed, "texture " + name), size)
        mean = picture.mean((0, 1))
        picture = np.clip(mean + contrast * (picture - mean), 0, 1).astype(np.float32)
        x, y = (k % columns) * width, (k // columns) * row
        users = [m for m, material in enumerate(MATERIALS.values()) if material.texture == name]
        for level in range(levels):
            if level:
                picture = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            edge = size >> level
            padded = np.pad(picture, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="wrap")
            image[y : y + edge + 2 * BORDER, x : x + edge + 2 * BORDER] = np.rint(padded * 255)
            corner[users, level] = (x + BORDER, y + BORDER)
            x += edge + 2 * BORDER
    return Atlas(image, corner, size)
