"""``ssl-perception experiment``: closed loops in the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ssl_perception import config as configuration
from ssl_perception.commands.options import (
    JsonFile,
    Resume,
    Seeds,
    Settings,
    out,
)
from ssl_perception.commands.seeds import SEEDS_HELP, parse_seeds
from ssl_perception.io.output_paths import check_outputs

experiment = typer.Typer(no_args_is_help=True, help="Closed-loop experiments in the simulator.")


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


@experiment.command("new-room")
def experiment_new_room(
    seeds: Annotated[str, typer.Option(help=f"Rooms that are learnt. {SEEDS_HELP}")] = "4",
    new_rooms: Annotated[int, typer.Option(min=0, help="Never seen, after each of them.")] = 5,
    learn: Annotated[float, typer.Option(min=0.1, max=600.0, help="Minutes with stereo.")] = 5.0,
    minutes: Annotated[float, typer.Option(min=0.1, max=600.0, help="After stereo fails.")] = 3.0,
    stereo: Annotated[
        float, typer.Option(min=0.0, help="Seconds of stereo in a second try of each; 0: none.")
    ] = 20.0,
    settings: Settings = None,
    processes: Annotated[int, typer.Option(min=1, help="Flights at a time.")] = 2,
    json_file: JsonFile = None,
) -> None:
    """A trusted student is set down where it has never been, with stereo dead."""
    from ssl_perception_sim.experiments.new_room import run_new_room

    check_outputs([], {"--json": json_file})
    homes = parse_seeds(seeds)
    run_new_room(
        homes, new_rooms, learn, minutes, stereo, settings or [], processes, json_file, out
    )


@experiment.command("prior")
def experiment_prior(
    seeds: Annotated[str, typer.Option(help=f"Rooms. {SEEDS_HELP}")] = "30..36",
    poses: Annotated[int, typer.Option(min=10, help="Random ones, in each room.")] = 80,
    minutes: Annotated[
        list[float] | None,
        typer.Option(min=0.0, help="Of flight on stereo before a score; several times. 0 if none."),
    ] = None,
    settings: Settings = None,
    processes: Annotated[int, typer.Option(min=1, help="Rooms at a time.")] = 1,
    json_file: JsonFile = None,
) -> None:
    """What a fresh student sees in rooms that it has never seen: before it learns, and after."""
    from ssl_perception_sim.experiments.prior import run_prior

    check_outputs([], {"--json": json_file})
    rooms = parse_seeds(seeds)
    run_prior(rooms, poses, minutes or [0.0], settings or [], processes, json_file, out)


@experiment.command("faults")
def experiment_faults(
    seeds: Annotated[str, typer.Option(help=f"Rooms. {SEEDS_HELP}")] = "2",
    learn: Annotated[float, typer.Option(min=0.1, max=600.0, help="Minutes before.")] = 4.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="One of the faults; several times. All, if none.")
    ] = None,
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """The stereo camera breaks while a learning drone turns: what is noticed, what is learnt."""
    from ssl_perception.errors import InputError
    from ssl_perception_sim.experiments.stereo_faults import FAULTS, run_faults

    check_outputs([], {"--json": json_file})
    unknown = set(fault or []) - set(FAULTS)
    if unknown:
        raise InputError(f"--fault {unknown.pop()!r} is none of {', '.join(FAULTS)}")
    run_faults(parse_seeds(seeds), learn, fault or FAULTS, settings or [], json_file, out)


@experiment.command("lidar-teacher")
def experiment_lidar_teacher(
    seeds: Seeds = "3",
    seconds: Annotated[float, typer.Option(min=1.0, max=600.0, help="In each street.")] = 5.0,
    lidar: Annotated[str, typer.Option(help="beams16, beams32, beams64, ...")] = "beams64",
    settings: Settings = None,
    json_file: JsonFile = None,
) -> None:
    """What a lidar teaches in streets, against the truth, with and without occlusion handling."""
    from ssl_perception_sim.experiments.lidar_teacher import run_lidar_teacher

    check_outputs([], {"--json": json_file})
    run_lidar_teacher(parse_seeds(seeds), seconds, lidar, settings or [], json_file, out)


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
