"""Flags from configuration dataclasses: flat, typed, each with its default and meaning."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from hem import registry
from hem.errors import UserError
from hem.runs.experiment import Experiment, chosen_strategy, defaults


class TrainArgs(NamedTuple):
    """What ``hem train`` was asked for."""

    experiment: Experiment
    run_dir: Path | None
    quiet: bool


class CheckArgs(NamedTuple):
    """What ``hem check`` was asked for."""

    env: str
    config: Any  # of the environment
    episodes: int
    quiet: bool


def parse(target: Any, arguments: list[str], prog: str, description: str | None = None) -> Any:
    """Fill the dataclass ``target`` with tyro; what tyro says of a mistake becomes one line.

    Raises:
        UserError: the flags are wrong.
        SystemExit: help was asked for, and printed.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            wanted = tyro.cli(
                target,
                args=arguments,
                prog=prog,
                description=description,
            )
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        raise UserError(_one_line(said.getvalue(), prog)) from None
    return wanted


def call(function: Callable[..., None], arguments: list[str], prog: str) -> None:
    """Call ``function`` with its parameters as flags; mistakes as in ``parse``."""

    @functools.wraps(function)
    def filled(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(function, *args, **kwargs)

    # Called here rather than by tyro: what it says itself is not a mistake in the flags.
    parse(filled, arguments, prog)()


def parse_train(env: str, arguments: list[str]) -> TrainArgs:
    """Parse the flags of ``hem train ENV``: those that apply to its world, learner and strategy."""
    env, summary = registry.load("environment", env).NAME, registry.summary(env)
    algo = _peek(arguments, "--algo") or "hem"
    obs = _peek(arguments, "--obs") or "state"
    strategy = chosen_strategy(env, algo, obs, _peek(arguments, "--strategy"))
    parts = defaults(env, algo, strategy, obs)
    fields: list[Any] = [
        ("algo", _explained(str, "The algorithm, as in `hem list`."), algo),
        ("run_dir", _explained(Path | None, "The run's new folder; else one below runs/."), None),
        ("quiet", _explained(bool, "Show no progress."), False),
    ]
    if strategy is not None:
        about = _explained(str, "The hindsight strategy, as in `hem list`.")
        fields.append(("strategy", about, strategy))
    fields += [(name, type(value), value) for name, value in parts.items()]
    shape = dataclasses.make_dataclass("Settings", fields, frozen=True)
    flat = tyro.conf.OmitArgPrefixes[shape]
    given = parse(flat, arguments, f"hem train {env}", summary)
    what = Experiment(env, algo, strategy, **{name: getattr(given, name) for name in parts})
    return TrainArgs(what, given.run_dir, given.quiet)


def parse_check(env: str, arguments: list[str]) -> CheckArgs:
    """Parse the flags of ``hem check ENV``: those of the environment, and how long to look."""
    module = registry.load("environment", env)
    config = module.Config()
    fields: list[Any] = [
        ("episodes", _explained(int, "Random episodes that are looked at."), 20),
        ("quiet", _explained(bool, "Show no progress."), False),
        ("config", type(config), config),
    ]
    shape = dataclasses.make_dataclass("Settings", fields, frozen=True)
    about = f"Examine {module.NAME}, and say in plain words what is wrong with it."
    given = parse(tyro.conf.OmitArgPrefixes[shape], arguments, f"hem check {env}", about)
    return CheckArgs(module.NAME, given.config, given.episodes, given.quiet)


def _explained(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


def _peek(arguments: list[str], flag: str) -> str | None:
    """The value of a flag on which the other flags depend, before all are parsed."""
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def _one_line(box: str, prog: str) -> str:
    """The mistake, and the nearest flag, out of a drawn box of help."""
    text = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    text = [line for line in text if not re.match(r"[╭╰]", line)]
    # A message that is too long for the box goes on in the next line; a rule is below it.
    whole = itertools.takewhile(lambda line: line and not line.startswith(("─", "Perhaps")), text)
    message = " ".join(whole) or "the flags are wrong"
    # A check of a whole configuration names the flag itself; the configuration's name is ours.
    message = re.sub(r"^Error parsing \w[\w-]*: ", "", message)
    near = [
        line.split()[0]
        for before, line in itertools.pairwise(text)
        if before.startswith("Perhaps you meant")
    ]
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{message}{guess} (`{prog} --help` shows what there is)"
