"""The commands. JAX takes half a second to import, so each command imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from hem.cli.many_runs import compare, suite, sweep
from hem.cli.paper import paper
from hem.errors import UserError
from hem.system.signals import StoppedBySignalError

if TYPE_CHECKING:
    from hem.runs.run import Run
    from hem.runs.session import Session

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]


def train(arguments: list[str]) -> None:
    """Train a policy in a new run folder. The flags depend on the environment."""
    from hem import api
    from hem.cli.config_file import read_config
    from hem.cli.flags import parse_train, peek

    file = peek(arguments, "--config")
    given = {} if file is None else read_config(Path(file))
    if "env" in given and arguments[0].startswith("-"):
        arguments = [given["env"], *arguments]
    if not _names_environment("train", arguments):
        return
    try:
        args = parse_train(arguments[0], arguments[1:], given)
    except UserError as error:
        if not given:
            raise
        raise UserError(f"{error} (with the settings of {file})") from error
    with api.new_run(args.experiment, args.run_dir) as run:
        _finish(run, args.quiet, args.session)


def check(arguments: list[str]) -> None:
    """Check an environment. The flags depend on it."""
    from hem.cli.check import examine as checker
    from hem.cli.flags import parse_check

    if not _names_environment("check", arguments):
        return
    args = parse_check(arguments[0], arguments[1:])
    findings = checker.examine(args.env, args.config, args.episodes, args.quiet)
    print(checker.text(findings))
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


def _names_environment(command: str, arguments: list[str]) -> bool:
    """Whether an environment comes first; prints help if that comes first instead.

    Raises:
        UserError: neither does.
    """
    from hem import registry

    known = ", ".join(registry.entries("environment"))
    any_other = "a class in a file such as my_env.py:MyEnv, or a Gymnasium ID"
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        raise UserError(
            f"no environment given: use `hem {command} ENV`, with ENV one of {known}, {any_other}"
        )
    if arguments[0] not in ("-h", "--help"):
        return True
    print(f"usage: hem {command} ENV [--flags]\n\nENV is one of {known}, {any_other}.")
    print(f"`hem {command} ENV --help` shows every setting that applies to it.")
    return False


def config(run: RunFolder) -> None:
    """Print a run's settings as a configuration file, for `hem train --config FILE`.

    Args:
        run: Run folder.
    """
    from hem.cli.config_file import as_toml
    from hem.runs.manifest import read_manifest

    print(as_toml(read_manifest(run / "config.json")), end="")


def resume(
    run: RunFolder,
    env_steps: int | None = None,
    workers: int | None = None,
    until: float | None = None,
    max_time: float | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> None:
    """Resume a run exactly from its latest checkpoint.

    Args:
        run: Run folder.
        env_steps: New total budget of environment steps; by default unchanged.
        workers: New number of workers; by default unchanged.
        until: Stop when two evaluations in a row reach this success rate.
        max_time: Stop after this many seconds, once the iteration in progress is complete.
        quiet: Do not show progress.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem import api
    from hem.runs.session import Session

    session = Session(until, max_time)
    with api.held_run(run, env_steps, workers, trust) as mine:
        _finish(mine, quiet, session)


def _finish(run: Run, quiet: bool, session: Session) -> None:
    from hem.runs import cluster, launch

    follows = cluster.follows(run.experiment.run.workers)
    try:
        launch.train(run, quiet, session)
    except StoppedBySignalError:
        if not follows:
            print(f"Saved. Continue with: hem resume {run.folder}{_trust(run)}")
        raise
    if not follows:
        print(f"Done: {run.folder}. Evaluate it with: hem evaluate {run.folder}{_trust(run)}")


def _trust(run: Run) -> str:
    """The flag that a command on this run needs if its environment is external code."""
    return " --trust" if run.code is not None else ""


