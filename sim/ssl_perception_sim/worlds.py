"""Worlds ready to run, by kind and seed."""

from __future__ import annotations

from ssl_perception.errors import InputError
from ssl_perception_sim import street as streets
from ssl_perception_sim import textures
from ssl_perception_sim.camera import Light, StereoCamera, StereoRig
from ssl_perception_sim.lidar import Lidar
from ssl_perception_sim.materials import MATERIALS
from ssl_perception_sim.vehicles import Scripted
from ssl_perception_sim.world import World

STREET_CAMERA = StereoRig(baseline=0.3, mount=(1.2, 0.15, 1.45), shadows=True)


def make(kind: str, seed: int, seconds: float) -> World:
    """The standard world of a kind: ``street`` (car with lidar and stereo) or ``room`` (drone).

    Raises:
        InputError: another kind.
    """
    if kind == "street":
        return street(seed, seconds)
    raise InputError(f"unknown kind of world {kind!r}; choose room or street")


def street(
    seed: int,
    seconds: float,
    lidar: Lidar | None = None,
    rig: StereoRig | None = None,
) -> World:
    """A car that drives along a street with lidar and stereo."""
    place = streets.build(seed, seconds)
    atlas = textures.build(seed, set(MATERIALS))
    camera = StereoCamera(rig or STREET_CAMERA, place.scene, atlas, Light(), seed)
    return World(seed, place.scene, Scripted(place.ego), camera, lidar or Lidar())
