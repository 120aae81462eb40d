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
from typing import Annotated, Any

import typer
from rich.console import Console

from ssl_perception import config as configuration
from ssl_perception.commands.seeds import SEEDS_HELP, parse_seeds
from ssl_perception.errors import InputError
from ssl_perception.io.output_paths import check_inputs, check_outputs
from ssl_perception.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Perception that teaches itself while the robot works: lidar scene flow and depth.",
)
evaluate = typer.Typer(no_args_is_help=True, help="Score methods on a dataset with ground truth.")
app.add_typer(evaluate, name="evaluate")
export = typer.Typer(no_args_is_help=True, help="Models as files for other runtimes.")
app.add_typer(export, name="export")
train = typer.Typer(no_args_is_help=True, help="Networks that learn before the robot starts.")
app.add_typer(train, name="train")
experiment = typer.Typer(no_args_is_help=True, help="Closed-loop experiments in the simulator.")
app.add_typer(experiment, name="experiment")
bench = typer.Typer(no_args_is_help=True, help="How long things take on this machine.")
app.add_typer(bench, name="bench")

out = Console()
err = Console(stderr=True, highlight=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="YAML settings, or a preset's name; see docs/settings.md."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting on top, e.g. flow.method=nsfp."),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write every figure printed to this file.")
]
Resume = Annotated[
    Path | None, typer.Option(help="Keeps each result; a killed run goes on from it.")
]
Seeds = Annotated[str, typer.Option(help=SEEDS_HELP)]


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


def _config(path: Path | None, settings: list[str] | None) -> configuration.Config:
    if path is None:
        config = configuration.Config()
    elif str(path) in configuration.presets() and not path.exists():
        config = configuration.preset(str(path))
    else:
        config = configuration.load(path)
    return configuration.override(config, settings) if settings else config


def _files(config_file: Path | None, config: configuration.Config) -> list[Path | None]:
    """The settings' file and the files that settings name: inputs, like what a command reads."""
    weights = config.flow.scoop.weights
    return [config_file, Path(weights) if weights else None]


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

    config = _config(config_file, settings)
    outputs = {"--out": folder, **files_written(folder), "--json": json_file}
    check_outputs(_files(config_file, config), outputs)
    run_demo(folder, seconds, seed, config, ros, json_file, out, drone_seconds)


@app.command()
def replay(
    log: Annotated[Path, typer.Argument(help="Bag (.mcap, .db3, folder) or sequence folder.")],
    output: Annotated[Path, typer.Option("--out", help="Bag to write.")],
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
    json_file: JsonFile = None,
) -> None:
    """Run the pipeline over a recorded log."""
    check_inputs(log)
    from ssl_perception.commands.replay import run_replay, viewer_file

    if viewer not in (None, "rerun"):
        raise InputError(f"--viewer {viewer}: only 'rerun' is known")
    config = _config(config_file, settings)
    outputs = {"--out": output, "--report": report, "--json": json_file}
    if viewer:
        outputs["--viewer"] = viewer_file(output)
    inputs = [log, *_files(config_file, config)]
    if learn:
        outputs["--store"] = store
    else:
        inputs.append(store)
    check_outputs(inputs, outputs)
    run_replay(log, output, config, report, viewer, skip_bad, json_file, out, learn, store, seed)