def evaluate(
    run: RunFolder,
    episodes: int = 100,
    seed: int = 0,
    json: bool = False,
    trust: bool = False,
) -> None:
    """Evaluate a run's greedy policy on episodes never seen in training.

    Args:
        run: Run folder.
        episodes: Number of episodes.
        seed: Seed of the episodes; equal seeds give equal episodes.
        json: Print one JSON object.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem import api

    report = api.evaluate(run, episodes, seed, trust)
    if json:
        print(jsons.dumps(report))
        return
    low, high = report["ci95"]
    print(
        f"success at any step  {report['success_rate']:.3f}, 95% interval {low:.3f} to {high:.3f}"
    )
    print(f"success at the end   {report['final_success_rate']:.3f}")
    print(f"steps to success     {report['ep_len_mean']:.1f} on average")
    print(f"episodes             {report['episodes']}")


def play(
    run: RunFolder,
    out: Path = Path("play.gif"),
    episodes: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    fps: int = 10,
    trust: bool = False,
) -> None:
    """Record a video of a run's policy.

    Args:
        run: Run folder.
        out: Output file, .gif or .mp4.
        episodes: Number of episodes, one after another; 5 by default.
        grid: Episodes side by side: rows x columns such as 3x4, or a number such as 12.
        seed: Seed of the first episode; the others count up from it.
        fps: Frames per second; one frame is one environment step.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem.runs import playback as player
    from hem.viz import video
    from hem.viz.grid import layout
    from hem.viz.progress_bar import Bar

    if grid is not None and episodes is not None:
        raise UserError("use --episodes or --grid, not both: a grid shows one episode per tile")
    with Bar(f"Drawing {out.name}") as bar:
        if grid is None:
            count = 5 if episodes is None else episodes
            frames = player.frames(run, count, seed, trust, bar)
        else:
            frames = player.side_by_side(run, layout(grid), seed, trust, bar)
        video.write(out, frames, fps)
    print(f"Wrote {out}")


def plot(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN ...")],
    out: Path = Path("curves.png"),
) -> None:
    """Plot learning curves against environment steps and seconds.

    Args:
        runs: Run folders, or folders of run folders.
            Runs that differ only in their seed become one curve with an interval.
        out: Output image, .png, .pdf or .svg.
    """
    from hem.viz import plot as plotter

    plotter.curves(list(runs), out)
    print(f"Wrote {out}")


def theory(out: Path = Path("theory"), seed: int = 0) -> None:
    """Compute the paper's theorems by formula, enumeration and Monte Carlo, with a figure each.

    Args:
        out: Output folder for the figures.
        seed: Seed of the Monte Carlo.
    """
    from hem.paper.theory import figures, statements
    from hem.system.atomic_io import named_errors
    from hem.viz.progress_bar import Bar

    if seed < 0:
        raise UserError(f"seed must be at least 0, not {seed}")
    with named_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    found = list(statements.statements(seed))
    print(statements.text(found))
    with Bar("Drawing") as bar:
        for count, _ in enumerate(figures.draw(out, seed), start=1):
            bar(count / len(figures.PICTURES))
    print(f"Wrote {len(figures.PICTURES)} figures into {out}")
    if not all(statement.holds for statement in found):
        sys.exit(1)


def list_() -> None:
    """List environments, algorithms and hindsight strategies, one per line."""
    from hem import registry

    for kind, title in (
        ("environment", "environments"),
        ("algorithm", "algorithms"),
        ("strategy", "hindsight strategies"),
    ):
        print(f"{title}:")
        for entry in registry.entries(kind).values():
            print(f"  {entry.name:<22}{entry.summary}")


def completion(shell: Positional[Literal["bash", "zsh"]]) -> None:
    """Print a script that completes commands, environments and flags in a shell.

    Args:
        shell: The shell.
    """
    from hem.cli.completion import print_script

    print_script(shell, COMMANDS)


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "check": check,
    "config": config,
    "resume": resume,
    "evaluate": evaluate,
    "play": play,
    "plot": plot,
    "suite": suite,
    "sweep": sweep,
    "compare": compare,
    "paper": paper,
    "theory": theory,
    "list": list_,
    "completion": completion,
}
