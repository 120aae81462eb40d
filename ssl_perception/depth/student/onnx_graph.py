"""The folded student as an ONNX graph, built by hand so that every weight keeps its name.

The graph sees each image twice, once mirrored, and of the two answers it gives the nearer: what the
student overlooks in one view it often sees in the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ssl_perception.depth.student.architecture import (
    LOG_DEPTH_RANGE,
    LOG_SCALE_RANGE,
    QUANTILE,
    Architecture,
    Layer,
    Weights,
    architecture_of,
)
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_output

OPSET = 17  # ONNX Runtime 1.14 and newer, TensorRT 8.6 and newer
IMAGE, LOG_DEPTH, ERROR_BOUND, FEATURE = "image", "log_depth", "error_bound", "feature"


def check_weights(weights: Weights, source: str = "weights") -> Architecture:
    """Whose weights they are; refuses those of no size of the student, or that aren't finite.

    Raises:
        InputError: naming the first tensor that is missing, unknown, of a wrong shape or type, or
            that holds NaN or infinity.
    """
    architecture = architecture_of(weights)
    shapes = architecture.weight_shapes()
    for name in sorted(shapes.keys() | weights.keys()):
        if name not in weights:
            raise InputError(f"{source}: {name} is missing")
        if name not in shapes:
            raise InputError(f"{source}: {name} is not a weight of this network")
        tensor = weights[name]
        if tensor.shape != shapes[name] or tensor.dtype != np.float32:
            raise InputError(
                f"{source}: {name} must be {shapes[name]} float32, not {tensor.shape} "
                f"{tensor.dtype}"
            )
        if not np.isfinite(tensor).all():
            raise InputError(f"{source}: {name} has NaN or infinite numbers")
    return architecture


def build(weights: Weights) -> bytes:
    """The serialised model: ``image`` (1, height, width, 3) uint8 BGR to ``log_depth``,
    ``error_bound`` (both (1, rows, columns)) and ``feature`` (1, features).

    Depth and bound of a cell are those of the nearer of two answers, to the image and to the image
    mirrored (``network.nearer_view``); the feature is the image's own. The bound is the quantile
    times the scale of the error: log depth is hardly ever smaller than ``log_depth - error_bound``.

    Raises:
        InputError: weights that don't fit (see ``check_weights``).
    """
    architecture = check_weights(weights)
    nodes: list[onnx.NodeProto] = []
    constants = {
        "scale": np.float32(1 / 127.5),
        "one": np.float32(1.0),
        "depth.floor": np.float32(LOG_DEPTH_RANGE[0]),
        "depth.ceiling": np.float32(LOG_DEPTH_RANGE[1]),
        "scale.floor": np.float32(LOG_SCALE_RANGE[0]),
        "scale.ceiling": np.float32(LOG_SCALE_RANGE[1]),
        "channel": np.array([1], np.int64),
        "no_region": np.zeros(0, np.float32),
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "third": np.array([2], np.int64),
        "columns": np.array([2], np.int64),  # of images and answers alike
        "last": np.array([-1], np.int64),
        "beyond": np.array([np.iinfo(np.int64).min], np.int64),  # before the first column
    }

    def add(operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [output], name=output, **attributes))
        return output

    def convolve(layer: Layer, x: str) -> str:
        return add(
            "Conv",
            [x, f"{layer.name}.weight", f"{layer.name}.bias"],
            f"{layer.name}.convolved",
            kernel_shape=[3, 3],
            strides=[layer.stride] * 2,
            pads=[1, 1, 1, 1],
        )

    def mirror(x: str, axis: str = "columns") -> str:
        return add("Slice", [x, "last", "beyond", axis, "last"], f"{x}.mirrored")

    def two_views(x: str) -> tuple[str, str]:
        """The answer to the image, and to the mirrored one, mirrored back."""
        own = add("Slice", [x, "first", "second", "first"], f"{x}.own")
        other = add("Slice", [x, "second", "third", "first"], f"{x}.other")
        return own, mirror(other)

    both = add("Concat", [IMAGE, mirror(IMAGE)], "image.both", axis=0)
    x = add("Cast", [both], "image.float", to=TensorProto.FLOAT)
    x = add("Transpose", [x], "image.planes", perm=[0, 3, 1, 2])
    x = add("Sub", [add("Mul", [x, "scale"], "image.scaled"), "one"], "image.centred")
    size = (architecture.height, architecture.width)
    sizes: dict[str, tuple[int, int]] = {}
    for layer in architecture.layers:
        x = convolve(layer, x)
        if layer.skip:
            size = sizes[layer.skip]
            target = f"{layer.name}.size"
            constants[target] = np.array([2, layer.outputs, *size], np.int64)
            x = add(
                "Resize",
                [x, "no_region", "no_region", target],
                f"{layer.name}.enlarged",
                mode="nearest",
                coordinate_transformation_mode="asymmetric",  # as PyTorch's "nearest"
                nearest_mode="floor",
            )
            x = add("Add", [x, f"{layer.skip}.out"], f"{layer.name}.added")
        else:
            size = (-(-size[0] // layer.stride), -(-size[1] // layer.stride))
        x = add("Relu", [x], f"{layer.name}.out")
        sizes[layer.name] = size
    feature = f"{architecture.bottleneck}.out"
    feature = add("Slice", [feature, "first", "second", "first"], "bottleneck.own")
    add("ReduceMean", [feature], FEATURE, axes=[2, 3], keepdims=0)
    nodes.append(
        helper.make_node(
            "Split", [convolve(architecture.head, x)], ["head.depth", "head.scale"], axis=1
        )
    )
    x = add("Squeeze", ["head.depth", "channel"], "head.depth.plane")
    depth = two_views(add("Clip", [x, "depth.floor", "depth.ceiling"], "head.log_depth"))
    x = add("Squeeze", ["head.scale", "channel"], "head.scale.plane")
    scale = two_views(add("Clip", [x, "scale.floor", "scale.ceiling"], "head.log_scale"))
    nearer = add("LessOrEqual", list(depth), "own.nearer")
    add("Min", list(depth), LOG_DEPTH)
    x = add("Where", [nearer, *scale], "nearer.log_scale")
    add("Mul", [add("Exp", [x], "nearer.scale"), QUANTILE], ERROR_BOUND)

    graph = helper.make_graph(
        nodes,
        "student",
        [
            helper.make_tensor_value_info(
                IMAGE, TensorProto.UINT8, [1, architecture.height, architecture.width, 3]
            )
        ],
        [
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *architecture.grid])
                for name in (LOG_DEPTH, ERROR_BOUND)
            ),
            helper.make_tensor_value_info(FEATURE, TensorProto.FLOAT, [1, architecture.features]),
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in (*weights.items(), *constants.items())
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="ssl_perception"
    )
    model.ir_version = 8
    serialised: bytes = model.SerializeToString()
    return serialised


def quantise(model: Path, output: Path, images: list[NDArray[np.uint8]]) -> None:
    """Static int8, per channel, for boards without fast float.

    Args:
        model: float ONNX file.
        output: int8 ONNX file to write.
        images: a few dozen uint8 images of the place the robot works in, as the student sees them;
            their activations set the scales.

    Raises:
        InputError: no images, or the file can't be written.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    if not images:
        raise InputError("int8 needs images to calibrate on")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images: Iterator[NDArray[np.uint8]] = iter(images)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            image = next(self._images, None)
            return None if image is None else {IMAGE: image[None]}

    with TemporaryDirectory() as folder:
        made = Path(folder) / "int8.onnx"
        quantize_static(
            str(model),
            str(made),
            Reader(),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
        )
        write_output(output, made.read_bytes())
