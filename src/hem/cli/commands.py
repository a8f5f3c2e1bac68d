"""The commands. JAX takes half a second to import, so each command imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from hem.cli.exporting import export
from hem.cli.looking import RunFolder, evaluate, play, plot, report, watch
from hem.cli.many_runs import compare, suite, sweep
from hem.cli.paper import paper
from hem.cli.sharing import card, push
from hem.errors import UserError
from hem.system.signals import StoppedBySignalError

if TYPE_CHECKING:
    from hem.runs.run import Run
    from hem.runs.session import Session


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
    chosen = peek(arguments, "--algo") is None and "algo" not in given
    with api.new_run(args.experiment, args.run_dir) as run:
        if chosen and not args.quiet:
            _say_algorithm(run)
        _finish(run, args.quiet, args.session)


def _say_algorithm(run: Run) -> None:
    """Say which algorithm was chosen for someone who named none, and why."""
    from hem import registry
    from hem.runs import cluster

    env, algo = run.experiment.env, run.experiment.algo
    if cluster.follows(run.experiment.run.workers):
        return
    if env in registry.entries("environment"):
        print(f"Algorithm: {algo}, which suits {env}; choose another with --algo.")
    else:
        checked = f"hem check {shlex.quote(env)}"
        print(f"Algorithm: {algo}, the default; `{checked}` recommends one.")


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
    from hem.runs.manifest import CONFIG, read_manifest

    settings = read_manifest(run / CONFIG)
    try:
        print(as_toml(settings), end="")
    except UserError as error:
        raise UserError(f"{run / CONFIG} is not usable: {error}") from error


def resume(
    run: RunFolder,
    env_steps: int | None = None,
    workers: int | None = None,
    until: float | None = None,
    max_time: float | None = None,
    track: str | None = None,
    quiet: bool = False,
    trust: bool = False,
    updates: int | None = None,
) -> None:
    """Resume a run exactly from its latest checkpoint.

    Args:
        run: Run folder.
        env_steps: New total budget of environment steps; by default unchanged.
        workers: New number of workers; by default unchanged.
        until: Stop when two evaluations in a row reach this success rate.
        max_time: Stop after this many seconds, once the iteration in progress is complete.
        track: Send metrics and results to a tracker: wandb or mlflow.
        quiet: Do not show progress.
        trust: Allow environment code that the run names, such as a file.
        updates: New total budget of updates, of a run that learns offline.
    """
    from hem import api
    from hem.cli.flags import tracking
    from hem.runs.session import Session

    session = Session(until, max_time, tracking(track))
    with api.held_run(run, env_steps, workers, trust, updates=updates) as mine:
        _finish(mine, quiet, session)


def _finish(run: Run, quiet: bool, session: Session) -> None:
    from hem.runs import cluster, launch

    follows = cluster.follows(run.experiment.run.workers)
    try:
        launch.train(run, quiet, session)
    except StoppedBySignalError:
        if not follows:
            print(f"Saved. Continue with: {run.advised('resume')}")
        raise
    if not follows:
        print(f"Done: {run.folder}. Evaluate it with: {run.advised('evaluate')}")


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
    "export": export,
    "report": report,
    "watch": watch,
    "card": card,
    "push": push,
    "suite": suite,
    "sweep": sweep,
    "compare": compare,
    "paper": paper,
    "theory": theory,
    "list": list_,
    "completion": completion,
}
