"""Jobs of ``ssl-perception batch``: one log, one task, one set of settings, one version.

A job is named by the digest of all four, so that its result, once written, is never made twice and
is made anew when any of them changes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl_perception.commands.seeds import parse_seeds
from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.runtime.worker_processes import end_with_parent
from ssl_perception.version import __version__

TASKS = ("replay", "evaluate", "experiment")
DONE, REFUSED, FAILED = "done", "refused", "failed"  # refused: the input can't be used, ever
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Job:
    """What one worker does.

    Attributes:
        key: digest of all that the result depends on; the name of its file.
        task: of ``TASKS``.
        log: path of the recording or dataset; of an experiment its seed.
        settings: ``Config`` as JSON.
        dataset: of ``evaluate``: as ``evaluate flow --dataset``.
        methods: of ``evaluate`` and ``experiment``: flow solvers.
    """

    key: str
    task: str
    log: str
    settings: str
    dataset: str = ""
    methods: tuple[str, ...] = ()


def find_jobs(logs: str, task: str, config: Config, dataset: str, methods: list[str]) -> list[Job]:
    """The jobs of a pattern of logs, in the order of their names.

    Args:
        logs: shell pattern of files and folders; of an experiment seeds, as ``--seeds`` has them.

    Raises:
        InputError: an unknown task, a pattern that fits nothing, or a log that can't be read.
    """
    if task not in TASKS:
        raise InputError(f"--task {task}: choose one of {', '.join(TASKS)}")
    if task == "evaluate" and not dataset:
        raise InputError("--task evaluate needs --dataset, as evaluate flow")
    if task == "experiment":
        names = [str(seed) for seed in parse_seeds(logs)]
        digests = names
    else:
        pattern = Path(logs).expanduser()
        below = Path(pattern.anchor)
        found = below.glob(str(pattern.relative_to(pattern.anchor)))
        names = [logs] if pattern.exists() else sorted(map(str, found))
        if not names:
            raise InputError(f"{logs}: no such log")
        with ThreadPoolExecutor() as readers:
            digests = list(readers.map(lambda name: digest_of(Path(name)), names))
    solvers = tuple(methods or [config.flow.method])
    settings = config.model_dump_json()
    jobs = []
    for name, content in zip(names, digests, strict=True):
        parts = [__version__, task, content, settings, dataset, *solvers]
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
        jobs.append(Job(key, task, name, settings, dataset, solvers))
    return list({job.key: job for job in jobs}.values())  # copies of a log are one job


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, or of the names and contents of all files in a folder.

    Raises:
        InputError: a file can't be read.
    """
    digest = hashlib.sha256()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    for file in files:
        try:
            name = str(file.relative_to(path)) if path.is_dir() else path.name
            digest.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
        except OSError as error:
            raise InputError(f"{file}: {error.strerror or error}") from None
    return digest.hexdigest()


def shard_of(jobs: list[Job], shard: str | None) -> list[Job]:
    """Part ``i/n`` of the jobs, i from 1: every n-th one; None: all.

    Raises:
        InputError: anything else.
    """
    if shard is None:
        return jobs
    i, _, n = shard.partition("/")
    if not (i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise InputError(f"--shard {shard}: write i/n with 1 <= i <= n, as 3/8")
    return jobs[int(i) - 1 :: int(n)]


def result_file(folder: Path, job: Job) -> Path:
    """Where a job's result is, or will be."""
    return folder / "jobs" / f"{job.key}.json"


def settled(folder: Path, job: Job) -> bool:
    """Whether the job need not run again: it is done, or its input can't be used."""
    try:
        status = json.loads(result_file(folder, job).read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):  # not there, or cut by a full disk
        return False
    return status in (DONE, REFUSED)


def result_of(job: Job, status: str, error: str, figures: dict[str, Any], seconds: float) -> dict:
    """A job's result as it is kept."""
    said = {name: value for name, value in asdict(job).items() if name != "settings"}
    return {
        **said,
        "version": __version__,
        "settings": json.loads(job.settings),
        "status": status,
        "error": error,
        "seconds": seconds,
        "figures": figures,
    }


def run_job(job: Job) -> dict[str, Any]:
    """Do it, in this process; whatever goes wrong is part of the result."""
    begun, figures = time.perf_counter(), {}
    status, error = DONE, ""
    try:
        figures = _figures(job)
    except InputError as refusal:
        status, error = REFUSED, str(refusal)
    except Exception as failure:  # one log must not end the others
        status, error = FAILED, f"{type(failure).__name__}: {failure}"
    return result_of(job, status, error, figures, time.perf_counter() - begun)


def run_in_process(job: Job, target: Path) -> None:
    """Entry of a worker process: the result goes into ``target``, whole or not at all."""
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"  # the workers share the processors
    import cv2

    cv2.setNumThreads(1)
    write_json(target, run_job(job))


def _figures(job: Job) -> dict[str, Any]:
    from rich.console import Console

    config = Config.model_validate_json(job.settings)
    silent = Console(file=io.StringIO())
    if job.task == "replay":
        from ssl_perception.commands.replay import run_replay

        log = Path(job.log)
        return run_replay(log, None, config, None, None, True, None, silent).figures()
    if job.task == "evaluate":
        from ssl_perception.commands.evaluate_flow import run_evaluate_flow

        path, methods = Path(job.log), list(job.methods)
        return run_evaluate_flow(job.dataset, path, methods, 0, config, None, silent)
    from ssl_perception_sim.experiments.street_scores import KINDS, run_evaluate_streets

    seed, kinds = int(job.log), list(KINDS)
    return run_evaluate_streets([seed], kinds, job.methods, False, config, None, None, silent)
