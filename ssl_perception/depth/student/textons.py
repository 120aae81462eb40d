"""The paper's way to tell distance from one image: texton histograms and a small regressor.

After van Hecke et al. (arXiv 1603.08047) and its authors' flight code: two dictionaries of 5x5
patches, one of intensities and one of horizontal gradients; an image is the histogram of its
patches' nearest words, each half normalised to 0.5, and the entropy of its grey levels. From that
a regressor tells the nearest distance ahead: k nearest neighbours (theirs, k = 5) or kernel ridge.
The baseline that the student has to beat.
"""

from __future__ import annotations

import math
from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ssl_perception.config import TextonsConfig
from ssl_perception.depth.student.architecture import NANO
from ssl_perception.types import FloatArray

PATCH = 5
_GRID = 22  # patches along each side of the image: 484, as in the flight code
_TRAINING_PATCHES = 100  # per image
_REFIT = 50  # frames between fits of the ridge
_MOST_FOR_RIDGE = 1000


class Textons:
    """Learns the nearest distance ahead from single images.

    Until ``options.dictionary_frames`` images have been seen there is no dictionary, and it
    predicts nothing.

    Args:
        options: sizes and regressor.
        seed: of the choice of patches.
    """

    def __init__(self, options: TextonsConfig | None = None, seed: int = 0) -> None:
        self.options = options or TextonsConfig()
        self._random = np.random.default_rng(seed)
        self._waiting: list[tuple[NDArray[np.uint8], float]] = []
        self._words: tuple[FloatArray, FloatArray] | None = None
        self._features: deque[FloatArray] = deque(maxlen=self.options.samples)
        self._targets: deque[float] = deque(maxlen=self.options.samples)
        self._ridge: tuple[FloatArray, NDArray[np.float64], float, float] | None = None
        self._learnt = 0

    def learn(self, image: NDArray[np.uint8], distance: float) -> None:
        """Take a frame and the distance (metres, positive; +Inf clear) that stereo sees ahead."""
        grey = _grey(image)
        target = math.log(min(max(distance, 0.05), self.options.far))
        if self._words is None:
            self._waiting.append((grey, target))
            if len(self._waiting) < self.options.dictionary_frames:
                return
            self._words = self._dictionaries([g for g, _ in self._waiting])
            for waited, waited_target in self._waiting:
                self._features.append(self._describe(waited, self._words))
                self._targets.append(waited_target)
            self._waiting.clear()
        else:
            self._features.append(self._describe(grey, self._words))
            self._targets.append(target)
        self._learnt += 1
        if self.options.regressor == "ridge" and self._learnt % _REFIT == 1:
            self._fit_ridge()

    def predict(self, image: NDArray[np.uint8]) -> float:
        """Distance ahead, metres; NaN before there is a dictionary."""
        if self._words is None:
            return math.nan
        feature = self._describe(_grey(image), self._words)
        if self.options.regressor == "knn":
            known = np.stack(self._features)
            nearest = np.argsort(((known - feature) ** 2).sum(axis=1))[: self.options.neighbours]
            return math.exp(float(np.mean(np.array(self._targets)[nearest])))
        if self._ridge is None:
            return math.nan
        support, weights, gamma, mean = self._ridge
        kernel = np.exp(-gamma * ((support - feature) ** 2).sum(axis=1))
        return math.exp(mean + float(kernel @ weights))

    def _dictionaries(self, images: list[NDArray[np.uint8]]) -> tuple[FloatArray, FloatArray]:
        """K-means words of intensity and of gradient patches."""
        words = []
        for channel in (_intensity, _gradient):
            patches = np.concatenate([self._some(channel(image)) for image in images])
            criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-3)
            cv2.setRNGSeed(0)
            count = min(self.options.words, len(patches))
            start = np.zeros((len(patches), 1), np.int32)
            flags = cv2.KMEANS_PP_CENTERS
            _, _, centres = cv2.kmeans(patches, count, start, criteria, 1, flags)
            words.append(np.asarray(centres, np.float32))
        return words[0], words[1]

    def _some(self, channel: FloatArray) -> FloatArray:
        patches = np.lib.stride_tricks.sliding_window_view(channel, (PATCH, PATCH))
        rows = self._random.integers(0, patches.shape[0], _TRAINING_PATCHES)
        columns = self._random.integers(0, patches.shape[1], _TRAINING_PATCHES)
        return np.ascontiguousarray(patches[rows, columns].reshape(-1, PATCH * PATCH))

    def _describe(
        self, grey: NDArray[np.uint8], words: tuple[FloatArray, FloatArray]
    ) -> FloatArray:
        """Two histograms and the entropy."""
        parts: list[NDArray] = []
        rows = np.linspace(0, NANO.height - PATCH, _GRID).astype(int)
        columns = np.linspace(0, NANO.width - PATCH, _GRID).astype(int)
        for channel, dictionary in zip((_intensity, _gradient), words, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(channel(grey), (PATCH, PATCH))
            patches = windows[np.ix_(rows, columns)].reshape(-1, PATCH * PATCH)
            # |p - w|^2 without the part that is the same for every word
            distance = (dictionary**2).sum(axis=1) - 2 * patches @ dictionary.T
            histogram = np.bincount(distance.argmin(axis=1), minlength=len(dictionary))
            parts.append(histogram * (0.5 / len(patches)))
        levels = np.bincount(grey.ravel() >> 3, minlength=32) / grey.size
        levels = levels[levels > 0]
        entropy = -float((levels * np.log2(levels)).sum()) / 5.0  # 1 for evenly spread levels
        return np.concatenate([*parts, [0.1 * entropy]]).astype(np.float32)

    def _fit_ridge(self) -> None:
        """Kernel ridge with a Gaussian kernel as wide as the median distance."""
        features, targets = np.stack(self._features), np.array(self._targets)
        if len(features) > _MOST_FOR_RIDGE:
            chosen = self._random.choice(len(features), _MOST_FOR_RIDGE, replace=False)
            features, targets = features[chosen], targets[chosen]
        squares = (features**2).sum(axis=1)
        distance = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0)
        gamma = 1.0 / max(float(np.median(distance)), 1e-9)
        kernel = np.exp(-gamma * distance.astype(np.float64))
        kernel[np.diag_indices_from(kernel)] += self.options.ridge
        mean = float(targets.mean())
        weights = cho_solve(cho_factor(kernel), targets - mean)
        self._ridge = (features, weights, gamma, mean)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(
        cv2.resize(grey, (NANO.width, NANO.height), interpolation=cv2.INTER_AREA), np.uint8
    )


def _intensity(grey: NDArray[np.uint8]) -> FloatArray:
    return grey.astype(np.float32)


def _gradient(grey: NDArray[np.uint8]) -> FloatArray:
    return np.asarray(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3), np.float32)
