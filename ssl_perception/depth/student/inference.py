"""Monocular depth: the student, by ONNX Runtime, with models exchanged while it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ssl_perception.config import StudentConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.depth.student.architecture import FEATURES, Weights, grid_camera, shrink
from ssl_perception.depth.student.onnx_graph import FEATURE, IMAGE, LOG_DEPTH, build
from ssl_perception.runtime.onnx_session import check_provider, open_session
from ssl_perception.types import CameraModel, Cue, DepthMap, FloatArray


@dataclass(frozen=True, eq=False)
class Prediction:
    """The network's output for one image.

    Attributes:
        log_depth: (30, 40) float32, natural logarithm of depth in metres.
        feature: (96,) float32, the image's embedding, for novelty and coverage.
        novelty: in [0, sqrt(2)], distance of the feature, scaled to unit length, from the nearest
            one in the replay memory; 0 when the model came without memory.
        generation: of the model.
    """

    log_depth: FloatArray
    feature: FloatArray
    novelty: float
    generation: int


@dataclass(frozen=True, eq=False)
class _Loaded:
    session: onnxruntime.InferenceSession
    features: FloatArray
    generation: int


class StudentInference:
    """Runs the student. ``load`` may be called from another thread at any time: frames under way
    finish on the model that they began with, the next one takes the new model.

    ``depth`` remembers the previous image, for one purpose: to notice a camera that has frozen. It
    must therefore see images with their own stamps, in the order of time, and from one thread.

    Raises:
        InputError: a provider that this installation of ONNX Runtime lacks.
    """

    def __init__(self, options: StudentConfig | None = None) -> None:
        self.options = options or StudentConfig()
        self._loaded: _Loaded | None = None
        self._left = FrozenImage()
        check_provider(self.options.provider, self.options.fall_back, "student.provider")

    @property
    def generation(self) -> int | None:
        """Of the model in use; None before the first."""
        loaded = self._loaded
        return None if loaded is None else loaded.generation

    @property
    def providers(self) -> list[str]:
        """What really runs the model: ONNX Runtime falls back to the CPU with a mere log line."""
        loaded = self._loaded
        return [] if loaded is None else list(loaded.session.get_providers())

    def load(self, weights: Weights, generation: int, features: FloatArray | None = None) -> None:
        """Use these (folded) weights from the next frame on. Takes some milliseconds.

        Args:
            weights: see ``architecture.weight_shapes``.
            generation: their number.
            features: (N, 96) unit features of the replay memory, for ``novelty``.

        Raises:
            InputError: weights that don't fit; the old model stays in use. Or a provider that
                was asked for and doesn't start.
        """
        self.load_model(build(weights), generation, features)

    def load_model(self, model: bytes, generation: int, features: FloatArray | None = None) -> None:
        """``load`` for a serialised ONNX model of the same inputs and outputs (int8, say)."""
        options = self.options
        session = open_session(
            model, options.provider, options.threads, options.fall_back, "student.provider"
        )
        session.run(None, {IMAGE: np.zeros(session.get_inputs()[0].shape, np.uint8)})  # warm up
        if features is None:
            features = np.zeros((0, FEATURES), np.float32)
        self._loaded = _Loaded(session, features.copy(), generation)

    def predict(self, image: NDArray[np.uint8]) -> Prediction | None:
        """Log depth and feature of an image of any size; None before the first model."""
        loaded = self._loaded
        if loaded is None:
            return None
        log_depth, feature = loaded.session.run([LOG_DEPTH, FEATURE], {IMAGE: shrink(image)[None]})
        novelty = _novelty(feature[0], loaded.features)
        return Prediction(log_depth[0], feature[0], novelty, loaded.generation)

    def depth(self, image: NDArray[np.uint8], camera: CameraModel, stamp: float = 0.0) -> DepthMap:
        """Depth of a left image on the student's 40x30 grid, whose camera comes with it.

        Invalid, and unknown everywhere, before the first model, while the camera is frozen, and
        where the image is unlike all that was learnt (novelty above ``student.max_novelty``).
        Whether a valid one may be relied on is for ``trust`` to say.

        Args:
            image: (H, W) grey or (H, W, 3) BGR.
            camera: of the image.
            stamp: seconds.
        """
        frozen = self._left.repeats(image, stamp)
        prediction = self.predict(image)
        grid = grid_camera(camera)
        unknown = np.full((grid.height, grid.width), np.nan, np.float32)
        depth = DepthMap(unknown, grid, stamp, Cue.MONO, valid=False)
        if prediction is None:
            return replace(depth, reason="no model yet")
        novelty = prediction.novelty
        depth = replace(depth, novelty=novelty, generation=prediction.generation)
        if frozen:
            return replace(depth, reason=frozen_reason("left"))
        if novelty > self.options.max_novelty:
            limit = f"novelty {novelty:.2f}, at most {self.options.max_novelty:g}"
            return replace(depth, reason=f"out of distribution: {limit}")
        return replace(depth, depth=np.exp(prediction.log_depth), valid=True)


def _novelty(feature: FloatArray, features: FloatArray) -> float:
    if len(features) == 0:
        return 0.0
    length = max(float(np.linalg.norm(feature)), 1e-12)
    cosine = float((features @ feature).max()) / length
    return float(np.sqrt(max(2.0 - 2.0 * cosine, 0.0)))