@evaluate.command("flow")
def evaluate_flow(
    path: Annotated[Path, typer.Argument(help="Folder or file of the dataset.")],
    dataset: Annotated[
        str, typer.Option(help="argoverse2, kitti-scene-flow, kitti-raw, pair or sim.")
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

    Raw sweeps (kitti-raw) have no truth: there each detected mover is checked on a third sweep.
    """
    check_inputs(path)
    from ssl_perception.commands.evaluate_flow import run_evaluate_flow

    config = _config(config_file, settings)
    outputs = {"--json": json_file, "--csv": csv_file, "--html": html_file, "--resume": resume}
    check_outputs([path, *_files(config_file, config)], outputs)
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
    from ssl_perception.commands.evaluate_accumulation import run_evaluate_accumulation

    config = _config(config_file, settings)
    outputs = {"--picture": picture, "--json": json_file}
    check_outputs([path, *_files(config_file, config)], outputs)
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
    from ssl_perception.commands.evaluate_depth import run_evaluate_depth

    config = _config(config_file, settings)
    check_outputs([path, student, *_files(config_file, config)], {"--json": json_file})
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

    config = _config(config_file, settings)
    outputs = {"--json": json_file, "--resume": resume}
    check_outputs(_files(config_file, config), outputs)
    methods, kinds = method or [config.flow.method], kind or list(KINDS)
    run_evaluate_streets(parse_seeds(seeds), kinds, methods, xyz, config, json_file, resume, out)


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


@app.command()
def simulate(
    kind: Annotated[str, typer.Argument(help="room, street, or a world file (.yaml).")],
    output: Annotated[Path, typer.Option("--out", help="Bag to write.")],
    seconds: Annotated[float, typer.Option(min=0.2, max=3600.0, help="Length of the log.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Write a simulated sensor log with exact ground truth."""
    from ssl_perception_sim.recording.record import run_simulate

    world = Path(kind) if kind.endswith((".yaml", ".yml")) else None
    check_outputs([world], {"--out": output, "--json": json_file})
    run_simulate(kind, output, seconds, seed, json_file, out)


@export.command("onnx")
def export_onnx(
    store: Annotated[Path, typer.Argument(help="Model store that a learner wrote.")],
    output: Annotated[Path, typer.Option("--out", help="ONNX file to write.")],
    int8: Annotated[
        Path | None, typer.Option(help="Quantised ONNX file to write as well, for small boards.")
    ] = None,
) -> None:
    """The newest student of a model store as an ONNX file."""
    check_inputs(store)
    from ssl_perception.commands.export_student import run_export_onnx

    check_outputs([store], {"--out": output, "--int8": int8})
    run_export_onnx(store, output, int8, out)


@export.command("scoop")
def export_scoop(
    output: Annotated[Path, typer.Option("--out", help="ONNX file to write.")],
    weights: Annotated[
        Path | None, typer.Argument(help="safetensors file; the shipped one if none.")
    ] = None,
) -> None:
    """SCOOP's feature network as an ONNX file."""
    from ssl_perception.commands.export_scoop import run_export_scoop
    from ssl_perception.runtime.shipped import shipped

    weights = weights or shipped("scoop.safetensors")
    check_outputs([weights], {"--out": output})
    run_export_scoop(weights, output, out)


@export.command("store")
def export_store(
    store: Annotated[Path, typer.Argument(help="Model store that a learner wrote.")],
    output: Annotated[Path, typer.Option("--out", help="Folder to make.")],
) -> None:
    """The newest student of a model store and its trust, without what only learning needs."""
    from ssl_perception.commands.export_store import run_export_store

    check_outputs([store], {"--out": output})
    run_export_store(store, output, out)


@train.command("scoop")
def train_scoop(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run; resumes there.")],
    dataset: Annotated[
        str | None, typer.Option(help="As for evaluate flow; simulated streets if none.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="Folder of the dataset.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="At most so many.")] = 6000,
    points: Annotated[int, typer.Option(min=64, help="Of each cloud in a crop.")] = 1024,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """SCOOP's correspondence, without labels."""
    check_inputs(path)
    from ssl_perception.commands.train_scoop import run_train_scoop

    check_outputs([path], {"--out": folder})
    run_train_scoop(folder, dataset, path, steps, points, seed, device, out)


@bench.command("flow")
def bench_flow(
    log: Annotated[
        list[Path] | None,
        typer.Option(help="Recording of raw sweeps, beside simulated ones; several times."),
    ] = None,
    pair: Annotated[Path | None, typer.Option(help="Labelled pair, as `evaluate flow`.")] = None,
    sweeps: Annotated[int, typer.Option(min=10, help="Sweeps per recording.")] = 100,
    priors: Annotated[
        bool, typer.Option("--priors", help="The published priors as well: minutes.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Page to write, whole: BENCHMARK.md.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option(help="Sentence for the page; several times.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """Scene flow: stages on raw sweeps, scaling, deadlines, and the priors beside it."""
    check_inputs(*(log or []), pair)
    from ssl_perception.commands.bench_flow import run_bench_flow

    config = _config(config_file, settings)
    outputs = {"--markdown": markdown, "--json": json_file}
    check_outputs([*(log or []), pair, *_files(config_file, config)], outputs)
    run_bench_flow(config, log or [], pair, sweeps, priors, json_file, markdown, out, note or [])


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

    config = _config(config_file, settings)
    check_outputs(_files(config_file, config), {"--json": json_file})
    run_bench_depth(config, json_file, out, frames)


@bench.command("simulator")
def bench_simulator(json_file: JsonFile = None) -> None:
    """The simulator's stereo pairs, lidar sweeps and streets (taskset -c 1: on one core)."""
    from ssl_perception_sim.experiments.speed import run_bench_simulator

    check_outputs([], {"--json": json_file})
    run_bench_simulator(json_file, out)


@experiment.command("flight")
def experiment_flight(
    seeds: Seeds = "5",
    minutes: Annotated[float, typer.Option(min=0.1, max=600.0, help="Of each flight.")] = 10.0,
    ros: Annotated[bool, typer.Option("--ros", help="Through the ROS 2 nodes.")] = False,
    json_file: JsonFile = None,
    resume: Resume = None,
) -> None:
    """A drone flies through rooms on stereo: crashes, clearance, distance. One room per seed."""
    from ssl_perception_sim.experiments.fly import run_flight

    check_outputs([], {"--json": json_file, "--resume": resume})
    run_flight(parse_seeds(seeds), minutes, ros, json_file, resume, out)


@experiment.command("stereo-loss")
def experiment_stereo_loss(
    picture: Annotated[Path, typer.Option("--out", help="PNG picture to write.")],
    seed: Annotated[int, typer.Option(min=0, help="Of room and student.")] = 2,
    learn: Annotated[float, typer.Option(min=0.1, max=600.0, help="Minutes with stereo.")] = 6.0,
    alone: Annotated[
        float, typer.Option(min=0.05, max=600.0, help="Minutes after stereo is lost.")
    ] = 3.0,
    json_file: JsonFile = None,
) -> None:
    """One flight that loses stereo after learning from it: path, trust and depth as a picture."""
    from ssl_perception_sim.experiments.stereo_loss import run_stereo_loss

    check_outputs([], {"--out": picture, "--json": json_file})
    run_stereo_loss(seed, learn, alone, picture, json_file, out)


@experiment.command("forgetting")
def experiment_forgetting(
    seeds: Annotated[str, typer.Option(help=f"Rooms, in the order flown. {SEEDS_HELP}")] = "2,3",
    unseen: Annotated[int, typer.Option(min=0, help="Seed of a room that is never flown.")] = 4,
    minutes: Annotated[float, typer.Option(min=0.1, max=600.0, help="In each room.")] = 5.0,
    json_file: JsonFile = None,
) -> None:
    """Is a room forgotten in the next one? Memory for coverage against the newest frames only."""
    from ssl_perception_sim.experiments.forgetting import run_forgetting

    check_outputs([], {"--json": json_file})
    run_forgetting(parse_seeds(seeds), unseen, minutes, json_file, out)


@experiment.command("persistence")
def experiment_persistence(
    folder: Annotated[
        Path, typer.Option("--out", help="Folder of a JSON file per flight; resumes there.")
    ],
    scheme: Annotated[
        list[str] | None,
        typer.Option(help="stereo, cold_turkey, dagger, training_wheels or gated; several times."),
    ] = None,
    student: Annotated[
        list[str] | None, typer.Option(help="network or textons; several times.")
    ] = None,
    seeds: Seeds = "5",
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of a test.")] = 10.0,
    learn_minutes: Annotated[
        list[float] | None,
        typer.Option(min=0.1, help="Minutes of flight before stereo is lost; several times."),
    ] = None,
    memory: Annotated[str, typer.Option(help="coverage or recent: an ablation.")] = "coverage",
    settings: Settings = None,
    processes: Annotated[int, typer.Option(min=1, help="Flights at a time.")] = 2,
    report: Annotated[Path | None, typer.Option(help="HTML page with tables and curves.")] = None,
    csv_file: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="Table of all flights in --out, a row per test; beside it FILE_curves.csv, "
            "FILE_failures.csv and FILE_plans.json.",
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Stereo teaches the student, then fails: how well does the drone fly on? One room per seed.

    Takes hours; stop it at any time and start it again with the same --out.
    """
    from ssl_perception_sim.experiments.persistence import SCHEMES, Plan
    from ssl_perception_sim.experiments.persistence_report import run_persistence

    given = [f"learner.memory.policy={memory}", f"test_minutes={minutes}"]
    if learn_minutes:
        given.append(f"learn_minutes={learn_minutes}")
    plan = configuration.override(Plan(), [*given, *(settings or [])])
    run_persistence(
        scheme or list(SCHEMES),
        student or ["network", "textons"],
        parse_seeds(seeds),
        plan,
        folder,
        processes,
        json_file,
        csv_file,
        report,
        out,
    )


@app.command()
def doctor(json_file: JsonFile = None) -> None:
    """Say what this installation can do, and what it lacks."""
    from ssl_perception.commands.doctor import run_doctor

    run_doctor(json_file, out)


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of the console script."""
    try:
        app(arguments)
    except InputError as error:
        err.print(f"[bold red]error:[/] {_one_line(error)}", markup=True)
        sys.exit(2)


def _one_line(error: Exception) -> str:
    from rich.markup import escape

    return escape(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
