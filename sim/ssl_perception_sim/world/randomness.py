"""Named random streams: the same seed gives the same bytes in any process and in any order."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """The generator for one purpose (``name``) and one item of it (``index``) in world ``seed``.

    Streams are independent of each other and stateless, so frame 7 of a sensor has the same noise
    whether or not frames 0 to 6 were rendered.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), index]))
