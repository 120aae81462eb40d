"""World files: a YAML description of any world.

    kind: street
    seed: 3
    street: {lanes: 2, pedestrians: 12, slope: 0.06}
    lidar: {pattern: beams32, columns: 1800}
    camera: null
    faults:
      - {fault: lidar_dead_sector, first: 20, last: 60, start: 5}

Every key is optional but ``kind``. Unknown keys and values out of bounds are refused with one line
that names the key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError

from ssl_perception.config import Section, read_yaml, shown
from ssl_perception.errors import InputError
from ssl_perception_sim.sensors.camera import Light, StereoRig
from ssl_perception_sim.sensors.faults import FAULTS, Fault
from ssl_perception_sim.sensors.lidar import Lidar
from ssl_perception_sim.world.road import StreetPlan
from ssl_perception_sim.world.room import RoomPlan

Length = Annotated[float, Field(gt=0, le=1000)]  # m
Coordinate = Annotated[float, Field(ge=-10_000, le=10_000)]  # m


class Thing(Section):
    """Something that stands there."""

    shape: Literal["box", "cylinder"] = Field("box", description="of it")
    size: tuple[Length, Length, Length] = Field(
        (1.0, 1.0, 1.0), description="length, width, height, m"
    )
    position: tuple[Coordinate, Coordinate, Coordinate] = Field(
        (2.0, 0.0, 0.0), description="of its foot, m"
    )
    yaw: float = Field(0.0, ge=-360, le=360, description="degrees")
    material: str = Field("brick", description="a name of materials.MATERIALS")


class Mover(Section):
    """Something that moves with constant speed and yaw rate."""

    what: Literal["car", "truck", "bus", "cyclist", "pedestrian"] = Field(
        "car", description="it is"
    )
    position: tuple[Coordinate, Coordinate, Coordinate] = Field(
        (10.0, 3.0, 0.0), description="at t = 0, m"
    )
    yaw: float = Field(0.0, ge=-360, le=360, description="heading at t = 0, degrees")
    speed: float = Field(5.0, ge=0, le=60, description="m/s")
    yaw_rate: float = Field(0.0, ge=-360, le=360, description="degrees/s")


class Driver(Section):
    """What carries the sensors."""

    kind: Literal["own_path", "drone", "rotorpy", "car"] = Field(
        "own_path",
        description="own_path: a street's car drives by itself; the others obey commands",
    )
    lag: float = Field(0.25, gt=0, le=5, description="s, of speed and yaw rate")
    acceleration: float = Field(3.0, gt=0, le=30, description="m/s2, at most")
    height: float = Field(1.2, ge=0, le=100, description="m, of a drone")


class OdometryModel(Section):
    """How well the robot knows where it is."""

    rate: float = Field(50.0, gt=0, le=1000, description="poses a second")
    drift: float = Field(0.005, ge=0, le=0.5, description="relative error of speed (std)")


class WorldFile(Section):
    """A world."""

    kind: Literal["room", "street"]
    seed: int | None = Field(None, ge=0, le=2**63, description="of every random choice")
    street: StreetPlan | None = Field(None, description="None: chosen by the seed")
    room: RoomPlan | None = Field(None, description="None: chosen by the seed")
    camera: StereoRig | Literal["default"] | None = Field("default", description="null: none")
    lidar: Lidar | Literal["default"] | None = Field("default", description="null: none")
    light: Light | None = Field(None, description="None: as usual for the kind")
    vehicle: Driver | None = Field(None, description="None: as usual for the kind")
    odometry: OdometryModel = OdometryModel()
    things: tuple[Thing, ...] = Field((), max_length=1000, description="that stand there besides")
    movers: tuple[Mover, ...] = Field((), max_length=200, description="that move besides")
    faults: tuple[Fault, ...] = Field((), max_length=100, description="what goes wrong")


def parse(values: dict[str, Any], source: str = "world") -> WorldFile:
    """Validate a description.

    Raises:
        InputError: on an unknown key or a value out of bounds; the line names the first key.
    """
    try:
        return WorldFile.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{source}: {_first(error)}") from None


def load(path: Path) -> WorldFile:
    """Read a world file.

    Raises:
        InputError: file missing, too large, not YAML, or not a valid description.
    """
    return parse(read_yaml(path), str(path))


def _first(error: ValidationError) -> str:
    """The first complaint in one line, with the key's dotted name."""
    # pydantic puts the names of union members between the keys; a reader has never heard of them
    branches = {"StereoRig", "Lidar", "literal['default']"}
    first = max(error.errors(), key=lambda e: len([p for p in e["loc"] if p not in branches]))
    tags = {p for p in first["loc"] if isinstance(p, str) and p in _FAULT_NAMES}
    key = ".".join(str(p) for p in first["loc"] if p not in branches and p not in tags)
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"].startswith("union_tag"):
        return f"{key}: fault must be one of {', '.join(sorted(_FAULT_NAMES))}"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{key or '(top level)'}: {message}, not {shown(first['input'])}"


_FAULT_NAMES = {name for kind in FAULTS for name in get_args(kind.model_fields["fault"].annotation)}
