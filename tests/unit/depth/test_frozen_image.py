"""An image that comes again to the last bit is a fault; the same frame asked about twice isn't."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_perception.depth.frozen_image import FrozenImage, frozen_reason


def picture(seed: int, shape: tuple[int, ...] = (240, 320, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_first_image_and_images_that_change_are_no_repeats() -> None:
    frozen = FrozenImage()
    assert not any(frozen.repeats(picture(k), 0.1 * k) for k in range(4))


@pytest.mark.parametrize("shape", [(240, 320), (240, 320, 3), (7, 5), (1, 1)])
def test_repeats_as_long_as_it_repeats(shape: tuple[int, ...]) -> None:
    frozen, one = FrozenImage(), picture(0, shape)
    other = 255 - one
    images = [one, one, one, other, other]
    answers = [frozen.repeats(image.copy(), 0.1 * k) for k, image in enumerate(images)]
    assert answers == [False, True, True, False, True]


def test_one_bit_anywhere_is_a_change() -> None:
    """Also between the rows that are compared first."""
    rng = np.random.default_rng(0)
    frozen, image = FrozenImage(), picture(0)
    frozen.repeats(image, 0.0)
    for k in range(1, 200):
        image.flat[rng.integers(image.size)] ^= 1 << rng.integers(8)
        assert not frozen.repeats(image, 0.1 * k)


def test_same_stamp_again_is_the_same_frame() -> None:
    frozen = FrozenImage()
    assert [frozen.repeats(picture(0), 1.0) for _ in range(3)] == [False] * 3
    assert frozen.repeats(picture(0), 1.1)
    assert frozen.repeats(picture(0), 1.1), "the same question, the same answer"
    assert not frozen.repeats(picture(1), 1.1)


def test_clock_that_jumps_back_hides_nothing() -> None:
    frozen = FrozenImage()
    frozen.repeats(picture(0), 100.0)
    assert frozen.repeats(picture(0), 3.0)


def test_another_shape_is_no_repeat() -> None:
    frozen = FrozenImage()
    frozen.repeats(np.zeros((240, 320), np.uint8), 0.0)
    assert not frozen.repeats(np.zeros((120, 320), np.uint8), 0.1)
    assert not frozen.repeats(np.zeros((120, 320, 3), np.uint8), 0.2)
    assert frozen.repeats(np.zeros((120, 320, 3), np.uint8), 0.3)


def test_next_image_may_be_read_into_the_same_memory() -> None:
    frozen, buffer = FrozenImage(), picture(0)
    frozen.repeats(buffer, 0.0)
    buffer[:] = picture(1)
    assert not frozen.repeats(buffer, 0.1)


def test_flipped_and_read_only_views_are_compared_by_value() -> None:
    frozen, image = FrozenImage(), picture(0)
    view = image[::-1, ::-1]
    view.flags.writeable = False
    frozen.repeats(view, 0.0)
    assert frozen.repeats(np.ascontiguousarray(view), 0.1)
    assert not frozen.repeats(image, 0.2)


def test_reason_names_the_side() -> None:
    assert frozen_reason() == ""
    assert frozen_reason("left") == "left image frozen: bit-identical to the previous frame"
    assert frozen_reason("left", "right").startswith("left and right images frozen:")
