"""What a depth cue says of one of its images besides the depth: whether to believe it, and why not.

A depth image alone can't carry this, so it travels beside it, under the same stamp, as key and
value texts (a ``diagnostic_msgs/DiagnosticArray`` on a topic). Numbers are written so that they
read back as the same bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ssl_perception.errors import InputError
from ssl_perception.types import ActiveCue, Cue, DepthMap

_LONGEST = 1000  # characters of a reason
_IN_PLACE_OF_STEREO = (Cue.DEPTH, Cue.LIDAR)
_GENERATION = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True)
class CueStatus:
    """Of one depth map; see ``DepthMap`` for the fields.

    Attributes:
        source: the sensor that teaches on the topics of stereo in its place; None: there is none
            in its place.
    """

    valid: bool
    reason: str = ""
    novelty: float = 0.0
    generation: int | None = None
    suspect_since: float = math.inf
    source: Cue | None = None

    @classmethod
    def of(cls, depth: DepthMap) -> CueStatus:
        """The status of a depth map."""
        source = depth.cue if depth.cue in _IN_PLACE_OF_STEREO else None
        since = depth.suspect_since
        return cls(depth.valid, depth.reason, depth.novelty, depth.generation, since, source)

    def apply(self, depth: DepthMap) -> DepthMap:
        """The depth map with this status."""
        return replace(
            depth,
            valid=self.valid,
            reason=self.reason,
            novelty=self.novelty,
            generation=self.generation,
            suspect_since=self.suspect_since,
            cue=self.source or depth.cue,
        )

    def values(self) -> dict[str, str]:
        """As texts."""
        told = {
            "valid": "true" if self.valid else "false",
            "reason": self.reason,
            "novelty": repr(float(self.novelty)),
            "generation": "none" if self.generation is None else str(self.generation),
            "suspect_since": repr(float(self.suspect_since)),
        }
        return told if self.source is None else told | {"source": self.source.value}

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> CueStatus:
        """``values`` undone.

        Raises:
            InputError: a value is missing, or isn't what it should be.
        """
        for name in ("valid", "reason", "novelty", "generation"):
            if name not in values:
                raise InputError(f"cue status: {name!r} is missing")
        reason = values["reason"]
        if len(reason) > _LONGEST:
            raise InputError(f"cue status: a reason of {len(reason)} characters")
        valid = {"true": True, "false": False}.get(values["valid"])
        if valid is None:
            raise InputError(f"cue status: valid is {_short(values['valid'])}, not true or false")
        try:
            novelty = float(values["novelty"])
        except ValueError:
            novelty = math.nan
        if not 0.0 <= novelty < math.inf:
            raise InputError(f"cue status: novelty is {_short(values['novelty'])}")
        text = values["generation"]
        if text != "none" and _GENERATION.fullmatch(text) is None:
            raise InputError(f"cue status: generation is {_short(text)}")
        generation = None if text == "none" else int(text)
        text = values.get("suspect_since", "inf")  # recordings of before don't have it
        try:
            since = float(text)
        except ValueError:
            since = math.nan
        if math.isnan(since):
            raise InputError(f"cue status: suspect_since is {_short(text)}")
        source = values.get("source")
        if source is not None and source not in {cue.value for cue in _IN_PLACE_OF_STEREO}:
            raise InputError(f"cue status: source is {_short(source)}")
        teacher = None if source is None else Cue(source)
        return cls(valid, reason, novelty, generation, since, teacher)


def _short(text: str) -> str:
    """For a message of one line."""
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


class TrustStatus(Protocol):
    """What goes out of the trust in the student; ``depth.trust.state.Trust`` has it, and more."""

    @property
    def active_cue(self) -> ActiveCue: ...
    @property
    def reason(self) -> str: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def threshold(self) -> float: ...
    @property
    def overrides(self) -> int: ...
    @property
    def teacher_suspect(self) -> bool: ...
