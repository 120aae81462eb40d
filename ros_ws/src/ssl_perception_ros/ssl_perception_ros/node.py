"""What all nodes share: lifecycle, parameters, diagnostics and a worker."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, ROSClock
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, Publisher, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from rclpy.timer import Timer

from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception_ros import parameters, qos
from ssl_perception_ros.diagnostics import Health
from ssl_perception_ros.exchange import Reader
from ssl_perception_ros.settings import LifecycleSettings
from ssl_perception_ros.topic_output import TopicOutput
from ssl_perception_ros.worker import SlowWork, Worker

DIAGNOSTICS_PERIOD = 1.0  # s
PATIENCE = 2.0  # s that stopping waits for the item in hand
UNNOTICED = 2.0  # s of slow work that needs no word in the log
OF_ROS = ("use_sim_time", "qos_overrides.")  # parameters that rclpy looks after
SAME_COMPLAINT = 5.0  # s before the same line is logged again

T = TypeVar("T")
P = ParamSpec("P")
SUCCESS = TransitionCallbackReturn.SUCCESS


class PerceptionNode(LifecycleNode):
    """A lifecycle node with parameters out of the settings and a voice on /diagnostics.

    Subclasses say what they use (``sections``, ``own``, ``live``), fill in ``prepare`` (configure:
    build, ``publish_on``), ``begin`` (activate: ``subscribe``, ``work_on``) and, when they hold
    more than that, ``end`` and ``release``. Publishers live from configure to cleanup;
    subscriptions, timers and the worker only while active, so that a node that isn't active costs
    nothing and who waits for its subscriptions waits for its being active.

    Attributes:
        config: the library's configuration, valid from ``prepare`` on.
        settings: the node's own.
        health: what /diagnostics tells; a node without input has none.
        output: encodes the library's types onto the topics of ``publish_on``.
        done: complete it to end the process: with True, exit code 0; with False, 2.
    """

    sections: ClassVar[tuple[str, ...]] = ()
    own: ClassVar[type[LifecycleSettings]] = LifecycleSettings
    live: ClassVar[tuple[str, ...]] = ("timeout",)  # how names begin that may change any time

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.done: Future = Future()
        self._health: Health | None = None
        self._worker: Worker[Any] | None = None
        self.output = TopicOutput()
        self._outputs: list[Publisher] = []
        self._inputs: list[Any] = []
        self._readers: list[Reader] = []
        self._clockwork: list[Timer] = []
        self._complaints: dict[str, float] = {}
        self._begun = False
        self._configures_itself = False  # in `start`, not in a service's callback
        self.unfinished = False
        parameters.declare(self, self.own, self.sections)
        self._read_settings()
        self.add_on_set_parameters_callback(self._on_set)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # steady: a simulated clock that stands still must not silence the diagnostics
        self.create_timer(
            DIAGNOSTICS_PERIOD, self._tell_health, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    # what subclasses fill in

    def prepare(self) -> None:
        """Configure: build what the settings say.

        Raises:
            InputError: they can't be used; the node stays unconfigured.
        """

    def begin(self) -> None:
        """Activate: start listening."""

    def adapt(self) -> None:
        """Settings among ``live`` have changed, while configured; in the executor's thread."""

    def end(self) -> None:
        """Deactivate, once after ``begin``: subscriptions, timers and worker are gone already."""

    def release(self) -> None:
        """Clean up: publishers are gone already."""

    # what subclasses use

    @property
    def health(self) -> Health:
        assert self._health is not None, "prepare sets it"
        return self._health

    @health.setter
    def health(self, health: Health) -> None:
        self._health = health

    @property
    def active(self) -> bool:
        return bool(self._state_machine.current_state[1] == "active")

    def publish_on(
        self, kind: type, topic: str, depth: int = 10, latched: bool = False
    ) -> Publisher:
        """A reliable publisher, so that readers of both kinds match; ``qos_overrides`` count.

        Args:
            latched: who comes later gets the last ``depth`` messages too.

        Raises:
            InputError: ``qos_overrides`` that make no sense.
        """
        with qos.overrides():
            publisher = self.create_lifecycle_publisher(
                kind,
                topic,
                qos.of_publisher(depth, latched),
                qos_overriding_options=qos.OVERRIDABLE,
            )
        self._outputs.append(publisher)
        if self.output.exchange is not None:
            self.output.exchange.offer(publisher.topic_name)
        self.output.publishers[topic.lstrip("/")] = publisher
        return publisher

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int = 5,
        latched: bool = False,
        raw: bool = False,
    ) -> None:
        """A best-effort subscription (sensor data), so that writers of both kinds match;
        ``qos_overrides`` count, but not for what a node of the same process publishes.

        Args:
            latched: reliable and transient local: the last message sent before comes as well.
            raw: give the callback the serialised bytes. Large messages are then decoded in the
                worker thread, without a copy, and not at all if they are skipped.

        Raises:
            InputError: ``qos_overrides`` that make no sense.
        """
        exchange, full_name = self.output.exchange, self.resolve_topic_name(topic)
        if exchange is not None and not raw and not latched and exchange.offers(full_name):
            assert self.executor is not None, "who has an exchange shares an executor"
            reader = Reader(self.guarded(callback), depth, self.executor)
            self._readers.append(reader)
            exchange.read(full_name, reader)
            return
        with qos.overrides():
            subscription = self.create_subscription(
                kind,
                topic,
                self.guarded(callback),
                qos.of_subscription(depth, latched),
                raw=raw,
                qos_overriding_options=qos.OVERRIDABLE,
            )
        self._inputs.append(subscription)

    def seconds(self) -> float:
        """The clock of timeouts: simulated time once it runs, for a slow world isn't a silent one;
        else a steady clock, for the system's may jump."""
        clock = self.get_clock()
        if isinstance(clock, ROSClock) and clock.ros_time_is_active:
            simulated = clock.now().nanoseconds
            if simulated:
                return simulated * 1e-9
        return time.monotonic()

    def published(self, topic: str) -> bool:
        """Somebody publishes on this topic now."""
        return self.count_publishers(self.resolve_topic_name(topic)) > 0

    def every(self, seconds: float, work: Callable[[], None]) -> None:
        """Do ``work`` at a steady rate, whatever a simulated clock says; guarded."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._clockwork.append(self.create_timer(seconds, self.guarded(work), clock=steady))

    def wait_for(self, work: Callable[[], None], what: str) -> None:
        """Slow work while the node is configured, such as compiling, that ends with the process.

        In this thread a signal would be noticed only when the work is done. Meanwhile a node that
        configures itself answers services and says on /diagnostics what it is at.

        Args:
            what: what it does, for the log and the diagnostics.
        """
        began, said = time.monotonic(), False
        self.unfinished = True
        if self._health is not None:
            self._health.busy = what
        slow = SlowWork(work)
        while slow.running:
            if self._configures_itself and self.executor is not None:
                self.executor.spin_once(timeout_sec=0.05)
            else:  # in a callback of the executor's, which then can't spin
                slow.wait(0.05)
            if not self.context.ok():
                raise ExternalShutdownException
            if not said and time.monotonic() - began > UNNOTICED:
                said = True
                self.get_logger().info(f"{what} ...")
        if said:
            self.get_logger().info(f"{what}: done in {time.monotonic() - began:.0f} s")
        self.unfinished = False
        if self._health is not None:
            self._health.busy = ""
        slow.finish()

    def work_on(self, work: Callable[[T], None], capacity: int) -> Worker[T]:
        """A worker for slow work, guarded."""
        worker: Worker[T] = Worker(self.guarded(work), capacity, self.health.skip)
        self._worker = worker
        return worker

    def guarded(self, work: Callable[P, None]) -> Callable[P, None]:
        """``work``, its failures reported and never fatal: a robot goes on with the next frame."""

        def run_guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                work(*args, **kwargs)
            except InputError as error:
                if self._health is not None:
                    self._health.refuse(str(error))
                self.complain(str(error))
            except Exception as error:
                if not self.context.ok():  # the process ends: whatever publishes fails now
                    return
                if self._health is not None:
                    self._health.fail(f"{type(error).__name__}: {' '.join(str(error).split())}")
                self.complain(traceback.format_exc())

        return run_guarded

    def complain(self, line: str) -> None:
        """Log a warning, the same one at most every five seconds."""
        now = time.monotonic()
        if now - self._complaints.get(line, -SAME_COMPLAINT) >= SAME_COMPLAINT:
            if len(self._complaints) > 100:
                self._complaints.clear()
            self._complaints[line] = now
            self.get_logger().warning(line)

    # lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._read_settings()
            self.prepare()
        except InputError as error:
            self.get_logger().error(" ".join(str(error).split()))
            self._drop_outputs()
            return TransitionCallbackReturn.FAILURE
        except ExternalShutdownException:
            return TransitionCallbackReturn.FAILURE
        except Exception:  # rclpy would swallow it
            if not self.context.ok():  # the process ends: no publisher can be made any more
                return TransitionCallbackReturn.FAILURE
            self.get_logger().error(traceback.format_exc())
            self._drop_outputs()
            return TransitionCallbackReturn.ERROR
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        if self._health is not None:
            self._health.activated()
        self._begun = True
        try:
            self.begin()
        except Exception as error:
            if self.context.ok():  # else the process ends
                line = str(error) if isinstance(error, InputError) else traceback.format_exc()
                self.get_logger().error(line)
            self._halt()
            return TransitionCallbackReturn.ERROR
        self.get_logger().info("active")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._halt()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._drop_outputs()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._halt()
        self._drop_outputs()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._halt()
        self._drop_outputs()
        return super().on_error(state)

    def configure(self) -> bool:
        """Configure, unless told to wait for transitions; False when that failed."""
        if not self.settings.autostart:
            return True
        self._configures_itself = True
        try:
            return bool(self.trigger_configure() == SUCCESS)
        finally:
            self._configures_itself = False

    def activate(self) -> bool:
        """Activate, unless told to wait for transitions; False when that failed."""
        return not self.settings.autostart or bool(self.trigger_activate() == SUCCESS)

    def close(self) -> None:
        """Stop working, for the end of the process."""
        self._halt()

    def _halt(self) -> None:
        for timer in self._clockwork:
            self.destroy_timer(timer)
        self._clockwork.clear()
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()
        for reader in self._readers:
            assert self.output.exchange is not None
            self.output.exchange.leave(reader)
        self._readers.clear()
        if self._worker is not None:
            # nobody can interrupt a solver; what it answers later is dropped (publishers are off)
            self.unfinished = not self._worker.stop(PATIENCE) or self.unfinished
            self._worker = None
        if self._begun:
            self._begun = False
            self.end()

    def _drop_outputs(self) -> None:
        for publisher in self._outputs:
            if self.output.exchange is not None:
                self.output.exchange.withdraw(publisher.topic_name)
            self.destroy_lifecycle_publisher(publisher)
        self._outputs.clear()
        self.output.publishers.clear()
        self.release()

    # parameters and diagnostics

    def _read_settings(self) -> None:
        self.config: Config = parameters.config(self, self.sections)
        self.settings: Any = parameters.own_settings(self, self.own)

    def _on_set(self, changes: list[Parameter]) -> SetParametersResult:
        ours = [change for change in changes if not change.name.startswith(OF_ROS)]
        try:
            config, own = parameters.changed(self, self.own, self.sections, ours)
            if ours and self._state_machine.current_state[1] != "unconfigured":
                for change in ours:
                    if not change.name.startswith(self.live):
                        raise InputError(
                            f"{change.name} is read on configure: deactivate and clean up first"
                        )
                self.config, self.settings = config, own
                if self._health is not None:
                    self._health.timeout = self.settings.timeout
                self.adapt()
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _tell_health(self) -> None:
        if self._health is None:
            return
        name = self.get_fully_qualified_name().lstrip("/")
        array = DiagnosticArray(status=[self._health.status(name, self.active)])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)
