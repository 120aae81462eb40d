"""What the depth pipeline gives for one frame: a stereo pair, or an image of one camera."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_perception.depth.trust.state import ActiveCue, Trust
from ssl_perception.types import DepthMap, FloatArray, ObstacleScan


@dataclass(frozen=True, eq=False)
class DepthResult:
    """What one frame gives.

    Attributes:
        stereo: the teacher's depth (``cue`` says which sensor), with its own verdict on itself.
        mono: the student's depth, predicted before it learnt from this frame; None: no student.
        label: pseudo-label on the student's grid, log depth; None when the teacher is invalid or
            not needed.
        trust: which cue is active, why, and the evidence.
        scan: distance to the nearest obstacle per sector, the lidar's included; all unknown when no
            cue is trusted and there is no lidar.
        stereo_scan, mono_scan: the scans of each cue alone.
        learnt: what the learner's step did; None when there was none.
        stages: seconds per stage.
    """

    stereo: DepthMap
    mono: DepthMap | None
    label: FloatArray | None
    trust: Trust
    scan: ObstacleScan
    stereo_scan: ObstacleScan
    mono_scan: ObstacleScan | None
    learnt: object | None
    stages: dict[str, float]

    @property
    def depth(self) -> DepthMap:
        """The depth of the active cue; the teacher's, with its reason, where no cue is."""
        mono_active = self.trust.active_cue in (ActiveCue.GUARDED, ActiveCue.MONO)
        if self.mono is None or not mono_active or self.trust.overriding:
            return self.stereo
        return self.mono
