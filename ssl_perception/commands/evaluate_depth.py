"""Depth against ground truth: the stereo teacher, the student, and what a constant would score."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ssl_perception.config import Config, StereoConfig
from ssl_perception.datasets import DepthSample, open_depth
from ssl_perception.depth.teacher.stereo import StereoMatcher
from ssl_perception.evaluation import depth_metrics as metrics
from ssl_perception.io.write import write_json
from ssl_perception.types import FloatArray

# Disparities to search, for the largest that each set has, unless stereo.disparities is set; a
# scene that says that it needs more gets more. And the error, px, beyond which its benchmark calls
# a pixel bad.
SEARCH = {"kitti-stereo": 160, "middlebury": 80}
BAD = {"kitti-stereo": 3.0, "middlebury": 2.0}


AVERAGED = (
    "bad",
    "bad_or_missing",
    "answered",
    "d1",
    "abs_rel",
    "sq_rel",
    "rmse",
    "rmse_log",
    "delta1",
    "delta2",
    "delta3",
    "seconds",
)


@dataclass(frozen=True)
class Score:
    """One method on one sample, on the pixels whose truth is known and that both cameras see.

    Attributes:
        sample, method: names.
        bad: share of wrong disparities among the pixels that have an answer (how the READMEs
            beside the data count). NaN without disparities.
        bad_or_missing: share of wrong or absent answers among all pixels with truth (how the
            benchmarks' leaderboards count).
        answered: share of the pixels with truth that have an answer.
        d1: share of disparities wrong by more than 3 px and 5 % among those that have an answer
            (KITTI 2015). NaN without disparities.
        abs_rel, sq_rel, rmse, rmse_log: see ``depth_metrics``; over answered pixels.
        delta1, delta2, delta3: share of answered pixels within a factor 1.25, 1.25^2, 1.25^3.
        pixels: with truth.
        seconds: to match.
        valid: the gate's verdict; True for methods that have none.
        reason: of a closed gate.
    """

    sample: str
    method: str
    bad: float
    bad_or_missing: float
    answered: float
    d1: float
    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    delta1: float
    delta2: float
    delta3: float
    pixels: int
    seconds: float
    valid: bool = True
    reason: str = ""


def score(
    sample: DepthSample,
    method: str,
    depth: FloatArray,
    disparity: FloatArray | None,
    threshold: float,
    seconds: float = 0.0,
    reason: str = "",
) -> Score:
    """Score a depth image, and the disparities that it came from, where the truth is known.

    Args:
        depth: (H, W) metres, NaN no answer.
        disparity: (H, W) px, NaN no answer; None: the method has none.
        threshold: px, an error beyond which is bad.
    """
    counted = sample.non_occluded & np.isfinite(sample.depth)
    truth, answer = sample.depth[counted], depth[counted]
    answered = np.isfinite(answer)
    known, told = truth[answered], answer[answered]
    share = float(answered.mean()) if len(answered) else math.nan
    wrong = missing = d1 = math.nan
    if disparity is not None and sample.disparity is not None:
        d, true = disparity[counted], sample.disparity[counted]
        has = np.isfinite(d)
        share = float(has.mean()) if len(has) else math.nan
        wrong = metrics.bad(d[has], true[has], threshold)
        missing = 1.0 - share + share * wrong if has.any() else 1.0
        d1 = metrics.bad(d[has], true[has], 3.0, 0.05)
    return Score(
        sample=sample.name,
        method=method,
        bad=wrong,
        bad_or_missing=missing,
        answered=share,
        d1=d1,
        abs_rel=metrics.absolute_relative(told, known),
        sq_rel=metrics.squared_relative(told, known),
        rmse=metrics.rmse(told, known),
        rmse_log=metrics.rmse_log(told, known),
        delta1=metrics.within(told, known, 1.25),
        delta2=metrics.within(told, known, 1.25**2),
        delta3=metrics.within(told, known, 1.25**3),
        pixels=int(counted.sum()),
        seconds=seconds,
        valid=not reason,
        reason=reason,
    )


def score_stereo(sample: DepthSample, options: StereoConfig, threshold: float) -> list[Score]:
    """The matcher's every answer, what passes its gate, and the best constant disparity."""
    if sample.pair is None or sample.disparity is None:
        return []
    matcher = StereoMatcher(options)
    start = time.perf_counter()
    match = matcher.match(sample.pair)
    seconds = time.perf_counter() - start
    gated = matcher.to_depth(sample.pair, match)
    shift = sample.pair.cx_difference
    scale = np.float32(sample.pair.camera.fx * sample.pair.baseline)
    with np.errstate(divide="ignore"):
        raw = scale / (match.disparity + np.float32(shift))
    raw[~(np.isfinite(raw) & (raw > 0))] = np.nan
    kept = np.where(np.isfinite(gated.depth), match.disparity, np.float32(np.nan))
    agreed = np.where(match.agreed, match.disparity, np.float32(np.nan))
    agreed_depth = np.where(match.agreed, raw, np.float32(np.nan))
    return [
        score(sample, "sgbm", raw, match.disparity, threshold, seconds),
        score(sample, "gated", gated.depth, kept, threshold, seconds, match.reason),
        score(sample, "agreed", agreed_depth, agreed, threshold, seconds, match.reason),
        _constant(sample, threshold),
    ]


def _constant(sample: DepthSample, threshold: float) -> Score:
    """The median of this very sample's truth: no constant does better, knowing it beforehand."""
    counted = sample.non_occluded & np.isfinite(sample.depth)
    depth = np.full(sample.depth.shape, np.median(sample.depth[counted]), np.float32)
    disparity = None
    if sample.disparity is not None:
        middle = np.median(sample.disparity[counted])
        disparity = np.full(sample.depth.shape, middle, np.float32)
    return score(sample, "constant median", depth, disparity, threshold)


def score_student(sample: DepthSample, store: Path) -> Score:
    """The student of a model store, from the left image alone."""
    from ssl_perception.depth.student.inference import StudentInference
    from ssl_perception.depth.student.stored import STUDENT_FILE, load_weights
    from ssl_perception.errors import InputError
    from ssl_perception.io.model_store import ModelStore

    generation = ModelStore(store).load([STUDENT_FILE], extras=False)
    if generation is None:
        raise InputError(f"{store}: holds no undamaged model")
    mono = StudentInference()
    mono.load(load_weights(generation), generation.number)
    start = time.perf_counter()
    answer = mono.depth(sample.image, sample.camera)
    seconds = time.perf_counter() - start
    size = (sample.camera.width, sample.camera.height)
    depth = cv2.resize(answer.depth, size, interpolation=cv2.INTER_LINEAR)
    return score(sample, "student", np.asarray(depth, np.float32), None, 1.0, seconds)


def run_evaluate_depth(
    dataset: str,
    path: Path,
    config: Config,
    json_file: Path | None,
    out: Console,
    student: Path | None = None,
) -> None:
    """Score every sample, print a table and, with ``json_file``, write every figure.

    Raises:
        InputError: unknown dataset or layout, or a student that can't be read.
    """
    samples = open_depth(dataset, path)
    searched = set()
    threshold = BAD.get(dataset, 2.0)
    scores: list[Score] = []
    one_eyed = True
    for index in range(len(samples)):
        sample = samples[index]
        one_eyed = one_eyed and sample.pair is None
        options = config.stereo
        if options.disparities == StereoConfig().disparities and dataset in SEARCH:
            needed = max(SEARCH[dataset], 16 * math.ceil(sample.search / 16))
            options = options.model_copy(update={"disparities": needed})
        searched.add(options.disparities)
        rows = score_stereo(sample, options, threshold) or [_constant(sample, threshold)]
        if student is not None:
            rows.insert(-1, score_student(sample, student))
        scores += rows
    scores += _means(scores)

    bad = f"bad-{threshold:g}"
    disparities = Table("sample", "method", f"{bad} %", "or none %", "D1 %", "answered %", "s",
                        "gate", box=None, pad_edge=False)  # fmt: skip
    depths = Table("sample", "method", "AbsRel", "SqRel m", "RMSE m", "RMSElog", "δ1 %", "δ2 %",
                   "δ3 %", box=None, pad_edge=False)  # fmt: skip
    for s in scores:
        disparities.add_row(
            s.sample, s.method, _percent(s.bad), _percent(s.bad_or_missing), _percent(s.d1),
            _percent(s.answered), f"{s.seconds:.3f}" if s.seconds else "",
            s.reason or ("open" if s.method in ("gated", "agreed") else ""),
        )  # fmt: skip
        depths.add_row(
            s.sample, s.method, f"{s.abs_rel:.3f}", f"{s.sq_rel:.3f}", f"{s.rmse:.2f}",
            f"{s.rmse_log:.3f}", _percent(s.delta1), _percent(s.delta2), _percent(s.delta3),
        )  # fmt: skip
    out.print(disparities)
    out.print()
    out.print(depths)
    out.print()
    out.print(
        f"{bad} %: wrong by more than {threshold:g} px among the pixels with an answer; "
        f"'or none': no answer counts as wrong. D1: by more than 3 px and 5 %. "
        f"δk: within a factor 1.25^k. Pixels that both cameras see.\n"
        f"sgbm: every answer. gated: what depth maps keep. agreed: confidence 1, the labels. "
        f"constant median: of the sample's own truth. Searched "
        f"{', '.join(str(s or 'an eighth of the width') for s in sorted(searched))} px."
    )
    if one_eyed and student is None:
        out.print("No right images here: give a student (--student STORE) to score it.")
    if json_file is not None:
        report = {
            "dataset": dataset,
            "threshold_px": threshold,
            "stereo": {**config.stereo.model_dump(), "disparities": max(searched)},
            "machine": platform.machine(),
            "opencv": cv2.__version__,
            "scores": [_plain(s) for s in scores],
        }
        write_json(json_file, report)


def _means(scores: list[Score]) -> list[Score]:
    """Each method's mean over the samples."""
    means = []
    for method in dict.fromkeys(s.method for s in scores):
        of = [s for s in scores if s.method == method]
        if len(of) < 2:
            continue
        closed = sum(not s.valid for s in of)
        averaged = {name: _mean(getattr(s, name) for s in of) for name in AVERAGED}
        means.append(
            Score(
                sample="mean",
                method=method,
                **averaged,
                pixels=sum(s.pixels for s in of),
                valid=closed == 0,
                reason=f"closed on {closed} of {len(of)}" if closed else "",
            )
        )
    return means


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.2f}"


def _plain(s: Score) -> dict[str, str | float | int | bool | None]:
    """JSON has no NaN: None."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in vars(s).items()
    }
