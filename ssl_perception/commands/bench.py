"""``ssl-perception bench``: how long things take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception.commands.options import (
    ConfigFile,
    JsonFile,
    Resume,
    Seeds,
    Settings,
    input_files,
    load_config,
    out,
)
from ssl_perception.commands.seeds import parse_seeds
from ssl_perception.io.output_paths import check_inputs, check_outputs

bench = typer.Typer(no_args_is_help=True, help="How long things take on this machine.")


@bench.command("flow")
def bench_flow(
    log: Annotated[
        list[Path] | None,
        typer.Option(help="Recording of raw sweeps, beside simulated ones; several times."),
    ] = None,
    pair: Annotated[Path | None, typer.Option(help="Labelled pair, as `evaluate flow`.")] = None,
    sweeps: Annotated[int, typer.Option(min=10, help="Sweeps per recording.")] = 100,
    priors: Annotated[
        bool, typer.Option("--priors", help="The priors and SCOOP as well: hours.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Page to write, whole: BENCHMARK.md.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option(help="Sentence for the page; several times.")
    ] = None,
    seeds: Seeds = "0..2",
    resume: Resume = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Scene flow: stages on raw sweeps, scaling, deadlines, and all methods at their best."""
    check_inputs(*(log or []), pair)
    from ssl_perception.commands.bench_flow import run_bench_flow

    config = load_config(config_file, settings)
    outputs = {"--markdown": markdown, "--json": json_file, "--resume": resume}
    check_outputs([*(log or []), pair, *input_files(config_file, config)], outputs)
    given = (log or [], pair, sweeps, priors, json_file, markdown, out, note or [])
    run_bench_flow(config, *given, resume, parse_seeds(seeds))


@bench.command("depth")
def bench_depth(
    frames: Annotated[
        int, typer.Option(min=0, help="A long run of the learner besides: so many frames.")
    ] = 0,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Stereo, student, learner, store and hot swap, on one thread."""
    from ssl_perception.commands.bench_depth import run_bench_depth

    config = load_config(config_file, settings)
    check_outputs(input_files(config_file, config), {"--json": json_file})
    run_bench_depth(config, json_file, out, frames)


@bench.command("simulator")
def bench_simulator(json_file: JsonFile = None) -> None:
    """The simulator's stereo pairs, lidar sweeps and streets (taskset -c 1: on one core)."""
    from ssl_perception_sim.experiments.speed import run_bench_simulator

    check_outputs([], {"--json": json_file})
    run_bench_simulator(json_file, out)
