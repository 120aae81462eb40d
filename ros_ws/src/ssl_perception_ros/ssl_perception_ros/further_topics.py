"""The further outputs (``outputs.also``) of a node, on topics."""

from __future__ import annotations

from collections.abc import Iterable

from ssl_perception.config import FURTHER_OUTPUTS
from ssl_perception.errors import InputError
from ssl_perception.io.further_outputs import TOPICS, FurtherOutputs
from ssl_perception_ros.messages import message_type
from ssl_perception_ros.node import PerceptionNode


def further_topics(
    node: PerceptionNode, own: Iterable[str], sectors: int, depth: int
) -> FurtherOutputs:
    """Publishers of those outputs that are asked for and that this node makes.

    Args:
        own: outputs that it makes.
        sectors: of a scan.
        depth: of the publishers' queues.

    Raises:
        InputError: the package of a message isn't installed.
    """
    config = node.config.outputs
    asked = [name for name in config.also.split() if name in set(own)]
    for name in asked:
        kind = message_type(FURTHER_OUTPUTS[name])
        if kind is None:
            package = FURTHER_OUTPUTS[name].split("/")[0]
            raise InputError(f"outputs.also: {name} needs {package}, which is not installed")
        node.publish_on(kind, TOPICS[name], depth)
    mine = config.model_copy(update={"also": " ".join(asked)})
    return FurtherOutputs(node.output, mine, sectors)
