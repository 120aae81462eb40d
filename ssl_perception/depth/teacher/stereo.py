"""The trusted cue: depth from two cameras, and the gate that says when not to trust it.

Semi-global matching always finds some smooth answer, before a blank wall too, and no left-right
check or filter notices. Plain block matching has no smoothness to lean on: where there is nothing
to match the two disagree. So a pixel is confident where both matchers agree, and a frame is valid
only if enough pixels are; with too little texture, rows that don't line up, an image that has
frozen, left or right, a camera that has turned or an image that is late (``yaw_watch``), the whole
frame is declared invalid. Invalid never means free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ssl_perception.config import StereoConfig
from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason
from ssl_perception.depth.teacher.relative_yaw import UNKNOWN_YAW, relative_yaw
from ssl_perception.depth.teacher.yaw_watch import YawWatch
from ssl_perception.errors import InputError
from ssl_perception.types import (
    BoolArray,
    CameraImage,
    Cue,
    DepthMap,
    FloatArray,
    StereoPair,
)

_MODES = {
    "sgbm": cv2.STEREO_SGBM_MODE_SGBM,
    "3way": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    "hh": cv2.STEREO_SGBM_MODE_HH,
}
_SUBPIXEL = 16.0  # OpenCV's fixed-point disparities
_TEXTURE_WINDOW = 7  # px of the halved image: the block matcher's window and its neighbourhood
_TEXTURED_SHARE = 0.02  # of a window's pixels, i.e. one pixel of 49, must have a gradient
_ROW_CHECK_PIXELS = 200  # fewer pixels than this in an image quarter tell nothing about its rows


@dataclass(frozen=True, eq=False)
class Disparity:
    """What the matcher says of a pair.

    Attributes:
        disparity: (H, W) float32, px, left x minus right x; NaN where nothing matched.
        agreed: (H, W) bool: block matching finds the same disparity, and there is texture.
        contradicted: (H, W) bool: block matching finds another, or there is no texture at all.
        blind: columns at the left edge whose match would lie outside the right image, px.
        matched, agreement, texture: shares in [0, 1] of the pixels right of the blind strip.
        row_offset: px, by how much the right image's rows are off, at the worst quarter of the
            image; NaN where too few pixels match to tell.
        yaw: px by which the right camera's yaw in excess of its calibration adds to every
            disparity; NaN where too few pixels match to tell.
        suspect_since: s, stamp since which pairs that were valid at the time are suspect; Inf:
            none are.
        reason: why the frame can't be trusted; empty when it can.
    """

    disparity: FloatArray
    agreed: BoolArray
    contradicted: BoolArray
    blind: int
    matched: float
    agreement: float
    texture: float
    row_offset: float
    yaw: float
    suspect_since: float
    reason: str

    @property
    def valid(self) -> bool:
        return not self.reason


class StereoMatcher:
    """OpenCV's SGBM, cross-examined by its block matcher.

    It remembers the previous pair, to notice a camera that has frozen, and the cameras' relative
    yaw in its first seconds, to notice one that has turned or an image that is late. Each pair must
    therefore come with its own stamp, and in the order of time.

    Raises:
        InputError: an even window size.
    """

    def __init__(self, options: StereoConfig | None = None) -> None:
        self.options = options = options or StereoConfig()
        for name in ("block", "check_block"):
            if getattr(options, name) % 2 == 0:
                raise InputError(f"stereo.{name} must be odd, not {getattr(options, name)}")
        # Made at the first image; not shared, for they keep buffers of their own.
        self._matchers: dict[int, tuple[cv2.StereoSGBM, cv2.StereoBM]] = {}
        self._left, self._right = FrozenImage(), FrozenImage()
        self._yaw_watch = YawWatch(options)

    def search_range(self, width: int) -> int:
        """Disparities searched in images of this width, px: a strip so wide at the left edge is
        blind, and what is nearer than ``fx * baseline`` over this number isn't seen."""
        return self.options.disparities or max(16, 16 * math.ceil(width / 8 / 16))

    def match(self, pair: StereoPair) -> Disparity:
        """Disparity of each left pixel, and whether it can be believed.

        Raises:
            InputError: images no wider than the search range.
        """
        options = self.options
        left, right = _grey(pair.left), _grey(pair.right)
        height, width = left.shape
        blind = self.search_range(width)
        if width <= blind or height < options.check_block:
            raise InputError(
                f"images are {width}x{height} px, too small to search {blind} disparities "
                f"(stereo.disparities) with a window of {options.check_block} px"
            )
        if blind not in self._matchers:
            self._matchers = {blind: _matchers(options, blind)}
        semi_global, block = self._matchers[blind]
        raw = semi_global.compute(left, right)
        check = block.compute(left, right)
        textured, texture = _texture(left, options.texture)
        _, right_texture = _texture(right, options.texture)

        matched = raw >= 0
        answered = check >= 0
        same = np.abs(raw - check) <= _SUBPIXEL
        agreed = matched & answered & same & textured
        contradicted = matched & ((answered & ~same) | ~textured)
        disparity = raw.astype(np.float32)
        disparity *= np.float32(1.0 / _SUBPIXEL)
        row_offset = _row_offset(left, right, disparity, agreed)
        disparity[~matched] = np.nan

        shares = {
            "matched": float(matched[:, blind:].mean()),
            "agreement": float(agreed[:, blind:].mean()),
            "texture": min(texture, right_texture),
        }
        reason = self._verdict(self._frozen(pair), row_offset=row_offset, **shares)
        yaw = UNKNOWN_YAW  # nothing is learnt from an image that is wrong anyway
        if not reason:
            yaw = relative_yaw(left, right, disparity, agreed, pair.camera)
        watch = self._yaw_watch.see(left, yaw, pair.camera, pair.stamp)
        return Disparity(
            disparity,
            agreed,
            contradicted,
            blind,
            row_offset=row_offset,
            yaw=yaw.pixels,
            suspect_since=watch.since,
            reason=reason or watch.reason,
            **shares,
        )

    def depth(self, frame: StereoPair | CameraImage) -> DepthMap:
        """Depth of each left pixel; NaN where unmatched, contradicted or beyond ``max_depth``.

        Confidence is 1 where both matchers agree and 0.5 where block matching has no opinion.

        Raises:
            InputError: as ``match``, or an image without its partner.
        """
        if not isinstance(frame, StereoPair):
            raise InputError("one image only; teacher.source: stereo needs a pair")
        return self.to_depth(frame, self.match(frame))

    def to_depth(self, pair: StereoPair, match: Disparity) -> DepthMap:
        """``depth`` for a pair that is matched already (to publish both)."""
        scale = np.float32(pair.camera.fx * pair.baseline)
        shift = np.float32(pair.cx_difference)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = scale / (match.disparity + shift)
        depth[~((depth > 0) & (depth <= self.options.max_depth)) | match.contradicted] = np.nan
        confidence = np.where(match.agreed, np.float32(1.0), np.float32(0.5))
        confidence[np.isnan(depth)] = 0.0
        return DepthMap(
            depth,
            pair.camera,
            pair.stamp,
            Cue.STEREO,
            valid=match.valid,
            reason=match.reason,
            confidence=confidence,
            suspect_since=match.suspect_since,
        )

    def _frozen(self, pair: StereoPair) -> str:
        """Which images are the previous ones to the last bit, as a reason; empty: neither."""
        sides = {
            "left": self._left.repeats(pair.left, pair.stamp),
            "right": self._right.repeats(pair.right, pair.stamp),
        }
        return frozen_reason(*(side for side, repeated in sides.items() if repeated))

    def _verdict(
        self, frozen: str, matched: float, agreement: float, texture: float, row_offset: float
    ) -> str:
        options = self.options
        if texture < options.min_texture:
            return (
                f"no texture: {texture:.0%} of the image has any, {options.min_texture:.0%} asked"
            )
        if frozen:
            return frozen
        if abs(row_offset) > options.max_row_offset:
            return f"rows don't line up: {row_offset:+.1f} px, at most {options.max_row_offset:g}"
        if matched < options.min_valid_fraction:
            return (
                f"too few matches: {matched:.0%} of pixels, {options.min_valid_fraction:.0%} asked"
            )
        if agreement < options.min_agreement:
            return (
                f"matchers disagree: same answer on {agreement:.0%} of pixels, "
                f"{options.min_agreement:.0%} asked"
            )
        return ""


