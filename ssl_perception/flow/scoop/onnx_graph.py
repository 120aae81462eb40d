"""SCOOP's feature network as an ONNX graph: the same numbers without PyTorch.

Built by hand from the network's tensors. A layer's maximum over neighbours is a chain of 32 gathers
and maxima, so that no (N, 32, C) array ever exists: 100,000 points need (N, 128) at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ssl_perception.flow.scoop.set_conv import (
    NEIGHBOURS,
    SLOPE,
    WIDTHS,
    FeatureNetwork,
)
from ssl_perception.types import FloatArray

OPSET = 17  # ONNX Runtime 1.14 and newer, TensorRT 8.6 and newer
POINTS, EDGES, FEATURES = "points", "edges", "features"


class _Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self, network: FeatureNetwork) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray] = {
            "normal.least": np.array(1e-6, np.float32),
            "norm.least": np.array(1e-5, np.float32),
        }
        self.weights = {name: t.detach().cpu().numpy() for name, t in network.state_dict().items()}

    def add(self, operation: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{operation}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray) -> str:
        self.constants[name] = value
        return name

    def linear(self, name: str, x: str) -> str:
        weight = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        product = self.add("MatMul", [x, weight])
        if f"{name}.bias" not in self.weights:
            return product
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.add("Add", [product, bias])

    def leaky(self, x: str) -> str:
        return self.add("LeakyRelu", [x], alpha=SLOPE)

    def norm(self, name: str, x: str) -> str:
        """``CloudNorm``."""
        centred = self.add("Sub", [x, self.add("ReduceMean", [x], axes=[0], keepdims=1)])
        square = self.add("Mul", [centred, centred])
        variance = self.add("ReduceMean", [square], axes=[0], keepdims=1)
        spread = self.add("Sqrt", [self.add("Add", [variance, "norm.least"])])
        weight = self.constant(f"{name}.weight", self.weights[f"{name}.weight"])
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        scaled = self.add("Mul", [centred, self.add("Div", [weight, spread])])
        return self.add("Add", [scaled, bias])

    def point_mlp(self, name: str, x: str) -> str:
        """``PointMLP``."""
        x = self.leaky(self.norm(f"{name}.norms.0", x))
        for k in range(2):
            x = self.leaky(
                self.norm(f"{name}.norms.{k + 1}", self.linear(f"{name}.linears.{k}", x))
            )
        return x

    def neighbour(self, k: int) -> str:
        """(N,) the k-th neighbour of each point."""
        index = self.constant(f"neighbour.{k}", np.array(k, np.int64))
        return self.add("Gather", [EDGES, index], axis=1)

    def geometry_conv(self, name: str, points: str) -> str:
        """``GeometryConv``."""
        most = ""
        for k in range(NEIGHBOURS):
            offset = self.add("Sub", [self.add("Gather", [points, self.neighbour(k)]), points])
            hidden = self.leaky(self.linear(f"{name}.hidden", offset))
            edge = self.linear(f"{name}.edge", hidden)
            most = self.add("Max", [most, edge]) if most else edge
        return self.point_mlp(f"{name}.point", most)

    def set_conv(self, name: str, signal: str, points: str) -> str:
        """``SetConv``."""
        place = self.linear(f"{name}.place", points)
        value = self.add("Add", [self.linear(f"{name}.feature", signal), place])
        most = ""
        for k in range(NEIGHBOURS):
            other = self.add("Gather", [value, self.neighbour(k)])
            most = self.add("Max", [most, other]) if most else other
        return self.point_mlp(f"{name}.point", self.add("Sub", [most, place]))


def build(network: FeatureNetwork) -> bytes:
    """The serialised model: ``points`` (N, 3) float32, metres, and ``edges`` (N, 32) int64 (see
    ``set_conv.neighbour_graph``) to ``features`` (N, 128) float32 of unit length; any N."""
    graph = _Graph(network)
    mean = graph.add("ReduceMean", [POINTS], axes=[0], keepdims=1)
    points = graph.add("Sub", [POINTS, mean])
    signal = graph.geometry_conv("geometry", points)
    for k in range(len(WIDTHS) - 1):
        signal = graph.set_conv(f"convolutions.{k}", signal, points)
    length = graph.add("ReduceL2", [signal], axes=[1], keepdims=1)
    length = graph.add("Max", [length, "normal.least"])
    graph.nodes.append(helper.make_node("Div", [signal, length], [FEATURES], name=FEATURES))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "scoop_features",
            [
                helper.make_tensor_value_info(POINTS, TensorProto.FLOAT, ["N", 3]),
                helper.make_tensor_value_info(EDGES, TensorProto.INT64, ["N", NEIGHBOURS]),
            ],
            [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", WIDTHS[-1]])],
            [
                numpy_helper.from_array(np.array(value, order="C"), name)
                for name, value in graph.constants.items()
            ],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="ssl_perception",
    )
    model.ir_version = 8
    serialised: bytes = model.SerializeToString()
    return serialised


def run(
    session: onnxruntime.InferenceSession, points: FloatArray, edges: NDArray[np.int64]
) -> FloatArray:
    """(N, 128) features of a cloud by a session of ``build``'s model."""
    features: FloatArray = session.run([FEATURES], {POINTS: points, EDGES: edges})[0]
    return features
