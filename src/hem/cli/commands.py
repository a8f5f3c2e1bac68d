"""The commands. JAX costs half a second to import, so each one imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hem.errors import UserError
from hem.system.signals import StoppedBySignalError

if TYPE_CHECKING:
    from hem.runs.run import Run

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]


def train(arguments: list[str]) -> None:
    """Train a policy in a new run folder. The flags depend on the environment."""
    from hem import api
    from hem.cli.flags import parse_train

    if not _names_environment("train", arguments):
        return
    order = parse_train(arguments[0], arguments[1:])
    with api.new_run(order.experiment, order.run_dir) as run:
        _finish(run, order.quiet)


def check(arguments: list[str]) -> None:
    """Examine an environment. The flags depend on it."""
    from hem.cli.check import examine as checker
    from hem.cli.flags import parse_check

    if not _names_environment("check", arguments):
        return
    order = parse_check(arguments[0], arguments[1:])
    findings = checker.examine(order.env, order.config, order.episodes, order.quiet)
    print(checker.text(findings))
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


def _names_environment(command: str, arguments: list[str]) -> bool:
    """Whether an environment comes first; says what is there where help is asked for.

    Raises:
        UserError: there is none.
    """
    from hem import registry

    known = ", ".join(registry.entries("environment"))
    any_other = "a file's class as my_env.py:MyEnv, or an id of Gymnasium"
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        raise UserError(
            f"which environment? `hem {command} ENV`, with ENV one of {known}, {any_other}"
        )
    if arguments[0] not in ("-h", "--help"):
        return True
    print(f"usage: hem {command} ENV [--flags]\n\nENV is one of {known}, {any_other}.")
    print(f"`hem {command} ENV --help` shows every setting that applies there.")
    return False


def resume(
    run: RunFolder, env_steps: int | None = None, quiet: bool = False, trust: bool = False
) -> None:
    """Go on with a run, exactly where its latest checkpoint is.

    Args:
        run: The run's folder.
        env_steps: A new budget of environment steps in all; by default the one it has.
        quiet: Show no progress.
        trust: Run the code of an environment that the run names, such as a file.
    """
    from hem.runs.run import Run

    with Run.hold(run, trust) as mine:
        mine.extend(env_steps)
        _finish(mine, quiet)


def _finish(run: Run, quiet: bool) -> None:
    from hem.runs import trainer

    try:
        trainer.train(run, quiet)
    except StoppedBySignalError:
        print(f"Saved. Go on with: hem resume {run.folder}{_trust(run)}")
        raise
    print(f"Done: {run.folder}. Measure it with: hem evaluate {run.folder}{_trust(run)}")


def _trust(run: Run) -> str:
    """The flag that a command on this run needs, if its environment is somebody's code."""
    return " --trust" if run.code is not None else ""


def evaluate(
    run: RunFolder,
    episodes: int = 100,
    seed: int = 0,
    json: bool = False,
    trust: bool = False,
) -> None:
    """Success of a run's policy: greedy, on fresh episodes that training never saw.

    Args:
        run: The run's folder.
        episodes: How many.
        seed: Of the episodes; equal seeds give equal ones.
        json: Print one JSON object.
        trust: Run the code of an environment that the run names, such as a file.
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
    """A video of a run's policy.

    Args:
        run: The run's folder.
        out: The file to write, .gif or .mp4.
        episodes: How many, one after the other; 5 if no number is given.
        grid: Many side by side: rows x columns such as 3x4, or a number such as 12.
        seed: Of the first episode; the others follow it.
        fps: Frames a second; a frame is an environment step.
        trust: Run the code of an environment that the run names, such as a file.
    """
    from hem.runs import playback as player
    from hem.viz import video
    from hem.viz.grid import layout
    from hem.viz.progress_bar import Bar

    if grid is not None and episodes is not None:
        raise UserError("give --episodes or --grid, not both: a grid has an episode in each tile")
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
    """Learning curves against environment steps and against seconds.

    Args:
        runs: Run folders, or folders of run folders. Runs that differ in their seed only become
            one curve with an interval.
        out: The image to write, .png, .pdf or .svg.
    """
    from hem.viz import plot as plotter

    plotter.curves(list(runs), out)
    print(f"Wrote {out}")


def theory(out: Path = Path("theory"), seed: int = 0) -> None:
    """The paper's theorems: by formula, by enumeration and by Monte Carlo, with a figure each.

    Args:
        out: The folder to write the figures into.
        seed: Of the Monte Carlo.
    """
    from hem.system.atomic_io import named_errors
    from hem.theory import figures, statements
    from hem.viz.progress_bar import Bar

    if seed < 0:
        raise UserError(f"seed must not be negative, as {seed} is")
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
    """Environments, algorithms and hindsight strategies, one line each."""
    from hem import registry

    for kind, title in (
        ("environment", "environments"),
        ("algorithm", "algorithms"),
        ("strategy", "hindsight strategies"),
    ):
        print(f"{title}:")
        for entry in registry.entries(kind).values():
            print(f"  {entry.name:<22}{entry.summary}")


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "check": check,
    "resume": resume,
    "evaluate": evaluate,
    "play": play,
    "plot": plot,
    "theory": theory,
    "list": list_,
}
