"""What a depth cue says of one of its images besides the depth: whether to believe it, and why not.

A depth image alone can't carry this, so it travels beside it, under the same stamp, as key and
value texts (a ``diagnostic_msgs/DiagnosticArray`` on a topic). Numbers are written so that they
read back as the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ssl_perception.errors import InputError
from ssl_perception.types import ActiveCue, DepthMap

_LONGEST = 1000  # characters of a reason


@dataclass(frozen=True)
class CueStatus:
    """Of one depth map; see ``DepthMap`` for the fields."""

    valid: bool
    reason: str = ""
    novelty: float = 0.0
    generation: int | None = None

    @classmethod
    def of(cls, depth: DepthMap) -> CueStatus:
        """The status of a depth map."""
        return cls(depth.valid, depth.reason, depth.novelty, depth.generation)

    def apply(self, depth: DepthMap) -> DepthMap:
        """The depth map with this status."""
        return replace(
            depth,
            valid=self.valid,
            reason=self.reason,
            novelty=self.novelty,
            generation=self.generation,
        )

    def values(self) -> dict[str, str]:
        """As texts."""
        return {
            "valid": "true" if self.valid else "false",
            "reason": self.reason,
            "novelty": repr(float(self.novelty)),
            "generation": "none" if self.generation is None else str(self.generation),
        }

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> CueStatus:
        """``values`` undone.

        Raises:
            InputError: a value is missing, or isn't what it should be.
        """
        try:
            valid = {"true": True, "false": False}[values["valid"]]
            novelty = float(values["novelty"])
            text = values["generation"]
            generation = None if text == "none" else int(text)
            reason = values["reason"]
        except (KeyError, ValueError) as error:
            raise InputError(f"cue status: {error} is missing or can't be read") from None
        if math.isnan(novelty) or novelty < 0.0 or len(reason) > _LONGEST:
            raise InputError(f"cue status: novelty {novelty}, reason of {len(reason)} characters")
        return cls(valid, reason, novelty, generation)


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
