"""``ssl-perception``: the command line.

Each command is thin: it turns options into the library's types, calls one function, prints what
comes back, and writes every printed figure to ``--json`` when asked. Before that it makes sure that
no output would hurt an input (``io.output_paths``). Heavy imports wait until the command that needs
them runs, so that ``--help`` answers at once.

Exit codes: 0 done; 1 ``store check`` found damage, or ``doctor`` a fault; 2 the input or an option
can't be used (one line on stderr says which); 70 a bug (one line; ``--debug`` shows where).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.text import Text

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
from ssl_perception.commands.store import store
from ssl_perception.commands.train import train
from ssl_perception.errors import InputError
from ssl_perception.io.output_paths import check_inputs, check_outputs, replace_anything
from ssl_perception.runtime.console import printable
from ssl_perception.runtime.extras import missing_extra
from ssl_perception.version import __version__

DEBUG = "--debug"  # these two anywhere in the command
FORCE = "--force"
FAULT = 70  # EX_SOFTWARE of sysexits.h
MAX_LINE = 1000  # characters; a name can have thousands

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
app.add_typer(store, name="store")
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
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show where in the code an error came up.")
    ] = False,
    force: Annotated[
        bool, typer.Option(FORCE, help="Replace files of another kind than what is written.")
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
    student: Annotated[
        Path | None,
        typer.Option(
            "--store", help="Model store of the student; made, and written to, only with --learn."
        ),
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
        outputs["--store"] = student
    else:
        inputs.append(student)
    check_outputs(inputs, outputs)
    learning = (learn, student, seed)
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
def doctor(
    log: Annotated[
        Path | None, typer.Argument(help="Log whose sensors are checked; none: the installation.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1.0, max=600.0, help="How much of the log's beginning.")
    ] = 5.0,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Say what this installation can do, and what it lacks; or, of a log, what is wrong with its
    sensors (then the exit code is 1): rates, stamps, frames, mounting, calibration."""
    from ssl_perception.commands.doctor import run_doctor, run_preflight

    if log is None:
        check_outputs([], {"--json": json_file})
        run_doctor(json_file, out)
        return
    check_inputs(log)
    config = load_config(config_file, settings)
    check_outputs([log, *input_files(config_file, config)], {"--json": json_file})
    run_preflight(log, config, seconds, json_file, out)


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = DEBUG in words
    if FORCE in words:
        replace_anything()
    words = [word for word in words if word not in (DEBUG, FORCE)]
    try:
        with _orderly_end():
            app(words)
    except InputError as error:
        _fail(str(error), 2)
    except OSError as error:  # a name too long, a disk that is full, no permission
        if debug:
            raise
        name = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        _fail(f"{name}{error.strerror or error}", 2)
    except MemoryError:
        if debug:
            raise
        _fail("out of memory", 2)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ModuleNotFoundError):
            refusal = missing_extra(error, "this command")
            if refusal is not error:
                _fail(str(refusal), 2)
        _fail(
            f"unexpected {type(error).__name__}: {error}. This is a bug of ssl-perception "
            f"{__version__}; please report it with what the command says with {DEBUG}",
            FAULT,
        )


@contextmanager
def _orderly_end() -> Iterator[None]:
    """SIGTERM ends the command like an error: what is half written is removed on the way out."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _fail(message: str, code: int) -> None:
    line = printable(" ".join(message.split()))
    if len(line) > MAX_LINE:
        line = f"{line[: MAX_LINE // 2]} ... {line[-MAX_LINE // 2 :]}"
    err.print(Text.assemble(("error:", "bold red"), " ", line))
    sys.exit(code)


if __name__ == "__main__":
    main()
