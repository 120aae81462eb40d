"""How nodes publish and subscribe: profiles that match peers of both kinds, and what
``qos_overrides`` may change of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.exceptions import InvalidParameterTypeException
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from ssl_perception.errors import InputError

OVERRIDABLE = QoSOverridingOptions(
    (
        QoSPolicyKind.HISTORY,
        QoSPolicyKind.DEPTH,
        QoSPolicyKind.RELIABILITY,
        QoSPolicyKind.DURABILITY,
    )
)


def of_publisher(depth: int, latched: bool) -> QoSProfile:
    """Reliable, so that readers of both kinds match.

    Args:
        latched: who comes later gets the last ``depth`` messages too.
    """
    durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
    return QoSProfile(depth=depth, durability=durability)


def of_subscription(depth: int, latched: bool) -> QoSProfile:
    """Best effort (sensor data), so that writers of both kinds match.

    Args:
        latched: reliable, and with what was said before we came.
    """
    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE if latched else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


@contextmanager
def overrides() -> Iterator[None]:
    """Create a publisher or a subscription that is ``OVERRIDABLE`` in here.

    Raises:
        InputError: ``qos_overrides`` give a policy a value that it can't have.
    """
    try:
        yield
    except (RuntimeError, InvalidParameterTypeException) as error:
        raise InputError(f"qos_overrides: {' '.join(str(error).split())}") from None
