"""Batches: what a job is, that it runs once, that a killed one runs again, and the summary."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ssl_perception import cli
from ssl_perception.commands import batch_jobs, batch_summary, batch_workers
from ssl_perception.commands.batch_jobs import (
    DONE,
    FAILED,
    Job,
    find_jobs,
    result_file,
    result_of,
    run_job,
    settled,
    shard_of,
)
from ssl_perception.config import Config
from ssl_perception.errors import InputError
from ssl_perception.io.write import write_json


def logs(folder: Path, count: int = 3) -> str:
    for k in range(count):
        (folder / f"{k}.mcap").write_bytes(bytes([k]) * 100)
    return str(folder / "*.mcap")


def jobs(folder: Path, count: int = 3) -> list[Job]:
    return find_jobs(logs(folder, count), "replay", Config(), "", [])


def write_done(target: Path, job: Job, **figures: Any) -> None:
    write_json(target, result_of(job, DONE, "", figures, 1.0))


def test_the_key_goes_by_content_settings_task_and_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = jobs(tmp_path)
    assert [job.log for job in one] == [str(tmp_path / f"{k}.mcap") for k in range(3)]
    assert [job.key for job in jobs(tmp_path)] == [job.key for job in one]
    other = Config(scan={"sectors": 36})
    others = find_jobs(str(tmp_path / "*.mcap"), "replay", other, "", [])
    assert not {job.key for job in others} & {job.key for job in one}
    (tmp_path / "1.mcap").write_bytes(b"else")
    changed = find_jobs(str(tmp_path / "*.mcap"), "replay", Config(), "", [])
    assert [a.key == b.key for a, b in zip(one, changed, strict=True)] == [True, False, True]
    monkeypatch.setattr(batch_jobs, "__version__", "999")
    assert jobs(tmp_path)[0].key != one[0].key


def test_shards_are_all_jobs_each_once(tmp_path: Path) -> None:
    every = jobs(tmp_path, 7)
    parts = [shard_of(every, f"{i}/3") for i in (1, 2, 3)]
    assert sorted(job.key for part in parts for job in part) == sorted(job.key for job in every)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for wrong in ("0/3", "4/3", "1", "a/b"):
        with pytest.raises(InputError, match="--shard"):
            shard_of(every, wrong)


def test_a_log_that_cannot_be_used_is_a_row(tmp_path: Path) -> None:
    (job, *_) = jobs(tmp_path)
    result = run_job(job)
    assert result["status"] == "refused" and "0.mcap" in result["error"]
    write_json(result_file(tmp_path, job), result)
    assert settled(tmp_path, job)
    write_json(result_file(tmp_path, job), result | {"status": FAILED})
    assert not settled(tmp_path, job), "a crash may have been the machine's fault"


def _worker(job: Job, target: Path) -> None:
    """Stands for the work; the job of log 1 is killed at its first try, that of 2 each time."""
    mark = Path(job.log).with_suffix(".tried")
    first = not mark.exists()
    mark.touch()
    if job.log.endswith("2.mcap") or (job.log.endswith("1.mcap") and first):
        os.kill(os.getpid(), signal.SIGKILL)
    write_done(target, job)


def test_a_killed_worker_is_started_again_and_in_the_end_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_workers, "run_in_process", _worker)
    monkeypatch.setattr(batch_workers, "_SPAWN", batch_workers.multiprocessing.get_context("fork"))
    every = jobs(tmp_path)
    done = list(batch_workers.run_locally(every, tmp_path, workers=2, retries=1))
    assert {job.key for job in done} == {job.key for job in every}
    results = [json.loads(result_file(tmp_path, job).read_text()) for job in every]
    assert [result["status"] for result in results] == [DONE, DONE, FAILED]
    assert "code -9" in results[2]["error"]


def test_the_summary_has_a_row_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = jobs(tmp_path)
    for k, job in enumerate(every[:2]):
        write_done(result_file(tmp_path, job), job, sweeps=k, latency_ms={"sweep": {"p95": 2.5}})
    result = result_of(every[2], FAILED, "<killed>", {}, 0.0)
    write_json(result_file(tmp_path, every[2]), result)
    monkeypatch.setattr(batch_summary, "_parquet", lambda *_: None)
    table, ends = batch_summary.write_summary(tmp_path)
    assert ends == {DONE: 2, FAILED: 1}
    rows = list(csv.DictReader(table.open()))
    assert [row["sweeps"] for row in rows] == ["0", "1", ""]
    assert rows[0]["latency_ms.sweep.p95"] == "2.5" and rows[2]["error"] == "<killed>"
    page = (tmp_path / "index.html").read_text()
    assert "3 jobs: 2 done, 1 failed." in page and "&lt;killed&gt;" in page


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for k, job in enumerate(jobs(tmp_path)):
        write_done(result_file(tmp_path, job), job, score=k if k else 0.5)
    table, _ = batch_summary.write_summary(tmp_path)
    assert parquet.read_table(table)["score"].to_pylist() == [0.5, 1.0, 2.0]


@pytest.mark.processes
def test_a_batch_of_real_logs_twice(data: Path, tmp_path: Path) -> None:
    for k in range(2):
        shutil.copytree(data / "stereo_seq_kitti_a", tmp_path / f"log{k}")
    (tmp_path / "log1" / "times_s.txt").write_text("bad")
    arguments = ["batch", str(tmp_path / "log*"), "--out", str(tmp_path / "out")]
    arguments += ["--workers", "2"]
    first = CliRunner().invoke(cli.app, arguments)
    assert first.exit_code == 0, first.output
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "jobs").iterdir()}
    assert len(written) == 2
    found = [json.loads(path.read_text()) for path in written]
    assert sorted(result["status"] for result in found) == ["done", "refused"]
    again = CliRunner().invoke(cli.app, arguments)
    assert again.exit_code == 0 and "2 of them done already" in again.output
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "jobs").iterdir()} == written
