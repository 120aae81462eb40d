"""The time in which something is so."""

from __future__ import annotations

from pydantic import Field

from ssl_perception.config import Section


class Spell(Section):
    """When a fault holds."""

    start: float = Field(0.0, ge=0, le=1e6, description="s, from when")
    end: float = Field(1e6, ge=0, le=1e6, description="s, until when")

    def holds(self, time: float) -> bool:
        """Whether it holds at ``time``, s."""
        return self.start <= time < self.end
