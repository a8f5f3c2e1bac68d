"""The command line. Flags are the fields of the configuration dataclasses, typed and flat."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from hem.errors import UserError

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


class StoppedBySignal(Exception):
    """Training was asked to stop and has saved everything; carries the signal's number."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with 2 and one line where the user has something to mend."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    try:
        if command in ("-h", "--help"):
            print(USAGE, end="")
        elif command not in COMMANDS:
            raise UserError(f"there is no command {command!r}: known are {', '.join(COMMANDS)}")
        else:
            COMMANDS[command](rest)
    except UserError as error:
        print(f"hem: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except StoppedBySignal as stopped:
        sys.exit(128 + stopped.args[0])
    except BrokenPipeError:
        sys.exit(0)  # the reader, such as `head`, has seen enough


def _train(arguments: list[str]) -> None:
    from hem import api, registry  # noqa: PLC0415  JAX costs half a second, which --help saves
    from hem.experiment import Experiment, default_strategy, defaults  # noqa: PLC0415

    if not arguments or arguments[0].startswith("-"):
        known = ", ".join(registry.entries("environment"))
        if {"-h", "--help"} & set(arguments):
            print(f"usage: hem train ENV [--flags]\n\nENV is one of {known}.\n`hem train ENV --help` shows what applies there.")  # noqa: E501
            return
        raise UserError(f"which environment? `hem train ENV`, with ENV one of {known}")
    env, rest = arguments[0], arguments[1:]
    registry.load("environment", env)
    algo = _peek(rest, "--algo") or "hem"
    registry.load("algorithm", algo)
    strategy = _peek(rest, "--strategy") or default_strategy(env, algo)
    parts = defaults(env, algo, strategy)
    names = {
        "algo": (Annotated[str, tyro.conf.arg(help="The algorithm, as in `hem list`.")], algo),
        "strategy": (
            Annotated[str, tyro.conf.arg(help="The hindsight strategy, as in `hem list`.")],
            strategy,
        ),
        "run_dir": (
            Annotated[Path | None, tyro.conf.arg(help="The run's new folder; by default below runs/.")],  # noqa: E501
            None,
        ),
        "quiet": (Annotated[bool, tyro.conf.arg(help="Show no progress.")], False),
    }
    shape = dataclasses.make_dataclass(
        "Settings",
        [(name, kind, default) for name, (kind, default) in names.items()]
        + [(name, type(value), value) for name, value in parts.items()],
        frozen=True,
    )
    flat: Any = tyro.conf.FlagConversionOff[tyro.conf.OmitArgPrefixes[shape]]  # type: ignore[valid-type]
    given = _parse(flat, rest, f"hem train {env}", registry.entries("environment")[env].summary)
    what = Experiment(
        env, algo, strategy, **{name: getattr(given, name) for name in parts}
    )
    run = api.prepare(what, given.run_dir)
    _finish(run, given.quiet)


def _resume(arguments: list[str]) -> None:
    def resume(
        run: tyro.conf.Positional[Path], env_steps: int | None = None, quiet: bool = False
    ) -> None:
        """Go on with a run, exactly where its latest checkpoint is.

        Args:
            run: The run's folder.
            env_steps: A new budget of environment steps in all; by default the one it has.
            quiet: Show no progress.
        """
        from hem.run import Run  # noqa: PLC0415

        opened = Run(run)
        opened.extend(env_steps)
        _finish(opened, quiet)

    _parse(resume, arguments, "hem resume")


def _finish(run: Any, quiet: bool) -> None:
    stopped_by = run.train(quiet)
    if stopped_by is not None:
        print(f"Saved. Go on with: hem resume {run.folder}")
        raise StoppedBySignal(stopped_by)
    print(f"Done: {run.folder}. Now: hem evaluate {run.folder}")


def _evaluate(arguments: list[str]) -> None:
    def evaluate(
        run: tyro.conf.Positional[Path], episodes: int = 100, seed: int = 0, json: bool = False
    ) -> None:
        """Success of a run's policy: greedy, on fresh episodes that training never saw.

        Args:
            run: The run's folder.
            episodes: How many, all at once.
            seed: Of the episodes; equal seeds give equal ones.
            json: Print one JSON object.
        """
        from hem import api  # noqa: PLC0415

        _print_report(api.evaluate(run, episodes, seed), json)

    _parse(evaluate, arguments, "hem evaluate")


def _print_report(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    low, high = result["ci95"]
    print(
        f"success at any step   {result['success_rate']:.3f}   95% interval {low:.3f} to {high:.3f}\n"
        f"success at the end    {result['final_success_rate']:.3f}\n"
        f"steps to success      {result['ep_len_mean']:.1f} on average\n"
        f"episodes              {result['episodes']}"
    )


def _play(arguments: list[str]) -> None:
    def play(
        run: tyro.conf.Positional[Path],
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
            seed: Of the first episode.
            fps: Frames, which are environment steps, a second.
        """
        from hem import play as player, video  # noqa: PLC0415, I001

        video.write(out, player.frames(run, episodes, seed), fps)
        print(f"Wrote {out}")

    _parse(play, arguments, "hem play")


def _plot(arguments: list[str]) -> None:
    def plot(runs: tyro.conf.Positional[tuple[Path, ...]], out: Path = Path("curves.png")) -> None:
        """Learning curves against environment steps and against seconds.

        Args:
            runs: Run folders, or folders of run folders. Runs that differ in their seed only
                become one curve with an interval.
            out: The picture to write, .png, .pdf or .svg.
        """
        from hem import plot as plotter  # noqa: PLC0415

        plotter.curves(list(runs), out)
        print(f"Wrote {out}")

    _parse(plot, arguments, "hem plot")


def _list(arguments: list[str]) -> None:
    def show() -> None:
        """Environments, algorithms and hindsight strategies, one line each."""
        from hem import registry  # noqa: PLC0415

        for kind, title in (
            ("environment", "environments"),
            ("algorithm", "algorithms"),
            ("strategy", "hindsight strategies"),
        ):
            print(f"{title}:")
            for entry in registry.entries(kind).values():
                print(f"  {entry.name:<16}{entry.summary}")

    _parse(show, arguments, "hem list")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "play": _play,
    "plot": _plot,
    "list": _list,
}


def _peek(arguments: list[str], flag: str) -> str | None:
    """The value of a flag on which the other flags depend, before all are parsed."""
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def _parse(target: Any, arguments: list[str], prog: str, description: str | None = None) -> Any:
    """Parse with tyro; what it says of a mistake becomes one line."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(target, args=arguments, prog=prog, description=description)
    except SystemExit as exit_:
        if exit_.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue(), prog)) from None


def _one_line(box: str, prog: str) -> str:
    """The mistake, and the nearest flag, out of a drawn box of help."""
    text = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line) for line in box.splitlines()]
    text = [line.strip() for line in text if not re.match(r"^[╭╰─+-]", line.strip())]
    message = text[0] if text else "the flags are wrong"
    near = [
        line.split()[0]
        for before, line in zip(text, text[1:], strict=False)
        if before.startswith("Perhaps you meant")
    ]
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{message}{guess} (`{prog} --help` shows what there is)"
