"""The command line. JAX costs half a second to import, so each command imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import json as jsons
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from hem.errors import UserError

if TYPE_CHECKING:
    from hem.run import Run

USAGE = """\
usage: hem COMMAND ...

Goal-conditioned reinforcement learning from yes-or-no rewards, by hindsight.

  hem train ENV      train a policy; `hem train ENV --help` shows every setting with its default
  hem resume RUN     go on with a run, exactly where it was
  hem evaluate RUN   success of a run's policy on fresh episodes, with a 95% interval
  hem play RUN       a video of a run's policy
  hem plot RUN ...   learning curves, with intervals over seeds
  hem list           environments, algorithms and hindsight strategies

A run is a folder, as given by --run-dir. Begin with `hem train FlipBit`.
"""


RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]


class StoppedBySignalError(Exception):
    """Training was asked to stop and has saved everything; carries the signal's number."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with 2 and one line where the user has something to mend."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(*(given or ["--help"]))
    except UserError as error:
        print(f"hem: {error}", file=sys.stderr)
        sys.exit(2)
    except StoppedBySignalError as stopped:
        sys.exit(128 + stopped.args[0])
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # the reader, such as `head`, has seen enough


def _dispatch(command: str, *arguments: str) -> None:
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return
    if command not in COMMANDS:
        raise UserError(f"there is no command {command!r}: known are {', '.join(COMMANDS)}")
    from hem.compilation import keep_compiled
    from hem.flags import call

    keep_compiled()
    if command == "train":
        train(list(arguments))
    else:
        call(COMMANDS[command], list(arguments), f"hem {command}")


def train(arguments: list[str]) -> None:
    """Train a policy in a new run folder. The flags depend on the environment."""
    from hem import api, registry
    from hem.flags import parse_train

    known = ", ".join(registry.entries("environment"))
    if not arguments:
        raise UserError(f"which environment? `hem train ENV`, with ENV one of {known}")
    if arguments[0] in ("-h", "--help"):
        print(f"usage: hem train ENV [--flags]\n\nENV is one of {known}.")
        print("`hem train ENV --help` shows every setting that applies there.")
        return
    registry.load("environment", arguments[0])
    order = parse_train(arguments[0], arguments[1:])
    _finish(api.prepare(order.experiment, order.run_dir), order.quiet)


def resume(run: RunFolder, env_steps: int | None = None, quiet: bool = False) -> None:
    """Go on with a run, exactly where its latest checkpoint is.

    Args:
        run: The run's folder.
        env_steps: A new budget of environment steps in all; by default the one it has.
        quiet: Show no progress.
    """
    from hem.run import Run

    opened = Run(run)
    opened.extend(env_steps)
    _finish(opened, quiet)


def _finish(run: Run, quiet: bool) -> None:
    stopped_by = run.train(quiet)
    if stopped_by is not None:
        print(f"Saved. Go on with: hem resume {run.folder}")
        raise StoppedBySignalError(stopped_by)
    print(f"Done: {run.folder}. Measure it with: hem evaluate {run.folder}")


def evaluate(run: RunFolder, episodes: int = 100, seed: int = 0, json: bool = False) -> None:
    """Success of a run's policy: greedy, on fresh episodes that training never saw.

    Args:
        run: The run's folder.
        episodes: How many.
        seed: Of the episodes; equal seeds give equal ones.
        json: Print one JSON object.
    """
    from hem import api

    report = api.evaluate(run, episodes, seed)
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
    episodes: int = 5,
    seed: int = 0,
    fps: int = 10,
) -> None:
    """A video of a run's policy.

    Args:
        run: The run's folder.
        out: The file to write, .gif or .mp4.
        episodes: How many, one after the other.
        seed: Of the first episode; the others follow it.
        fps: Frames a second; a frame is an environment step.
    """
    from hem import play as player
    from hem import video

    video.write(out, player.frames(run, episodes, seed), fps)
    print(f"Wrote {out}")


def plot(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN ...")],
    out: Path = Path("curves.png"),
) -> None:
    """Learning curves against environment steps and against seconds.

    Args:
        runs: Run folders, or folders of run folders. Runs that differ in their seed only become
            one curve with an interval.
        out: The picture to write, .png, .pdf or .svg.
    """
    from hem import plot as plotter

    plotter.curves(list(runs), out)
    print(f"Wrote {out}")


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
            print(f"  {entry.name:<16}{entry.summary}")


COMMANDS: dict[str, Callable[..., None]] = {
    "train": train,
    "resume": resume,
    "evaluate": evaluate,
    "play": play,
    "plot": plot,
    "list": list_,
}
