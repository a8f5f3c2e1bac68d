"""Flags from configuration dataclasses: flat, typed, each with its default and description."""

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
from hem.runs.experiment import Experiment, assembled, chosen_strategy, defaults
from hem.runs.session import Session

UNTIL = "Stop when two evaluations in a row reach this success rate."
MAX_TIME = "Stop after this many seconds, once the iteration in progress is complete."


class TrainArgs(NamedTuple):
    """The parsed arguments of ``hem train``."""

    experiment: Experiment
    run_dir: Path | None
    quiet: bool
    session: Session


class CheckArgs(NamedTuple):
    """The parsed arguments of ``hem check``."""

    env: str
    config: Any  # of the environment
    episodes: int
    quiet: bool


def parse(target: Any, arguments: list[str], prog: str, description: str | None = None) -> Any:
    """Fill the dataclass ``target`` with tyro; its error messages become one line.

    Raises:
        UserError: the flags are invalid.
        SystemExit: help was requested and printed.
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
    """Call ``function`` with its parameters as flags; errors as in ``parse``."""

    @functools.wraps(function)
    def filled(*args: Any, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(function, *args, **kwargs)

    # Called here, not by tyro: errors of the function are not errors in the flags.
    parse(filled, arguments, prog)()


def parse_train(env: str, arguments: list[str]) -> TrainArgs:
    """Parse the flags of ``hem train ENV``: those of the environment, algorithm and strategy."""
    found = registry.find("environment", env)
    algo = registry.find("algorithm", _peek(arguments, "--algo") or "hem")
    obs = _peek(arguments, "--obs") or "state"
    strategy = chosen_strategy(found, algo, obs, _peek(arguments, "--strategy"))
    parts = defaults(found, algo, strategy, obs)
    fields: list[Any] = [
        ("algo", _explained(str, "Algorithm; see `hem list`."), algo.name),
        ("run_dir", _explained(Path | None, "New run folder; by default one in runs/."), None),
        ("quiet", _explained(bool, "Do not show progress."), False),
        ("until", _explained(float | None, UNTIL), None),
        ("max_time", _explained(float | None, MAX_TIME), None),
    ]
    if strategy is not None:
        about = _explained(str, "Hindsight strategy; see `hem list`.")
        fields.append(("strategy", about, strategy.name))
    fields += [(name, type(value), value) for name, value in parts.items()]
    shape = dataclasses.make_dataclass("Settings", fields, frozen=True)
    flat = tyro.conf.OmitArgPrefixes[shape]
    given = parse(flat, arguments, f"hem train {found.name}", registry.summary(env))
    configs = {name: getattr(given, name) for name in parts}
    experiment = assembled(found, algo, strategy, configs)
    session = Session(given.until, given.max_time)
    return TrainArgs(experiment, given.run_dir, given.quiet, session)


def parse_check(env: str, arguments: list[str]) -> CheckArgs:
    """Parse the flags of ``hem check ENV``: those of the environment and the number of episodes."""
    module = registry.load("environment", env)
    config = module.Config()
    fields: list[Any] = [
        ("episodes", _explained(int, "Number of random episodes to run."), 20),
        ("quiet", _explained(bool, "Do not show progress."), False),
        ("config", type(config), config),
    ]
    shape = dataclasses.make_dataclass("Settings", fields, frozen=True)
    about = f"Check {module.NAME} and report problems in plain words."
    given = parse(tyro.conf.OmitArgPrefixes[shape], arguments, f"hem check {env}", about)
    return CheckArgs(module.NAME, given.config, given.episodes, given.quiet)


def _explained(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


def _peek(arguments: list[str], flag: str) -> str | None:
    """The value of a flag that other flags depend on, before all are parsed."""
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{flag}="):
            return argument.partition("=")[2]
    return None


def _one_line(box: str, prog: str) -> str:
    """The error and the nearest flag, out of tyro's boxed message."""
    text = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    text = [line for line in text if not re.match(r"[╭╰]", line)]
    # A message too long for the box continues on the next line; a rule ends it.
    whole = itertools.takewhile(lambda line: line and not line.startswith(("─", "Perhaps")), text)
    message = " ".join(whole) or "invalid flags"
    # Checks of a whole configuration name the flag themselves; drop the configuration's name.
    message = re.sub(r"^Error parsing \w[\w-]*: ", "", message)
    near = [
        line.split()[0]
        for before, line in itertools.pairwise(text)
        if before.startswith("Perhaps you meant")
    ]
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{message}{guess} (see `{prog} --help`)"