def _matchers(options: StereoConfig, disparities: int) -> tuple[cv2.StereoSGBM, cv2.StereoBM]:
    area = options.block**2
    semi_global = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=disparities,
        blockSize=options.block,
        P1=8 * area,  # OpenCV's recommendation for one channel
        P2=32 * area,
        disp12MaxDiff=1,
        uniquenessRatio=options.uniqueness,
        speckleWindowSize=options.speckle_window,
        speckleRange=options.speckle_range,
        mode=_MODES[options.mode],
    )
    block = cv2.StereoBM.create(disparities, options.check_block)
    block.setUniquenessRatio(options.uniqueness)
    return semi_global, block


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.ndim == 2:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _texture(image: NDArray[np.uint8], gradient: int) -> tuple[BoolArray, float]:
    """(H, W) bool: something to match horizontally nearby; and its share of the image.

    Halving the image first averages sensor noise out: noise of 2 grey levels then stays 3.5
    standard deviations below the default threshold.
    """
    height, width = image.shape
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    edge = np.abs(cv2.Sobel(half, cv2.CV_16S, 1, 0, ksize=3)) > gradient
    window = (_TEXTURE_WINDOW, _TEXTURE_WINDOW)
    near_edge = cv2.boxFilter(edge.astype(np.float32), -1, window) >= _TEXTURED_SHARE
    whole = cv2.resize(near_edge.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return whole.astype(bool), float(near_edge.mean())


def _row_offset(
    left: NDArray[np.uint8], right: NDArray[np.uint8], disparity: FloatArray, agreed: BoolArray
) -> float:
    """By how many rows the right image is off, px, where it is off the most; NaN: can't tell.

    The right image, sampled at each agreed match, is compared with the left one moved up and down:
    least squares of the difference on the vertical gradient (one Lucas-Kanade step), in each
    quarter of the width, so that a rolled camera shows as well as a pitched one.
    """
    width = left.shape[1]
    rows, columns = np.nonzero(agreed[1:-1])
    rows += 1
    step = max(1, len(rows) // 20_000)  # plenty for four numbers
    rows, columns = rows[::step], columns[::step]
    match = columns - disparity[rows, columns]
    first = np.clip(match.astype(np.intp), 0, width - 2)
    part = match - first
    seen = right[rows, first] * (1.0 - part) + right[rows, first + 1] * part
    here = left[rows, columns].astype(np.float32)
    slope = (left[rows + 1, columns].astype(np.float32) - left[rows - 1, columns]) * 0.5
    quarter = columns * 4 // width
    count = np.bincount(quarter, minlength=4)
    if count.max(initial=0) < _ROW_CHECK_PIXELS:
        return float("nan")
    # Exposure may differ between the cameras: take each quarter's mean difference out.
    difference = seen - here
    mean = np.bincount(quarter, difference, 4) / np.maximum(count, 1)
    product = np.bincount(quarter, slope * (difference - mean[quarter]), 4)
    energy = np.bincount(quarter, slope * slope, 4)
    offsets = (product / np.maximum(energy, 1e-9))[count >= _ROW_CHECK_PIXELS]
    return float(offsets[np.abs(offsets).argmax()])
