"""Surfaces: which texture, how it answers a laser, how large one repeat is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Material:
    """One kind of surface.

    Attributes:
        texture: name in ``textures.TEXTURES``.
        repeat: m that one repeat of the texture takes.
        reflectance: of the surface for a near-infrared laser, 0 to 1.
        glass: share of laser pulses that go astray (mirrored away or let through).
    """

    texture: str
    repeat: float
    reflectance: float
    glass: float = 0.0


MATERIALS: dict[str, Material] = {
    "asphalt": Material("asphalt", 4.0, 0.13),
    "marking": Material("plaster", 2.0, 0.6),
    "paving": Material("paving", 2.0, 0.3),
    "grass": Material("grass", 3.0, 0.45),
    "brick": Material("brick", 2.0, 0.35),
    "plaster": Material("plaster", 3.0, 0.5),
    "concrete": Material("concrete", 3.0, 0.4),
    "wood": Material("wood", 1.5, 0.45),
    "roof": Material("roof", 2.5, 0.3),
    "glass": Material("glass", 2.0, 0.15, 0.7),
    "door": Material("wood", 2.0, 0.4),
    "bark": Material("bark", 1.0, 0.35),
    "leaf": Material("leaf", 1.0, 0.5),
    "paint": Material("paint", 3.0, 0.35, 0.05),
    "tyre": Material("concrete", 1.0, 0.06),
    "metal": Material("paint", 1.0, 0.3, 0.05),
    "cloth": Material("cloth", 0.5, 0.4),
    "skin": Material("paint", 0.5, 0.45),
    "sign": Material("poster_a", 0.8, 0.9),
    "stripes": Material("stripes", 1.6, 0.5),
    "poster_a": Material("poster_a", 1.6, 0.5),
    "poster_b": Material("poster_b", 1.6, 0.5),
    "poster_c": Material("poster_c", 1.6, 0.5),
    "books": Material("books", 1.2, 0.4),
    "checker": Material("checker", 1.6, 0.4),
    "carpet": Material("carpet", 1.5, 0.4),
    "blank": Material("blank", 4.0, 0.7),
    "sky": Material("sky", 1.0, 0.0),
}
INDEX: dict[str, int] = {name: k for k, name in enumerate(MATERIALS)}
