"""Monocular depth: the student, by ONNX Runtime, with models exchanged while it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ssl_perception.config import StudentConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.depth.student.architecture import SIZES, Architecture, Weights
from ssl_perception.depth.student.onnx_graph import ERROR_BOUND, FEATURE, IMAGE, LOG_DEPTH, build
from ssl_perception.depth.student.place import KnownPlace, PlaceMonitor
from ssl_perception.errors import InputError
from ssl_perception.runtime.onnx_session import check_provider, open_session
from ssl_perception.types import CameraModel, Cue, DepthMap, FloatArray


@dataclass(frozen=True, eq=False)
class Prediction:
    """The network's output for one image.

    Attributes:
        log_depth: (rows, columns) float32, natural logarithm of depth in metres.
        error_bound: of the same shape, calibrated: the true log depth is hardly ever below
            ``log_depth - error_bound`` (``learner.miss_rate``).
        feature: float32, the image's embedding, for novelty and coverage.
        novelty: in [0, sqrt(2)], distance of the feature, scaled to unit length, from the nearest
            one in the replay memory; 0 when the model came without memory.
        generation: of the model.
    """

    log_depth: FloatArray
    error_bound: FloatArray
    feature: FloatArray
    novelty: float
    generation: int


@dataclass(frozen=True, eq=False)
class _Loaded:
    session: onnxruntime.InferenceSession
    architecture: Architecture
    place: KnownPlace
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
        self._place = PlaceMonitor(self.options.place_window)
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
            features: (N, features) unit features of the replay memory, the oldest frame first: the
                places that the student knows.

        Raises:
            InputError: weights or features that don't fit; the old model stays in use. Or a
                provider that was asked for and doesn't start.
        """
        self.load_model(build(weights), generation, features)

    def load_model(self, model: bytes, generation: int, features: FloatArray | None = None) -> None:
        """``load`` for a serialised ONNX model of the same inputs and outputs (int8, say)."""
        options = self.options
        session = open_session(
            model, options.provider, options.threads, options.fall_back, "student.provider"
        )
        session.run(None, {IMAGE: np.zeros(session.get_inputs()[0].shape, np.uint8)})  # warm up
        architecture = _architecture(session)
        if features is None:
            features = np.zeros((0, architecture.features), np.float32)
        if features.shape[1:] != (architecture.features,):
            raise InputError(
                f"features of the memory must be (N, {architecture.features}), not {features.shape}"
            )
        self._loaded = _Loaded(session, architecture, KnownPlace(features.copy()), generation)

    def predict(self, image: NDArray[np.uint8]) -> Prediction | None:
        """Log depth and feature of an image of any size; None before the first model."""
        loaded = self._loaded
        return None if loaded is None else _run(loaded, image)

    def depth(self, image: NDArray[np.uint8], camera: CameraModel, stamp: float = 0.0) -> DepthMap:
        """Depth of a left image on the student's grid, whose camera comes with it.

        A cell that claims free space (``student.free``) although its error's bound doesn't exclude
        an obstacle at ``student.exclude`` is unknown; the bound grows as the place becomes less
        familiar. Invalid, and unknown everywhere, before the first model, while the camera is
        frozen, where the image is unlike all that was learnt (novelty above
        ``student.max_novelty``), and in a new place (mean novelty above ``student.new_place``
        times the usual). Whether a valid one may be relied on is for ``trust`` to say.

        Args:
            image: (H, W) grey or (H, W, 3) BGR.
            camera: of the image.
            stamp: seconds.
        """
        frozen = self._left.repeats(image, stamp)
        loaded = self._loaded
        prediction = None if loaded is None else _run(loaded, image)
        size = SIZES[self.options.size] if loaded is None else loaded.architecture
        grid = size.grid_camera(camera)
        unknown = np.full((grid.height, grid.width), np.nan, np.float32)
        depth = DepthMap(unknown, grid, stamp, Cue.MONO, valid=False)
        if loaded is None or prediction is None:
            return replace(depth, reason="no model yet")
        novelty, options = prediction.novelty, self.options
        strange = self._place.update(novelty, loaded.place, stamp)
        depth = replace(depth, novelty=novelty, generation=prediction.generation)
        if frozen:
            return replace(depth, reason=frozen_reason("left"))
        if novelty > options.max_novelty:
            limit = f"novelty {novelty:.2f}, at most {options.max_novelty:g}"
            return replace(depth, reason=f"out of distribution: {limit}")
        if strange > options.new_place:
            limit = f"{strange:.2f} times the usual novelty, at most {options.new_place:g}"
            return replace(depth, reason=f"new place: {limit}")
        known = _certain_depth(prediction, caution(strange, options.new_place), options)
        return replace(depth, depth=known, valid=True)


def caution(strange: float, new_place: float) -> float:
    """By what the error's bound grows: from 1 in a place that is as familiar as they usually are
    to 2 in one that is almost new."""
    if np.isnan(strange):
        return 1.0
    return 1.0 + min(max((strange - 1.0) / (new_place - 1.0), 0.0), 1.0)


def _architecture(session: onnxruntime.InferenceSession) -> Architecture:
    """The size of student that a model is of, by what it takes and gives."""
    height, width = session.get_inputs()[0].shape[1:3]
    features = next(x.shape[1] for x in session.get_outputs() if x.name == FEATURE)
    for size in SIZES.values():
        if (height, width, features) == (size.height, size.width, size.features):
            return size
    raise InputError(f"a model for {width}x{height} images with {features} features is no student")


def _run(loaded: _Loaded, image: NDArray[np.uint8]) -> Prediction:
    log_depth, error_bound, feature = loaded.session.run(
        [LOG_DEPTH, ERROR_BOUND, FEATURE], {IMAGE: loaded.architecture.shrink(image)[None]}
    )
    novelty = loaded.place.distance(feature[0])
    return Prediction(log_depth[0], error_bound[0], feature[0], novelty, loaded.generation)


def _certain_depth(prediction: Prediction, caution: float, options: StudentConfig) -> FloatArray:
    """Depth, metres; NaN where free space is claimed that isn't certain."""
    log_depth = prediction.log_depth
    claims_free = log_depth >= np.log(options.free)
    least = log_depth - caution * prediction.error_bound
    uncertain = claims_free & (least < np.log(max(options.exclude, 1e-6)))
    return np.where(uncertain, np.float32(np.nan), np.exp(log_depth))
