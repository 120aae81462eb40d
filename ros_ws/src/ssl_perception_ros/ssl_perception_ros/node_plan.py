"""Which nodes run with which parameters and topics, from the arguments of a launch file.

Plain data, without ROS: ``launch_description`` makes the actions of ``ros2 launch`` of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from ssl_perception.io.scan_encoding import ConsumerName

# Every argument of the launch files: default and description.
ARGUMENTS = {
    "namespace": ("", "namespace of all nodes"),
    "config": ("", "YAML file with parameters under /**; all others as in perception.yaml"),
    "preset": ("", "settings to start from: drone, street (empty: none; sim: those of its world)"),
    "use_sim_time": ("false", "take the time from /clock"),
    "lidar": ("true", "run scene_flow (sim: empty, all but in a room)"),
    "stereo": ("true", "run stereo_depth and obstacle_distance"),
    "mono": ("true", "run mono_depth and depth_learner: monocular depth learnt from stereo"),
    "teacher": ("stereo", "the trusted range sensor: stereo, depth (a depth camera) or lidar"),
    "method": ("", "scene flow solver (empty: flow.method of config, else rigid_cluster)"),
    "store": ("", "folder of what the student learns (empty: ssl_perception in ~/.ros)"),
    "points": ("points", "topic of the lidar's sweeps"),
    "points_type": ("PointCloud2", "message of that topic: PointCloud2, or CustomMsg of a Livox"),
    "odom": ("odom", "topic of odometry, optional"),
    "left": ("left", "prefix of the left camera's images and camera_info"),
    "right": ("right", "prefix of the right camera's images and camera_info"),
    "image": ("image_rect", "name of the images below it; image_raw is rectified on the way"),
    "image_transport": ("raw", "raw, or compressed: the topics .../compressed of image_transport"),
    "consumer": (
        "",
        "who reads the obstacle distances: rep117, nav2, mavros, px4 (empty: as config says, "
        "else rep117)",
    ),
    "view": (
        "",
        "rad ahead that the sensors look at; beyond it nothing unknown is told as an obstacle "
        "(empty: as config says, else all around)",
    ),
    "component": ("false", "run the nodes in one process, which pass messages as they are"),
    "bag": ("", "recording to play; the launch ends with it"),
    "viewer": ("none", "rviz or foxglove (its bridge, port 8765), where installed; none"),
    "log_level": ("info", "of the nodes: debug, info, warn, error"),
    "world": ("room", "room, street, or the path of a .yaml world file"),
    "seed": ("0", "chooses the world, and the random turns of avoid"),
    "seconds": ("0.0", "of world time; the launch ends with it (0.0: never; a street: 120 s)"),
    "rate": ("1.0", "times real time (0.0: as fast as it can be computed)"),
    "lockstep": ("false", "the world waits for a command after each stereo pair"),
    "report": ("", ".json file with the figures of the flight, written at its end"),
    "avoid": ("", "run avoid, which steers the vehicle (empty: in a room alone)"),
}
CHOICES = {
    "consumer": ("", *get_args(ConsumerName)),
    "teacher": ("stereo", "depth", "lidar"),
    "image_transport": ("raw", "compressed"),
    "points_type": ("PointCloud2", "CustomMsg"),
    "viewer": ("none", "rviz", "foxglove"),
    "log_level": ("debug", "info", "warn", "error"),
}
SHOWN = ("viewer", "log_level")  # of every launch file
SWITCHES = (
    "use_sim_time",
    "lidar",
    "stereo",
    "mono",
    "component",
    "lockstep",
    "avoid",
)  # true or false

FLOW = (
    *("namespace", "config", "preset", "method", "use_sim_time"),
    *("points", "points_type", "odom", "consumer", "component", "bag"),
    *SHOWN,
)
DEPTH = (
    *("namespace", "config", "preset", "use_sim_time"),
    *("left", "right", "image", "image_transport", "points", "points_type", "odom"),
    *("teacher", "mono", "store", "consumer", "view", "component", "bag"),
    *SHOWN,
)
PERCEPTION = (
    *("namespace", "config", "preset", "use_sim_time", "lidar", "stereo", "mono"),
    *("teacher", "method", "store", "points", "points_type", "odom"),
    *("left", "right", "image", "image_transport", "consumer", "view", "component", "bag"),
    *SHOWN,
)
SIM = (
    *("world", "seed", "seconds", "rate", "lockstep", "report"),
    *("config", "preset", "lidar", "mono", "store", "consumer", "view", "component", "avoid"),
    *SHOWN,
)
SIM_DEFAULTS = {"lidar": ""}  # where they differ from the usual ones
# What sim.launch.py takes for an argument that is left empty, by kind of world.
WORLDS = {
    "room": {"preset": "drone", "lidar": "false", "avoid": "true"},
    "street": {"preset": "street", "lidar": "true", "avoid": "false"},
}
PLAYER_PATIENCE = 600.0  # s that a recording waits for its readers: the first start compiles

Arguments = Mapping[str, str]


@dataclass(frozen=True)
class NodePlan:
    """One node process.

    Attributes:
        executable: its name, and the node's.
        namespace: of the node's relative names.
        parameters: beside those of the YAML file; these win.
        remaps: topics by the names that the node has for them.
        from_file: whether the node takes the YAML file.
        ends_launch: whether everything ends when it does.
        respawn: whether it is started again when it ends by itself.
        components: the nodes that run in this process; none: it is one node.
    """

    executable: str
    namespace: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remaps: Mapping[str, str] = field(default_factory=dict)
    from_file: bool = True
    ends_launch: bool = False
    respawn: bool = False
    components: tuple[str, ...] = ()


def defaults(names: Iterable[str]) -> dict[str, str]:
    """The default of each of these arguments."""
    return {name: ARGUMENTS[name][0] for name in names}


def perception(given: Arguments) -> list[NodePlan]:
    """Scene flow from a lidar; depth and obstacle distance from a stereo camera; monocular depth.

    Args:
        given: any of ``PERCEPTION``; what is missing has its default.
    """
    values = {**defaults(PERCEPTION), **given}
    on = {name: is_true(values[name]) for name in ("lidar", "stereo", "mono", "use_sim_time")}
    shared = {"use_sim_time": on["use_sim_time"], **preset_parameter(values)}
    method = {"flow.method": values["method"]} if values["method"] else {}
    compressed = values["image_transport"] != "raw"
    images = {"image_transport": values["image_transport"]} if compressed else {}
    store = {"store": values["store"]} if values["store"] else {}
    student = {**store, **images}
    left, both = _cameras(values, "left"), _cameras(values, "left", "right")
    lidar = {"points": values["points"], "odom": values["odom"]}
    custom = values["points_type"] != "PointCloud2"
    sweeps = {"points_type": values["points_type"]} if custom else {}

    def node(
        executable: str, remaps: Mapping[str, str], extra: Mapping[str, Any], respawn: bool = False
    ) -> NodePlan:
        parameters = {**shared, **extra}
        return NodePlan(executable, values["namespace"], parameters, remaps, respawn=respawn)

    told = {"consumer": values["consumer"]} if values["consumer"] else {}
    view = {"view": float(values["view"])} if values["view"] else {}
    # with cameras obstacle_distance reads the lidar's scan, and tells the consumer what both see
    alone = bool(told) and not on["stereo"]
    lidar_told = {"lidar_consumer": values["consumer"]} if alone else {}
    plans = []
    if on["lidar"]:
        plans.append(node("scene_flow", lidar, {**method, **lidar_told, **sweeps}))
    if on["stereo"]:
        teacher: dict[str, Any] = {}
        if values["teacher"] == "stereo":
            plans.append(node("stereo_depth", both, images))
        else:
            teacher = {"teacher.source": values["teacher"]}
            depth_image = {"left/depth": f"{values['left']}/depth"}
            heard = {**left, **depth_image, **lidar}
            plans.append(node("depth_teacher", heard, {**teacher, **images, **sweeps}))
        own = {**teacher, **told, **view}
        plans.append(node("obstacle_distance", {"odom": values["odom"]}, own))
    if on["stereo"] and on["mono"]:
        plans.append(node("mono_depth", left, student))
        plans.append(node("depth_learner", left, student, respawn=True))
    # an RViz that listens isn't who the recording is for, and not each topic has a reader
    readers = " ".join("/".join(filter(None, (p.namespace, p.executable))) for p in plans)
    if plans and is_true(values["component"]):
        plans = [together(plans)]
    if values["bag"]:
        clock = 100.0 if on["use_sim_time"] else 0.0
        player = {
            "bag": values["bag"],
            "clock": clock,
            "wait": PLAYER_PATIENCE,
            "readers": readers,
        }
        plans.append(NodePlan("bag_player", "", player, from_file=False, ends_launch=True))
    return plans


def together(plans: list[NodePlan]) -> NodePlan:
    """These nodes in one process.

    A parameter, and a topic, means the same in every node, so all get those of each. What is
    started again by itself in a process of its own isn't here: it would take all others along.
    """
    return NodePlan(
        "component_container",
        plans[0].namespace,
        {name: value for plan in plans for name, value in plan.parameters.items()},
        {name: topic for plan in plans for name, topic in plan.remaps.items()},
        components=tuple(plan.executable for plan in plans),
    )


def flow(given: Arguments) -> list[NodePlan]:
    """Scene flow alone."""
    return perception({**given, "stereo": "false"})


def depth(given: Arguments) -> list[NodePlan]:
    """Depth and obstacle distance alone."""
    return perception({**given, "lidar": "false"})


def sim(given: Arguments) -> list[NodePlan]:
    """A simulated world, perception of it, and ``avoid`` in a room.

    Args:
        given: any of ``SIM``; what is missing or empty is as the world needs it.

    Raises:
        ValueError: ``avoid`` would run on scans that are meant for another consumer.
    """
    values = {**defaults(SIM), **SIM_DEFAULTS, **given}
    fitting = WORLDS.get(values["world"], {"lidar": "true", "avoid": "false"})
    values |= {name: values[name] or value for name, value in fitting.items()}
    preset, seed = preset_parameter(values), {"seed": int(values["seed"])}
    world = {
        "world": values["world"],
        **seed,
        "seconds": float(values["seconds"]),
        "rate": float(values["rate"]),
        "lockstep": is_true(values["lockstep"]),
        "report": values["report"],
    }
    plans = perception({n: values[n] for n in PERCEPTION if n in values} | {"use_sim_time": "true"})
    if is_true(values["avoid"]):
        if values["consumer"] not in ("", "rep117"):
            raise ValueError(f"avoid reads REP 117 scans, not for {values['consumer']}")
        plans.append(NodePlan("avoid", parameters={"use_sim_time": True, **preset, **seed}))
    plans.append(NodePlan("sim_world", parameters={**world, **preset}, ends_launch=True))
    return plans


def parameter_files(config: str, shipped: Path) -> list[Path]:
    """The files with parameters, those of the last one first in rank.

    Args:
        config: of the launch argument; what it doesn't name stays as shipped.
        shipped: the package's own.

    Raises:
        ValueError: there is no such file.
    """
    if not config:
        return [shipped]
    if not Path(config).is_file():
        raise ValueError(f"config:={config}: no such file")
    return [shipped, Path(config)]


def is_true(text: str) -> bool:
    """``true`` or ``false``, as launch arguments have it.

    Raises:
        ValueError: another text.
    """
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise ValueError(f"true or false expected, not {text!r}") from None


def preset_parameter(values: Arguments) -> dict[str, str]:
    """The parameter ``preset``, unless it is left to the YAML file."""
    return {"preset": values["preset"]} if values["preset"] else {}


def _cameras(values: Arguments, *sides: str) -> dict[str, str]:
    topics = {"image_rect": values["image"], "camera_info": "camera_info"}
    return {
        f"{side}/{ours}": f"{values[side]}/{theirs}"
        for side in sides
        for ours, theirs in topics.items()
    }
