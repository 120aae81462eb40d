"""What a point belongs to."""

from __future__ import annotations

from enum import IntEnum


class Category(IntEnum):
    """Semantic class of a surface; the number is what logs and clouds carry."""

    GROUND = 0
    BUILDING = 1
    POLE = 2
    VEGETATION = 3
    CAR = 4
    TRUCK = 5
    BUS = 6
    CYCLIST = 7
    PEDESTRIAN = 8
    CLUTTER = 9
    WALL = 10
    FURNITURE = 11
    NOTHING = 255


FOREGROUND = (
    Category.CAR,
    Category.TRUCK,
    Category.BUS,
    Category.CYCLIST,
    Category.PEDESTRIAN,
)
