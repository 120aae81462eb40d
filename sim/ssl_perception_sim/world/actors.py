"""Things that drive, ride and walk: meshes in body coordinates (x forward, z up, on the ground)."""

from __future__ import annotations

import numpy as np

from ssl_perception_sim.world.categories import Category
from ssl_perception_sim.world.materials import INDEX
from ssl_perception_sim.world.mesh import (
    Mesh,
    box,
    ellipsoid,
    hexahedron,
    merge,
    tube,
)
from ssl_perception_sim.world.motion import Joint, Motion
from ssl_perception_sim.world.scene import Actor, Body

CAR_COLOURS = np.array(
    [
        (0.95, 0.95, 0.95),
        (0.75, 0.76, 0.78),
        (0.12, 0.12, 0.12),
        (0.30, 0.30, 0.32),
        (0.16, 0.16, 0.62),
        (0.55, 0.25, 0.10),
        (0.20, 0.32, 0.20),
        (0.55, 0.65, 0.75),
    ]
)  # fmt: skip  (blue, green, red)


def _wheels(length: float, width: float, radius: float, axles: tuple[float, ...]) -> list[Mesh]:
    wheel = tube(radius, radius, 0.22, INDEX["tyre"], (0.25, 0.25, 0.25), sides=12)
    wheel = wheel.permuted((0, 2, 1), (0, -0.11, 0))  # axle along y
    return [
        wheel.moved((axle * length, side * (width / 2 - 0.11), radius))
        for axle in axles
        for side in (-1, 1)
    ]


def _greenhouse(
    rear: float, front: float, width: float, low: float, high: float,
    rake: tuple[float, float], colour: np.ndarray,
) -> list[Mesh]:  # fmt: skip
    """The cabin: glass all round, pillars of body colour, a painted roof."""
    w, t = width / 2 - 0.04, width / 2 - 0.20
    foot = [[rear, -w, low], [front, -w, low], [front, w, low], [rear, w, low]]
    r, f = rear + rake[0], front - rake[1]
    top = [[r, -t, high], [f, -t, high], [f, t, high], [r, t, high]]
    cabin = hexahedron(
        np.array(foot + top), (INDEX["glass"], INDEX["paint"], INDEX["paint"]), (1, 1, 1)
    )
    roof = hexahedron(
        np.array([[r, -t - 0.02, high - 0.06], [f, -t - 0.02, high - 0.06],
                  [f, t + 0.02, high - 0.06], [r, t + 0.02, high - 0.06],
                  [r, -t + 0.05, high + 0.03], [f, -t + 0.05, high + 0.03],
                  [f, t - 0.05, high + 0.03], [r, t - 0.05, high + 0.03]]),
        INDEX["paint"], colour,
    )  # fmt: skip
    middle = (rear + front) / 2
    pillars = [
        hexahedron(
            np.array([[x - 0.06, y0 - 0.02, low], [x + 0.06, y0 - 0.02, low],
                      [x + 0.06, y0 + 0.02, low], [x - 0.06, y0 + 0.02, low],
                      [x - 0.06, y1 - 0.02, high], [x + 0.06, y1 - 0.02, high],
                      [x + 0.06, y1 + 0.02, high], [x - 0.06, y1 + 0.02, high]]),
            INDEX["paint"], colour,
        )
        for x in (middle,)
        for y0, y1 in ((-w, -t), (w, t))
    ]  # fmt: skip
    return [cabin, roof, *pillars]


def car(rng: np.random.Generator, object_id: int) -> Mesh:
    """A hatchback, saloon or van, 3.8 to 5 m long."""
    colour = CAR_COLOURS[rng.integers(len(CAR_COLOURS))]
    length, width = rng.uniform(3.8, 4.8), rng.uniform(1.7, 1.88)
    kind = rng.choice(["hatchback", "saloon", "van"], p=[0.5, 0.35, 0.15])
    paint = INDEX["paint"]
    half = length / 2
    belt, high = 0.88, rng.uniform(1.42, 1.55)
    rear, front, rake = -half + 0.15, half - 1.05, (0.35, 0.75)
    if kind == "saloon":
        rear, rake = -half + 0.75, (0.55, 0.8)
    if kind == "van":
        length, belt, high = rng.uniform(4.7, 5.2), 1.1, rng.uniform(1.9, 2.1)
        half = length / 2
        rear, front, rake = -half + 0.05, half - 0.5, (0.05, 0.65)
    hood = belt - 0.10
    w = width / 2
    tail_top = belt if kind != "saloon" else belt - 0.05
    lower = hexahedron(
        np.array([[-half, -w, 0.22], [half - 0.1, -w, 0.22], [half - 0.1, w, 0.22],
                  [-half, w, 0.22], [-half + 0.04, -w, 0.60], [half, -w, 0.55],
                  [half, w, 0.55], [-half + 0.04, w, 0.60]]), paint, colour,
    )  # fmt: skip
    upper = hexahedron(
        np.array([[-half + 0.04, -w, 0.60], [half, -w, 0.55], [half, w, 0.55],
                  [-half + 0.04, w, 0.60], [-half + 0.08, -w + 0.05, tail_top],
                  [half - 0.2, -w + 0.08, hood], [half - 0.2, w - 0.08, hood],
                  [-half + 0.08, w - 0.05, tail_top]]), paint, colour,
    )  # fmt: skip
    plates = [
        box((0.02, 1.2, 0.18), INDEX["sign"], (0.2, 0.2, 0.9)).moved((-half - 0.0, 0, 0.62)),
        box((0.02, 1.3, 0.14), INDEX["metal"], (0.9, 0.95, 0.95)).moved((half, 0, 0.5)),
    ]
    mirrors = [
        box((0.12, 0.22, 0.14), paint, colour).moved((front - 0.25, side * (w + 0.08), belt))
        for side in (-1, 1)
    ]
    parts = [lower, upper, *plates, *mirrors]
    parts += _greenhouse(rear, front, width, belt - 0.06, high, rake, colour)
    parts += _wheels(length, width, 0.32, (-0.31, 0.31))
    return merge(parts).labelled(Category.CAR, object_id)


