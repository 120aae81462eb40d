"""Running jobs side by side: processes of this machine, or a Ray cluster.

Each job of this machine has a process of its own: one that is killed, or that runs out of memory,
takes no other with it and is started again.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from ssl_perception.commands.batch_jobs import (
    FAILED,
    Job,
    result_file,
    result_of,
    run_in_process,
    run_job,
)
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json
from ssl_perception.runtime.extras import needs_extra

_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks


def run_locally(jobs: list[Job], folder: Path, workers: int, retries: int) -> Iterator[Job]:
    """Run the jobs; gives each one when its result is written.

    Args:
        retries: how often a job whose process ended without a result is started again; then it
            counts as failed.
    """
    waiting, tries = deque(jobs), Counter[str]()
    running: dict[SpawnProcess, Job] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                result_file(folder, job).unlink(missing_ok=True)  # of an earlier failure
                process = _SPAWN.Process(
                    target=run_in_process, args=(job, result_file(folder, job)), daemon=True
                )
                process.start()
                running[process] = job
            wait([process.sentinel for process in running])
            for process in [p for p in running if not p.is_alive()]:
                job = running.pop(process)
                process.join()
                if not result_file(folder, job).exists():
                    tries[job.key] += 1
                    if tries[job.key] <= retries:
                        waiting.append(job)
                        continue
                    said = f"its process ended with code {process.exitcode}"
                    write_json(result_file(folder, job), result_of(job, FAILED, said, {}, 0.0))
                yield job
    finally:
        for process in running:
            process.terminate()


def run_on_ray(jobs: list[Job], folder: Path, address: str, retries: int) -> Iterator[Job]:
    """As ``run_locally``, on a Ray cluster whose machines see the logs under the same paths.

    Args:
        address: of the cluster; ``local``: one of this machine, for this run.

    Raises:
        InputError: Ray isn't installed, or there is no cluster at this address.
    """
    with needs_extra("--ray"):
        import ray

    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=None if local else address, log_to_driver=False, **local)
    except Exception as error:  # no such cluster, another version there, or it doesn't start
        raise InputError(f"--ray {address}: {' '.join(str(error).split())}") from None
    try:
        remote: Any = ray.remote(max_retries=retries, num_cpus=1)(run_job)
        pending = {remote.remote(job): job for job in jobs}
        while pending:
            (ready,), _ = ray.wait(list(pending), num_returns=1)
            job = pending.pop(ready)
            try:
                result = ray.get(ready)
            except ray.exceptions.RayError as error:
                result = result_of(job, FAILED, str(error).split("\n")[0], {}, 0.0)
            write_json(result_file(folder, job), result)
            yield job
    finally:
        with suppress(Exception):
            ray.shutdown()
