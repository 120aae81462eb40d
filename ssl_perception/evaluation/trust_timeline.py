"""How trust developed in one run: the active cue, why, the error rates, and the student's error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ssl_perception.config import TrustConfig
from ssl_perception.depth.result import DepthResult
from ssl_perception.depth.trust.state import Trust
from ssl_perception.depth.trust.statistics import UNTESTED, rate_bounds
from ssl_perception.evaluation.pictures import CUE_COLOURS, cues_side_by_side
from ssl_perception.evaluation.report import Section
from ssl_perception.obstacles.scan import nearest_ahead
from ssl_perception.types import ActiveCue, DepthMap, FloatArray

_MOMENTS = 3  # frames whose depth images are shown
_ROWS = 40  # changes of the active cue that the table lists


@dataclass(frozen=True)
class Change:
    """The active cue, and from when on.

    Attributes:
        seconds: since the first frame.
        cue: active from then on.
        reason: why.
    """

    seconds: float
    cue: ActiveCue
    reason: str


@dataclass(frozen=True, eq=False)
class Moment:
    """A frame that the report shows."""

    seconds: float
    image: NDArray[np.uint8]
    stereo: DepthMap
    mono: DepthMap
    truth: FloatArray | None


class TrustTimeline:
    """Keeps a few numbers of each frame, and a few frames.

    Args:
        options: settings of trust.

    Attributes:
        changes: of the active cue, in the order of time.
        moments: frames to show: the first prediction, the last frame with valid stereo, and the
            middle of what came after it.
    """

    def __init__(self, options: TrustConfig) -> None:
        self._options = options
        self._start: float | None = None
        self._last: DepthResult | None = None
        self._rows: list[tuple[float, ...]] = []
        self._cues: list[ActiveCue] = []
        self.changes: list[Change] = []
        self._first: Moment | None = None
        self._valid: Moment | None = None
        self._after: list[Moment] = []
        self._stride = 1
        self._invalid = 0
        self._near = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self, image: NDArray[np.uint8], result: DepthResult, truth: FloatArray | None = None
    ) -> None:
        """Take the result of one pair.

        Args:
            image: left image.
            truth: (H, W) m, where it is known.
        """
        if result.mono is None:
            return
        trust, stamp = result.trust, result.stereo.stamp
        start = self._start = stamp if self._start is None else self._start
        seconds = stamp - start
        if not self.changes or self.changes[-1].cue is not trust.active_cue:
            self.changes.append(Change(seconds, trust.active_cue, trust.reason))
        tally = trust.under_mono if any(trust.under_mono) else trust.under_stereo
        # without a threshold nothing is predicted to be an obstacle, rightly or wrongly
        calibrated = math.isfinite(trust.threshold)
        bounds = rate_bounds(tally if calibrated else UNTESTED, trust.threshold, self._options.z)
        assert result.mono_scan is not None
        ahead = self._options.ahead
        self._rows.append(
            (
                seconds,
                nearest_ahead(result.stereo_scan, ahead),
                nearest_ahead(result.mono_scan, ahead),
                trust.threshold,
                bounds.tpr,
                bounds.fpr,
                getattr(result.learnt, "error", math.nan),
            )
        )
        self._cues.append(trust.active_cue)
        self._near = max(self._near, sum(map(len, _near_tests(trust))))
        self._last = result
        self._keep(Moment(seconds, image, result.stereo, result.mono, truth))

    def _keep(self, moment: Moment) -> None:
        if self._first is None and moment.mono.valid:
            self._first = moment
        if moment.stereo.valid:
            self._valid, self._after, self._stride, self._invalid = moment, [], 1, 0
            return
        # evenly spread frames of the present failure, a bounded number of them
        if self._invalid % self._stride == 0:
            self._after.append(moment)
            if len(self._after) > 8:
                self._after, self._stride = self._after[::2], 2 * self._stride
        self._invalid += 1

    @property
    def moments(self) -> list[Moment]:
        middle = self._after[len(self._after) // 2] if self._after else None
        kept = [m for m in (self._first, self._valid, middle) if m is not None]
        return sorted({id(m): m for m in kept}.values(), key=lambda m: m.seconds)[:_MOMENTS]

    def figures(self) -> dict[str, Any]:
        """For JSON: seconds per active cue, the changes, and the rates at the end."""
        if self._last is None:
            return {}
        trust, rows = self._last.trust, np.array(self._rows)
        period = float(np.median(np.diff(rows[:, 0]))) if len(rows) > 1 else 0.0
        errors = rows[:, 6][np.isfinite(rows[:, 6])]
        tenth = max(1, len(errors) // 10)

        def plain(value: float) -> float | None:
            return float(value) if math.isfinite(value) else None

        return {
            "active_cue_seconds": {cue.value: self._cues.count(cue) * period for cue in ActiveCue},
            "changes": [
                {"seconds": c.seconds, "cue": c.cue.value, "reason": c.reason} for c in self.changes
            ],
            "trusted": trust.trusted,
            "threshold": plain(trust.threshold),
            "tpr": plain(rows[-1, 4]),
            "fpr": plain(rows[-1, 5]),
            "overrides": trust.overrides,
            "student_error_first": plain(float(np.mean(errors[:tenth]))) if len(errors) else None,
            "student_error_last": plain(float(np.mean(errors[-tenth:]))) if len(errors) else None,
        }

    @property
    def learnt(self) -> bool:
        """Something was, so that there are errors of the student."""
        return any(math.isfinite(row[6]) for row in self._rows)

    @property
    def untested(self) -> str:
        """Why there are no error rates of the student; empty where there are."""
        rows = np.array(self._rows).reshape(-1, 7)
        if np.isfinite(rows[:, 4:6]).any():
            return ""
        trigger = f"the trigger distance ({self._options.trigger:g} m)"
        if not (rows[:, 1] < self._options.trigger).any():
            return f"no obstacle within {trigger} ahead was seen, so no tests"
        tests = f"{self._near} tests" if self._near else "no test"
        return f"{tests} on obstacles within {trigger} yet: too few to calibrate a threshold"

    def sections(self) -> list[Section]:
        """Chapters of the report; none where there was no student."""
        if self._last is None:
            return []
        changes = [(f"{c.seconds:.1f}", c.cue.value, c.reason) for c in self.changes[:_ROWS]]
        more = len(self.changes) - len(changes)
        text = "Obstacle distance comes from the active cue." + (
            f" {more} later changes are left out." if more else ""
        )
        if self.untested:
            text += f" The student can't earn trust here: {self.untested}."
        chapters = [
            Section(
                "Trust",
                text,
                ("from s", "active cue", "reason"),
                changes,
                [(self.draw(), _CAPTION + (_ERROR_CAPTION if self.learnt else ""))],
            )
        ]
        if self.moments:
            shown = [
                (cues_side_by_side(m.image, m.stereo, m.mono, m.truth), f"At {m.seconds:.1f} s.")
                for m in self.moments
            ]
            chapters.append(Section("Stereo and student, side by side", figures=shown))
        return chapters

    def draw(self) -> Figure:
        """The timeline: active cue, nearest obstacle ahead, error rates, the student's error."""
        rows = np.array(self._rows)
        seconds = rows[:, 0]
        learnt = self.learnt
        figure = Figure(figsize=(9.2, 6.2 if learnt else 4.8), layout="constrained")
        ratios = [0.5, 1.6, 1.3, 1.3][: 4 if learnt else 3]
        axes = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
        ends = [c.seconds for c in self.changes[1:]] + [float(seconds[-1])]
        for change, end in zip(self.changes, ends, strict=True):
            axes[0].axvspan(change.seconds, end, color=CUE_COLOURS[change.cue], lw=0)
        for cue in dict.fromkeys(c.cue for c in self.changes):
            axes[0].plot([], [], lw=6, color=CUE_COLOURS[cue], label=cue.value)
        axes[0].set(yticks=[], title="active cue", xlim=(float(seconds[0]), float(seconds[-1])))
        axes[0].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
        seen = rows[:, 1:3][np.isfinite(rows[:, 1:3])]
        far = 4.0 * self._options.trigger
        if len(seen):  # of large, far scenes not only the part about the trigger
            far = max(far, 1.1 * float(np.percentile(seen, 90)))
        for column, cue in ((1, ActiveCue.STEREO), (2, ActiveCue.MONO)):
            near = np.where(rows[:, column] == np.inf, far, rows[:, column])
            axes[1].plot(seconds, near, lw=0.9, color=CUE_COLOURS[cue], label=cue.value)
        axes[1].axhline(self._options.trigger, lw=0.8, ls="--", color="0.4", label="trigger")
        axes[1].plot(seconds, rows[:, 3], lw=0.8, color="0.2", label="mono's threshold")
        axes[1].set(ylim=(0.0, far), ylabel="m", title="nearest obstacle ahead")
        axes[2].plot(seconds, rows[:, 4], color="#2b7a4b", label="TPR")
        axes[2].plot(seconds, rows[:, 5], color="#d1495b", label="FPR")
        axes[2].set(ylim=(-0.02, 1.02), title="the student's tests so far")
        axes[2].text(0.5, 0.5, self.untested, transform=axes[2].transAxes, ha="center", fontsize=9)
        if learnt:
            axes[3].plot(seconds, rows[:, 6], lw=0.7, color="#4c7fb0", label="error")
            axes[3].set(ylim=(0.0, None), ylabel="log depth", title="the student's median error")
        for place in axes[1:]:
            place.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
        for place in axes:
            place.set_title(place.get_title(), fontsize=9, loc="left")
            place.set_title("")
        axes[-1].set_xlabel("seconds")
        return figure


def _near_tests(trust: Trust) -> tuple[tuple[float, ...], ...]:
    return trust.calibration, trust.under_stereo.near, trust.under_mono.near


_CAPTION = (
    "Top: the cue that obstacle distance came from. A gap in a line is unknown; a line at the top "
    "edge is clear. TPR and FPR are of the newest tests of the student: predictions on frames that "
    "it had not learnt from, against stereo."
)
_ERROR_CAPTION = " The error is the median over the image, before learning from the frame."
