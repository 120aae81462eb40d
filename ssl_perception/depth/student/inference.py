"""One eye: the student's depth, by ONNX Runtime, with models exchanged while it runs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ssl_perception.config import StudentConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.depth.student.architecture import (
    FEATURES,
    Weights,
    grid_camera,
    shrink,
)
from ssl_perception.depth.student.onnx_graph import (
    FEATURE,
    IMAGE,
    LOG_DEPTH,
    build,
)
from ssl_perception.depth.trust.fusion import absent
from ssl_perception.runtime.onnx_session import check_provider, open_session
from ssl_perception.types import (
    CameraModel,
    Cue,
    DepthMap,
    FloatArray,
)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the student says of one image.

    Attributes:
        log_depth: (30, 40) float32, natural logarithm of depth in metres.
        feature: (96,) float32, by which places are told apart.
        novelty: in [0, sqrt(2)], how far the feature, scaled to unit length, is from the nearest of
            what the student remembers; 0 when the model came without memory.
        generation: of the model that said it.
        frozen: the image is the previous one to the last bit: the camera has stopped, and the
            depth is not of this instant.
    """

    log_depth: FloatArray
    feature: FloatArray
    novelty: float
    generation: int
    frozen: bool = False


@dataclass(frozen=True, eq=False)
class _Loaded:
    session: onnxruntime.InferenceSession
    places: FloatArray
    generation: int


class MonoDepth:
    """Runs the student. ``load`` may be called from another thread at any time: frames under way
    finish on the model that they began with, the next one takes the new model.

    It remembers the previous image, for one purpose: to notice a camera that has frozen. Images
    must therefore come with their own stamps, in the order of time, and from one thread.

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

    def load(self, weights: Weights, generation: int, places: FloatArray | None = None) -> None:
        """Use these (folded) weights from the next frame on. Takes some milliseconds.

        Args:
            weights: see ``architecture.weight_shapes``.
            generation: their number.
            places: (N, 96) unit features of what the student remembers, for ``novelty``.

        Raises:
            InputError: weights that don't fit; the old model stays in use. Or a provider that
                was asked for and doesn't start.
        """
        self.load_model(build(weights), generation, places)

    def load_model(self, model: bytes, generation: int, places: FloatArray | None = None) -> None:
        """``load`` for a serialised ONNX model of the same inputs and outputs (int8, say)."""
        options = self.options
        session = open_session(
            model, options.provider, options.threads, options.fall_back, "student.provider"
        )
        session.run(None, {IMAGE: np.zeros(session.get_inputs()[0].shape, np.uint8)})  # warm up
        if places is None:
            places = np.zeros((0, FEATURES), np.float32)
        self._loaded = _Loaded(session, places.copy(), generation)

    def predict(self, image: NDArray[np.uint8], stamp: float = 0.0) -> Prediction | None:
        """Log depth and feature of an image of any size; None before the first model.

        Args:
            image: (H, W) grey or (H, W, 3) BGR, of the left camera.
            stamp: seconds; the same stamp again is the same frame, whose image may come again.
        """
        frozen = self._left.repeats(image, stamp)
        loaded = self._loaded
        if loaded is None:
            return None
        log_depth, feature = loaded.session.run([LOG_DEPTH, FEATURE], {IMAGE: shrink(image)[None]})
        return Prediction(
            log_depth[0],
            feature[0],
            _novelty(feature[0], loaded.places),
            loaded.generation,
            frozen,
        )

    def depth(self, image: NDArray[np.uint8], camera: CameraModel, stamp: float = 0.0) -> DepthMap:
        """Depth on the student's 40x30 grid, whose camera comes with it.

        Whether it may be believed is not for the student to say: that is `trust`'s part. Before
        the first model, and while the camera is frozen, it is invalid.
        """
        return self.to_depth(self.predict(image, stamp), camera, stamp)

    @staticmethod
    def to_depth(
        prediction: Prediction | None,
        camera: CameraModel,
        stamp: float,
        novelty: float = math.inf,
    ) -> DepthMap:
        """``depth`` for an image that is predicted already.

        Args:
            prediction: ``predict`` of the image.
            camera: of the image.
            stamp: seconds.
            novelty: beyond it the student knows nothing like the image, and all is unknown.
        """
        grid = grid_camera(camera)
        if prediction is None:
            return absent(Cue.MONO, grid, stamp, "no model yet")
        if prediction.frozen:
            return absent(Cue.MONO, grid, stamp, frozen_reason("left"))
        if prediction.novelty > novelty:
            return absent(Cue.MONO, grid, stamp, "nothing like this was learnt")
        return DepthMap(np.exp(prediction.log_depth), grid, stamp, Cue.MONO)


def _novelty(feature: FloatArray, places: FloatArray) -> float:
    if len(places) == 0:
        return 0.0
    length = max(float(np.linalg.norm(feature)), 1e-12)
    cosine = float((places @ feature).max()) / length
    return float(np.sqrt(max(2.0 - 2.0 * cosine, 0.0)))
