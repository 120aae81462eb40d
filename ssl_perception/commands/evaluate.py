"""``ssl-perception evaluate``: methods against ground truth."""

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

evaluate = typer.Typer(no_args_is_help=True, help="Score methods on a dataset with ground truth.")


@evaluate.command("flow")
def evaluate_flow(
    path: Annotated[Path, typer.Argument(help="Folder or file of the dataset.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="argoverse2, kitti-scene-flow(-t), kitti-tracking, kitti-raw, pair or sim."
        ),
    ],
    method: Annotated[
        list[str] | None, typer.Option(help="Solver, or solver:preset; give several times.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the solvers that draw numbers.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many pairs (sweeps).")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Table to write.")] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Page to write.")] = None,
    resume: Resume = None,
) -> None:
    """Scene flow against ground truth, methods side by side, zero flow always among them.

    Raw sweeps with labelled boxes (kitti-tracking): which movers are found, and how fast they are.
    Without (kitti-raw): each detected mover is checked on a third sweep.
    """
    check_inputs(path)
    config = load_config(config_file, settings)
    from ssl_perception.commands.evaluate_flow import run_evaluate_flow

    outputs = {"--json": json_file, "--csv": csv_file, "--html": html_file, "--resume": resume}
    check_outputs([path, *input_files(config_file, config)], outputs)
    run_evaluate_flow(
        dataset,
        path,
        method or [config.flow.method],
        seed,
        config,
        json_file,
        out,
        limit,
        csv_file,
        html_file,
        resume,
    )


@evaluate.command("accumulation")
def evaluate_accumulation(
    path: Annotated[Path, typer.Argument(help="Bag or folder of raw sweeps.")],
    picture: Annotated[Path | None, typer.Option(help="PNG picture to write.")] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """The last sweeps as one dense cloud: how sharp moving things are in it, and a picture."""
    check_inputs(path)
    config = load_config(config_file, settings)
    from ssl_perception.commands.evaluate_accumulation import run_evaluate_accumulation

    outputs = {"--picture": picture, "--json": json_file}
    check_outputs([path, *input_files(config_file, config)], outputs)
    run_evaluate_accumulation(path, config, picture, json_file, out)


@evaluate.command("depth")
def evaluate_depth(
    path: Annotated[Path, typer.Argument(help="Folder of the dataset.")],
    dataset: Annotated[str, typer.Option(help="kitti-stereo, kitti-lidar, middlebury or sim.")],
    student: Annotated[
        Path | None, typer.Option(help="Model store of a student to score as well.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Depth against ground truth: stereo, a student, and the best constant."""
    check_inputs(path, student)
    config = load_config(config_file, settings)
    from ssl_perception.commands.evaluate_depth import run_evaluate_depth

    check_outputs([path, student, *input_files(config_file, config)], {"--json": json_file})
    run_evaluate_depth(dataset, path, config, json_file, out, student)


@evaluate.command("streets")
def evaluate_streets(
    seeds: Seeds = "5",
    kind: Annotated[
        list[str] | None,
        typer.Option(help="any, coaches, hills, walkers or crowd; several times; all if none."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="Solver, or solver:preset; give several times.")
    ] = None,
    xyz: Annotated[bool, typer.Option("--xyz", help="Leave the time of each point out.")] = False,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
    resume: Resume = None,
) -> None:
    """Scene flow on simulated streets, by kind of street and by class. One street per seed."""
    from ssl_perception_sim.experiments.street_scores import KINDS, run_evaluate_streets

    config = load_config(config_file, settings)
    outputs = {"--json": json_file, "--resume": resume}
    check_outputs(input_files(config_file, config), outputs)
    methods, kinds = method or [config.flow.method], kind or list(KINDS)
    run_evaluate_streets(parse_seeds(seeds), kinds, methods, xyz, config, json_file, resume, out)


@evaluate.command("mountings")
def evaluate_mountings(
    seeds: Seeds = "3",
    mounting: Annotated[
        list[str] | None, typer.Option(help="A row of the table; several times; all if none.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.6, help="Of each street.")] = 1.6,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Lidars low and high, tilted, upside down, of few beams and many, on simulated streets."""
    from ssl_perception_sim.experiments.mountings import MOUNTINGS, run_evaluate_mountings

    config = load_config(config_file, settings)
    check_outputs(input_files(config_file, config), {"--json": json_file})
    names = mounting or list(MOUNTINGS)
    run_evaluate_mountings(parse_seeds(seeds), names, seconds, config, json_file, out)


@evaluate.command("realism")
def evaluate_realism(
    path: Annotated[Path, typer.Argument(help="Folder of the real recordings.")],
    seeds: Seeds = "40..44",
    json_file: JsonFile = None,
) -> None:
    """Simulated streets and real recordings by the same figures. One street per seed."""
    from ssl_perception_sim.experiments.realism import run_evaluate_realism

    check_outputs([path], {"--json": json_file})
    run_evaluate_realism(path, parse_seeds(seeds), json_file, out)