def truck(rng: np.random.Generator, object_id: int) -> Mesh:
    """A lorry with a box, 7 to 9 m long."""
    colour = CAR_COLOURS[rng.integers(len(CAR_COLOURS))]
    length = rng.uniform(7.0, 9.0)
    half = length / 2
    cab = box((2.0, 2.4, 2.4), INDEX["paint"], colour, (0.85, 0.95)).moved((half - 1.0, 0, 0.45))
    screen = box((0.05, 2.1, 0.9), INDEX["glass"]).moved((half - 0.12, 0, 1.65))
    load = box((length - 2.3, 2.5, 2.6), INDEX["paint"], (0.9, 0.92, 0.93)).moved((-1.15, 0, 0.95))
    frame = box((length - 0.5, 0.9, 0.45), INDEX["metal"], (0.3, 0.3, 0.3)).moved((0, 0, 0.5))
    parts = [cab, screen, load, frame, *_wheels(length, 2.4, 0.48, (-0.33, -0.2, 0.34))]
    return merge(parts).labelled(Category.TRUCK, object_id)


def bus(rng: np.random.Generator, object_id: int) -> Mesh:
    """A city bus, 11 to 12 m long."""
    return _bus(rng, object_id, 11.0, 12.0)


def coach(rng: np.random.Generator, object_id: int) -> Mesh:
    """A coach as long as they get, 14.5 to 15 m."""
    return _bus(rng, object_id, 14.5, 15.0)


def _bus(rng: np.random.Generator, object_id: int, shortest: float, longest: float) -> Mesh:
    colour = rng.uniform(0.2, 0.9, 3)
    length, width = rng.uniform(shortest, longest), 2.55
    lower = box((length, width, 0.95), INDEX["paint"], colour).moved((0, 0, 0.3))
    band = box((length - 0.1, width - 0.06, 1.15), INDEX["glass"]).moved((0, 0, 1.25))
    upper = box((length, width, 0.6), INDEX["paint"], colour).moved((0, 0, 2.4))
    posts = [
        box((0.12, width - 0.02, 1.15), INDEX["paint"], colour).moved((x, 0, 1.25))
        for x in np.linspace(-length / 2 + 0.1, length / 2 - 0.1, 7)
    ]
    parts = [lower, band, upper, *posts, *_wheels(length, width, 0.48, (-0.28, 0.3))]
    return merge(parts).labelled(Category.BUS, object_id)


def pedestrian(rng: np.random.Generator, object_id: int, motion: Motion, speed: float) -> Actor:
    """A walker of seven rigid parts: trunk with head, two legs with knees, two arms.

    Legs and arms swing at the pace that the walking ``speed`` (m/s) asks for.
    """
    height = rng.uniform(1.55, 1.9)
    k = height / 1.75
    shirt, trousers = rng.uniform(0.1, 0.9, 3), rng.uniform(0.08, 0.5, 3)
    skin = np.array([0.55, 0.65, 0.85]) * rng.uniform(0.5, 1.1)
    cloth, flesh = INDEX["cloth"], INDEX["skin"]
    phase = rng.uniform(0, 2 * np.pi)
    rate = 2 * np.pi * speed / (1.45 * k)  # a stride of 1.45 m
    swing = min(0.5, 0.42 * speed / 1.3)

    trunk = merge(
        [
            ellipsoid((0.13 * k, 0.21 * k, 0.36 * k), cloth, shirt).moved((0, 0, 1.18 * k)),
            ellipsoid((0.10 * k, 0.09 * k, 0.13 * k), flesh, skin).moved((0, 0, 1.62 * k)),
            box((0.2 * k, 0.3 * k, 0.2 * k), cloth, trousers).moved((0, 0, 0.80 * k)),
        ]
    )
    if rng.random() < 0.35:  # a rucksack
        bag = box((0.18, 0.3, 0.42), cloth, rng.uniform(0.1, 0.9, 3))
        trunk = merge([trunk, bag.moved((-0.2 * k, 0, 1.0 * k))])

    def limb(top: float, bottom: float, length: float, tint: np.ndarray) -> Mesh:
        return tube(bottom, top, length, cloth, tint, sides=6).moved((0, 0, -length))

    shoe = box((0.26 * k, 0.1 * k, 0.08 * k), cloth, (0.15, 0.15, 0.15))
    shin = merge(
        [limb(0.06 * k, 0.045 * k, 0.42 * k, trousers), shoe.moved((0.05 * k, 0, -0.44 * k))]
    )
    parts = [Body(trunk.labelled(Category.PEDESTRIAN, object_id), motion)]
    for side, offset in ((-1, 0.0), (1, np.pi)):
        hip = Joint(
            motion, np.array([0, side * 0.1 * k, 0.88 * k]), 0.0, swing, rate, phase + offset
        )
        knee = Joint(
            hip, np.array([0, 0, -0.43 * k]), 0.35 * min(1.0, speed), 0.3 * min(1.0, speed),
            rate, phase + offset + np.pi / 2,
        )  # fmt: skip
        shoulder = Joint(
            motion, np.array([0, side * 0.24 * k, 1.42 * k]), -0.1, 0.8 * swing, rate,
            phase + offset + np.pi,
        )  # fmt: skip
        for joint, mesh in (
            (hip, limb(0.09 * k, 0.065 * k, 0.44 * k, trousers)),
            (knee, shin),
            (shoulder, limb(0.055 * k, 0.04 * k, 0.62 * k, shirt)),
        ):
            parts.append(Body(mesh.labelled(Category.PEDESTRIAN, object_id), joint))
    return Actor(motion, parts, "pedestrian")


