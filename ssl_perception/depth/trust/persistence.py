"""Trust over a restart: one small file, whole or not at all.

Revoked trust is earned again; trust that was never earned must not appear. So whatever is wrong
with the file, the answer is a fresh start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_perception.config import TrustConfig
from ssl_perception.depth.trust.state import Trust
from ssl_perception.depth.trust.statistics import Tally, calibrate
from ssl_perception.depth.trust.update import judge
from ssl_perception.errors import InputError
from ssl_perception.io.sealed import seal, unseal
from ssl_perception.io.store_folder import read_regular
from ssl_perception.io.write import write_durably

MAX_BYTES = 1 << 20
TRUST_FILE = "trust"  # its name inside a model store


def save_trust(path: Path, trust: Trust) -> None:
    """Write it durably, with its checksum.

    Raises:
        OSError: disk full or gone; the last file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, seal(to_json(trust)))


def load_trust(path: Path, options: TrustConfig) -> tuple[Trust, str]:
    """What was saved, judged anew, and what was wrong with it (empty: nothing)."""
    try:
        values = unseal(read_regular(path, MAX_BYTES), path.name)
    except FileNotFoundError:
        return Trust(), ""
    except OSError as error:
        return Trust(), f"{path}: {error.strerror}; trust starts from nothing"
    except InputError as error:
        return Trust(), f"{path.parent / str(error)}; trust starts from nothing"
    return from_json(values, options), ""


def to_json(trust: Trust) -> dict[str, Any]:
    """What must survive a restart: the tallies and what they were judged by."""

    def plain(distances: Sequence[float]) -> list[float | None]:
        """JSON has no infinities: None is clear, 0 is nearer than can be measured."""
        return [None if d == math.inf else max(d, 0.0) for d in distances]

    return {
        "trusted": trust.trusted,
        "overrides": trust.overrides,
        "calibration": plain(trust.calibration),
        **{
            name: {"near": plain(tally.near), "clear": plain(tally.clear)}
            for name, tally in (
                ("under_stereo", trust.under_stereo),
                ("under_mono", trust.under_mono),
            )
        },
        "bias": trust.bias_slow,
        "bias_count": trust.bias_count,
    }


def from_json(values: dict[str, Any], options: TrustConfig) -> Trust:
    """``to_json`` undone, and judged anew; anything that doesn't fit starts from nothing, which is
    the safe side."""

    def distances(stored: list[float | None], newest: int) -> tuple[float, ...]:
        found = tuple(math.inf if d is None else float(d) for d in stored)[-newest:]
        if any(math.isnan(d) for d in found):
            raise ValueError("NaN is no distance")
        return found

    def tally(stored: dict[str, list[float | None]]) -> Tally:
        return Tally(
            distances(stored["near"], options.near_window),
            distances(stored["clear"], options.clear_window),
        )

    try:
        calibration = distances(values["calibration"], options.near_window)
        trust = Trust(
            trusted=values["trusted"] is True,
            under_stereo=tally(values["under_stereo"]),
            under_mono=tally(values["under_mono"]),
            calibration=calibration,
            threshold=calibrate(calibration, options),
            overrides=int(values["overrides"]),
            bias_slow=float(values["bias"]),
            bias_count=int(values["bias_count"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return Trust()
    return judge(trust, options)
