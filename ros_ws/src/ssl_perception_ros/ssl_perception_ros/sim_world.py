"""Node ``sim_world``: a simulated world that takes ``cmd_vel`` and gives sensors, truth and /clock.

The sensors' messages are those that ``ssl-perception simulate`` writes into a bag. In real time, n
times that, or as fast as it can be computed; in lockstep it waits for the answer to each stereo
pair, so that a slow machine flies as well as a fast one.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
from geometry_msgs.msg import Twist
from rosgraph_msgs.msg import Clock

from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.obstacles.avoid import Command
from ssl_perception_ros import messages
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.node import PerceptionNode
from ssl_perception_ros.process import run
from ssl_perception_ros.settings import SimWorldSettings

try:
    from ssl_perception_sim.experiments.flight_record import FlightRecord
    from ssl_perception_sim.recording import topics
    from ssl_perception_sim.world import worlds
    from ssl_perception_sim.world.vehicles import Scripted
except ImportError as error:
    print(f"error: the simulator isn't installed (extra `sim`): {error}", file=sys.stderr)
    raise SystemExit(2) from None

TRAFFIC = 120.0  # s that a street is made for when no length is given; 4 MB a second
STALLED = 5.0  # s of real time in which a world must get a step done
SETTLE = 0.5  # s from seeing the last reader to its seeing us
POLL = 0.02  # s
SENSOR_DEPTH = 20  # messages kept for reliable readers that are behind


class SimWorldNode(PerceptionNode):
    own = SimWorldSettings

    def __init__(self) -> None:
        super().__init__("sim_world")
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._answered = threading.Condition()

    def prepare(self) -> None:
        self.health = Health("steps", STALLED)
        settings = self.settings
        self._world = worlds.make(settings.world, settings.seed, settings.seconds or TRAFFIC)
        self._world.tick = settings.tick
        drives = isinstance(self._world.vehicle, Scripted)  # its path ends some time
        self._until = settings.seconds or (TRAFFIC if drives else math.inf)
        self._flight = FlightRecord(self._world.seed)
        publishers = {}
        for topic, name in topics.topic_types(self._world, settings.truth).items():
            kind = messages.message_type(name)
            if kind is None:
                self.get_logger().warning(f"{topic}: {name} isn't installed; left out")
                continue
            latched = topic == "tf_static"
            publishers[topic] = self.publish_on(
                kind, f"/{topic}" if latched else topic, 1 if latched else SENSOR_DEPTH, latched
            )
        self._cameras = [publishers[t] for t in publishers if t.endswith("image_rect")]
        self._ticks = self.publish_on(Clock, "/clock")

    def begin(self) -> None:
        self._command, self._commands = Command(), 0
        self._commanded = self._world.time
        self.subscribe(Twist, "cmd_vel", self._take)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        with self._answered:
            self._answered.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _take(self, message: Twist) -> None:
        command = Command(message.linear.x, message.angular.z)
        if not np.isfinite([command.vx, command.yaw_rate]).all():
            self.health.refuse("cmd_vel isn't finite")
            self.complain("cmd_vel isn't finite: the vehicle stops")
            command = Command()
        with self._answered:
            self._command, self._commanded = command, self._world.time
            self._commands += 1
            self._answered.notify_all()

    def _run(self) -> None:
        try:
            topics.write_mounts(self.output, self._world)
            self._live()
            if not self._stop.is_set():
                self._tell_flight()
                self.done.set_result(True)
        except InputError as error:
            self.get_logger().error(str(error))
            self.done.set_result(False)
        except Exception:
            if not self.context.ok():  # the process ends: whatever publishes fails now
                return
            self.get_logger().error(traceback.format_exc())
            self.done.set_result(False)

    def _live(self) -> None:
        settings, world = self.settings, self._world
        if settings.lockstep:
            self._wait_for_pilot()
        due = time.perf_counter()
        while not self._stop.is_set():
            if world.time >= self._until - 1e-9:
                return
            started = time.perf_counter()
            self._step()
            taken = time.perf_counter() - started
            flight = self._flight
            self.health.publish(
                taken,
                {
                    "world_s": f"{world.time:.2f}",
                    "crashes": flight.crashes,
                    "least_clearance_m": f"{flight.least_clearance:.2f}",
                    "metres": f"{flight.distance:.1f}",
                },
            )
            if settings.rate:
                # a world that can't keep up gets slower; it doesn't make up for it in a burst
                due = max(due + world.tick / settings.rate, started)
                self._stop.wait(max(0.0, due - time.perf_counter()))

    def _step(self) -> None:
        world = self._world
        with self._answered:
            late = world.time - self._commanded > self.settings.command_timeout
            command = Command() if late else self._command
        sensors = world.step(command)
        self.health.input()
        self._flight.add(world, sensors, command)
        seconds, nanoseconds = divmod(topics.stamp_ns(world.time), 1_000_000_000)
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = seconds, nanoseconds
        self._ticks.publish(clock)
        told = self._commands  # what came until now answers an earlier pair
        for reading in sensors.readings:
            topics.write_reading(self.output, world, reading, self.settings.truth)
        if self.settings.lockstep and sensors.frames:
            with self._answered:
                self._answered.wait_for(
                    lambda: self._commands > told or self._stop.is_set(),
                    self.settings.lockstep_patience,
                )

    def _wait_for_pilot(self) -> None:
        """Until somebody sees and somebody steers; a pair that nobody sees has no answer."""
        limit = time.monotonic() + self.settings.lockstep_patience
        while time.monotonic() < limit and not self._stop.wait(POLL):
            seen = all(camera.get_subscription_count() for camera in self._cameras)
            if seen and self.count_publishers(self.resolve_topic_name("cmd_vel")):
                self._stop.wait(SETTLE)
                return

    def _tell_flight(self) -> None:
        figures = self._flight.figures()
        self.get_logger().info(
            ", ".join(f"{name} {value:.4g}" for name, value in figures.items() if value is not None)
        )
        if self.settings.report:
            write_json(Path(self.settings.report), figures)


def main() -> int:
    return run(SimWorldNode)


if __name__ == "__main__":
    raise SystemExit(main())
