"""``ssl-perception``: the command line.

Each command is thin: it turns options into the library's types, calls one function, prints what
comes back, and writes every printed figure to ``--json`` when asked. Before that it makes sure that
no output would hurt an input (``io.output_paths``). Heavy imports wait until the command that needs
them runs, so that ``--help`` answers at once.

Exit codes: 0 done; 2 the input or an option can't be used (one line on stderr says which).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ssl_perception.commands.batch import batch, merge
from ssl_perception.commands.bench import bench
from ssl_perception.commands.evaluate import evaluate
from ssl_perception.commands.experiment import experiment
from ssl_perception.commands.export import export
from ssl_perception.commands.options import (
    ConfigFile,
    JsonFile,
    Settings,
    err,
    input_files,
    load_config,
    out,
)
from ssl_perception.commands.simulate import simulate
from ssl_perception.commands.train import train
from ssl_perception.errors import InputError
from ssl_perception.io.output_paths import check_inputs, check_outputs
from ssl_perception.runtime.extras import missing_extra
from ssl_perception.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Perception that teaches itself while the robot works: lidar scene flow and depth.",
)
app.add_typer(evaluate, name="evaluate")
app.add_typer(export, name="export")
app.add_typer(train, name="train")
app.add_typer(experiment, name="experiment")
app.add_typer(bench, name="bench")
app.command()(simulate)
app.command()(batch)
app.command()(merge)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ssl-perception {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for what it makes.")] = Path(
        "demo_out"
    ),
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="Length of the street's log.")
    ] = 20.0,
    drone_seconds: Annotated[
        float, typer.Option(min=0.0, max=600.0, help="Length of the drone's flight; 0: none.")
    ] = 90.0,
    seed: Annotated[int, typer.Option(min=0, help="Which street.")] = 0,
    ros: Annotated[
        bool, typer.Option("--ros", help="The street through the ROS 2 nodes; not the drone.")
    ] = False,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """A simulated street through the whole pipeline, against its truth; then a drone that loses
    stereo and flies on with a student. Settings are the street's."""
    from ssl_perception.commands.demo import files_written, run_demo

    config = load_config(config_file, settings)
    outputs = {"--out": folder, **files_written(folder), "--json": json_file}
    check_outputs(input_files(config_file, config), outputs)
    run_demo(folder, seconds, seed, config, ros, json_file, out, drone_seconds)


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="Bag (.mcap, .db3, folder) or sequence folder.")],
    output: Annotated[
        Path | None, typer.Option("--out", help="Bag to write; none: results are shown only.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    report: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    viewer: Annotated[
        str | None, typer.Option(help="Watch it live: 'rerun' (needs the viewer extra).")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on past bad messages, counting them.")
    ] = False,
    learn: Annotated[
        bool, typer.Option("--learn", help="Stereo teaches the student on the way.")
    ] = False,
    store: Annotated[
        Path | None,
        typer.Option(help="Model store of the student; made, and written to, only with --learn."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a fresh student.")] = 0,
    trajectory: Annotated[
        Path | None,
        typer.Option(help="Path of the lidar to write: TUM, or KITTI if called *.kitti."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run the pipeline over a recorded log."""
    check_inputs(log)
    if viewer not in (None, "rerun"):
        raise InputError(f"--viewer {viewer}: only 'rerun' is known")
    config = load_config(config_file, settings)
    from ssl_perception.commands.replay import run_replay, viewer_file

    outputs = {"--out": output, "--report": report, "--json": json_file}
    outputs["--trajectory"] = trajectory
    if viewer:
        outputs["--viewer"] = viewer_file(log, output)
    inputs = [log, *input_files(config_file, config)]
    if learn:
        outputs["--store"] = store
    else:
        inputs.append(store)
    check_outputs(inputs, outputs)
    learning = (learn, store, seed)
    kept = (report, viewer, skip_bad, json_file, out)
    run_replay(log, output, config, *kept, *learning, trajectory)


@app.command()
def view(
    file: Annotated[Path, typer.Argument(help="Results of replay, a log, or a PCD or PLY file.")],
    sweep: Annotated[int, typer.Option(min=0, help="Which sweep, from 0.")] = 1,
    save: Annotated[
        Path | None, typer.Option(help="PCD file to write in place of opening a window.")
    ] = None,
) -> None:
    """Look at a sweep in Open3D: static points grey, moving ones by their speed."""
    check_inputs(file)
    check_outputs([file], {"--save": save})
    from ssl_perception.commands.view import run_view

    run_view(file, sweep, save, out)


@app.command("warm-up")
def warm_up(
    config_file: ConfigFile = None, settings: Settings = None, json_file: JsonFile = None
) -> None:
    """Compile the kernels now, so that neither the first sweep nor a node's first start waits."""
    from ssl_perception.commands.warm_up import run_warm_up

    config = load_config(config_file, settings)
    check_outputs(input_files(config_file, config), {"--json": json_file})
    run_warm_up(config, json_file, out)


@app.command()
def doctor(json_file: JsonFile = None) -> None:
    """Say what this installation can do, and what it lacks."""
    from ssl_perception.commands.doctor import run_doctor

    run_doctor(json_file, out)


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    try:
        app(arguments)
    except ModuleNotFoundError as error:
        refusal = missing_extra(error, "this command")
        if refusal is error:
            raise
        _refuse(refusal)
    except InputError as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    """Print one line and end."""
    err.print(f"[bold red]error:[/] {_one_line(error)}", markup=True)
    sys.exit(2)


def _one_line(error: Exception) -> str:
    from rich.markup import escape

    return escape(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
