"""``ssl-perception batch`` and ``merge``: many logs, side by side, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception.commands.options import (
    ConfigFile,
    Settings,
    err,
    input_files,
    load_config,
    out,
)
from ssl_perception.errors import InputError
from ssl_perception.io.output_paths import check_inputs, check_outputs


def batch(
    logs: Annotated[
        str, typer.Argument(help="Pattern of logs, quoted: 'logs/*.mcap'; of an experiment seeds.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    task: Annotated[
        str, typer.Option(help="replay, evaluate (flow), or experiment (simulated streets).")
    ] = "replay",
    dataset: Annotated[str, typer.Option(help="Of --task evaluate: as in evaluate flow.")] = "",
    method: Annotated[
        list[str] | None, typer.Option(help="Flow solver to score; give several times.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 1,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="On a Ray cluster in their place; local: here."),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Part I of N alone; merge sums up.")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="For a job whose process was killed or crashed.")
    ] = 1,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> None:
    """Run many logs side by side; what is done already, by content, settings and version, isn't
    done again."""
    config = load_config(config_file, settings)
    check_outputs(input_files(config_file, config), {"--out": folder})
    from ssl_perception.commands.batch_jobs import find_jobs, settled, shard_of
    from ssl_perception.commands.batch_workers import run_locally, run_on_ray
    from ssl_perception.runtime.console import progress_bar
    from ssl_perception.warm_up import warm_up

    every = find_jobs(logs, task, config, dataset, method or [])
    jobs = shard_of(every, shard)
    todo = [job for job in jobs if not settled(folder, job)]
    out.print(f"{len(jobs)} jobs, {len(jobs) - len(todo)} of them done already")
    try:
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror or error}") from None
    with progress_bar(out) as bar:
        if todo and ray is None:
            bar.console.print("warming up, so that workers find the kernels compiled", style="dim")
            warm_up(config)
        done = (
            run_locally(todo, folder, workers, retries)
            if ray is None
            else run_on_ray(todo, folder, ray, retries)
        )
        for _ in bar.track(done, total=len(todo), description=task):
            pass
    if shard is None:
        merge(folder)


def merge(
    folder: Annotated[Path, typer.Argument(help="Folder that batch wrote into.")],
) -> None:
    """Sum up a batch: a table (Parquet, else CSV) with a row a job, and a page."""
    check_inputs(folder)
    from ssl_perception.commands.batch_summary import write_summary

    table, ends = write_summary(folder)
    for status, count in ends.items():
        out.print(f"{status:8s} {count}")
    out.print(f"table    {table}", soft_wrap=True)
    out.print(f"page     {folder / 'index.html'}", soft_wrap=True)
    if set(ends) - {"done"}:
        err.print("not every job was done; the table's column error says why")