def cyclist(rng: np.random.Generator, object_id: int, motion: Motion, speed: float) -> Actor:
    """A bicycle with a rider; both wheels and both legs turn."""
    frame_colour, shirt = rng.uniform(0.1, 0.9, 3), rng.uniform(0.1, 0.95, 3)
    trousers = rng.uniform(0.08, 0.4, 3)
    metal, cloth, flesh = INDEX["metal"], INDEX["cloth"], INDEX["skin"]
    tilted = hexahedron(  # the rider's back leans forward
        np.array([[-0.30, -0.17, 0.92], [-0.08, -0.17, 0.92], [-0.08, 0.17, 0.92],
                  [-0.30, 0.17, 0.92], [0.08, -0.2, 1.42], [0.28, -0.2, 1.38],
                  [0.28, 0.2, 1.38], [0.08, 0.2, 1.42]]), cloth, shirt,
    )  # fmt: skip
    arms = [
        hexahedron(
            np.array([[0.42, y - 0.03, 1.0], [0.48, y - 0.03, 1.0], [0.48, y + 0.03, 1.0],
                      [0.42, y + 0.03, 1.0], [0.15, y - 0.04, 1.36], [0.22, y - 0.04, 1.36],
                      [0.22, y + 0.04, 1.36], [0.15, y + 0.04, 1.36]]), cloth, shirt,
        )
        for y in (-0.22, 0.22)
    ]  # fmt: skip
    bar = box((0.95, 0.04, 0.05), metal, frame_colour)
    body = merge(
        [
            tilted,
            *arms,
            ellipsoid((0.11, 0.09, 0.13), flesh, (0.5, 0.62, 0.8)).moved((0.28, 0, 1.55)),
            bar.moved((0, 0, 0.55)),
            box((0.05, 0.04, 0.6), metal, frame_colour).moved((-0.2, 0, 0.35)),
            box((0.05, 0.04, 0.75), metal, frame_colour).moved((0.45, 0, 0.35)),
            box((0.05, 0.5, 0.04), metal, frame_colour).moved((0.45, 0, 1.0)),
        ]
    )

    def label(mesh: Mesh) -> Mesh:
        return mesh.labelled(Category.CYCLIST, object_id)

    rim = tube(0.34, 0.34, 0.04, INDEX["tyre"], (0.2, 0.2, 0.2), sides=14, caps=False)
    spokes = [box((0.66, 0.01, 0.03), metal).moved((0, 0, -0.015), 0.0)]
    wheel = merge([rim.permuted((0, 2, 1), (0, -0.02, 0)), *spokes])
    parts = [Body(label(body), motion)]
    for x in (-0.52, 0.52):
        axle = Joint(motion, np.array([x, 0, 0.34]), rate=speed / 0.34, spin=True)
        parts.append(Body(label(wheel), axle))
    phase, cadence = rng.uniform(0, 2 * np.pi), 2 * np.pi * 1.1
    for side, offset in ((-1, 0.0), (1, np.pi)):
        hip = Joint(
            motion, np.array([-0.2, side * 0.12, 0.95]), -0.75, 0.35, cadence, phase + offset
        )
        knee = Joint(hip, np.array([0, 0, -0.42]), 1.1, 0.35, cadence, phase + offset + 0.7)
        thigh = tube(0.06, 0.09, 0.43, cloth, trousers, sides=6).moved((0, 0, -0.43))
        shin = tube(0.045, 0.06, 0.45, cloth, trousers, sides=6).moved((0, 0, -0.45))
        parts += [Body(label(thigh), hip), Body(label(shin), knee)]
    return Actor(motion, parts, "cyclist")
