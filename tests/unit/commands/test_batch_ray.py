"""A batch on Ray, against a stand-in that has the part of Ray's interface that is used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ssl_perception.commands import batch_workers
from ssl_perception.commands.batch_jobs import DONE, FAILED, Job, result_file, result_of
from ssl_perception.errors import InputError

JOBS = [Job(f"key{k}", "replay", f"{k}.mcap", "{}") for k in range(3)]


class RayError(Exception):
    """As ``ray.exceptions.RayError``: a worker that died too often, for one."""


def stand_in(initialised: dict[str, Any]) -> Any:
    def remote(**options: Any) -> Callable[[Any], Any]:
        initialised.update(options)
        return lambda function: SimpleNamespace(remote=lambda job: (function, job))

    def get(reference: tuple[Any, Job]) -> Any:
        function, job = reference
        if job.key == "key1":
            raise RayError("worker died\nits trace")
        return function(job)

    def init(address: str | None, **options: Any) -> None:
        if address == "absent":
            raise ConnectionError("no cluster\nthere")
        initialised.update(options, address=address)

    return SimpleNamespace(
        init=init,
        remote=remote,
        get=get,
        wait=lambda references, num_returns: (references[-1:], references[:-1]),
        shutdown=lambda: initialised.update(ended=True),
        exceptions=SimpleNamespace(RayError=RayError),
    )


def test_each_job_is_written_and_a_dead_worker_is_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setitem(sys.modules, "ray", stand_in(told))
    monkeypatch.setattr(batch_workers, "run_job", lambda job: result_of(job, DONE, "", {}, 1.0))
    done = list(batch_workers.run_on_ray(JOBS, tmp_path, "cluster:6379", retries=4))
    assert {job.key for job in done} == {job.key for job in JOBS}
    results = [json.loads(result_file(tmp_path, job).read_text()) for job in JOBS]
    assert [result["status"] for result in results] == [DONE, FAILED, DONE]
    assert results[1]["error"] == "worker died"
    assert told["address"] == "cluster:6379" and told["max_retries"] == 4 and told["ended"]


def test_a_cluster_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", stand_in({}))
    with pytest.raises(InputError, match="--ray absent: no cluster there"):
        list(batch_workers.run_on_ray(JOBS, tmp_path, "absent", retries=0))
