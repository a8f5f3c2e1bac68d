"""Flags from configuration dataclasses: flat, typed, each with its default and description."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import re
import shlex
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import tyro

from hem import registry
from hem.errors import UserError
from hem.registry import Component
from hem.runs.experiment import Experiment, assembled, chosen_algorithm, chosen_strategy, defaults
from hem.runs.manifest import NAMES
from hem.runs.session import Callback, Session
from hem.system.conversion import convert, refilled

PEEKED = ("algo", "strategy", "obs")  # other flags depend on these
OWN: dict[str, tuple[Any, Any, str]] = {  # settings of the command, not of the experiment
    "run_dir": (Path | None, None, "New run folder; by default one in runs/."),
    "quiet": (bool, False, "Do not show progress."),
    "until": (float | None, None, "Stop when two evaluations in a row reach this success rate."),
    "max_time": (
        float | None,
        None,
        "Stop after this many seconds, once the iteration in progress is complete.",
    ),
    "track": (str | None, None, "Send metrics and results to a tracker: wandb or mlflow."),
}


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


def parse_train(
    env: str, arguments: list[str], given: Mapping[str, Any] = types.MappingProxyType({})
) -> TrainArgs:
    """Parse the flags of ``hem train ENV``: those of the environment, algorithm and strategy.

    Args:
        env: the environment's name.
        arguments: the flags.
        given: values of a configuration file, which take the place of defaults.

    Raises:
        UserError: a flag or a value is unknown or invalid.
    """
    found = registry.find("environment", env)
    named = {name: peek(arguments, f"--{name}") or given.get(name) for name in PEEKED}
    algo = chosen_algorithm(found, named["algo"])
    obs = convert("obs", named["obs"] or "state", str)
    strategy = chosen_strategy(found, algo, obs, named["strategy"])
    settings = {name: value for name, value in given.items() if name not in (*NAMES, *OWN)}
    parts = defaults(found, algo, strategy, obs, settings)
    own = {
        name: convert(name, given.get(name, default), kind)
        for name, (kind, default, _) in OWN.items()
    }
    own["run_dir"] = None if own["run_dir"] is None else Path(own["run_dir"])
    flat = tyro.conf.OmitArgPrefixes[train_shape(algo, strategy, parts, own)]
    said = parse(flat, arguments, f"hem train {shlex.quote(found.name)}", registry.summary(env))
    configs = {name: refilled(getattr(said, name)) for name in parts}
    experiment = assembled(found, algo, strategy, configs)
    session = Session(said.until, said.max_time, tracking(said.track))
    return TrainArgs(experiment, said.run_dir, said.quiet, session)


def tracking(tracker: str | None) -> tuple[Callback, ...]:
    """The callback of a tracker, if one is named; errors as in ``trackers.make``."""
    from hem import trackers  # noqa: PLC0415

    return () if tracker is None else (trackers.make(tracker),)


def train_shape(
    algo: Component,
    strategy: Component | None,
    parts: Mapping[str, Any],
    own: Mapping[str, Any] = types.MappingProxyType({}),
) -> type:
    """The dataclass of all flags of ``hem train``, with configurations as their defaults."""
    fields: list[Any] = [
        ("algo", _explained(str, "Algorithm; see `hem list`."), algo.name),
        ("config", _explained(Path | None, "TOML file with settings; flags win."), None),
    ]
    for name, (kind, default, text) in OWN.items():
        fields.append((name, _explained(kind, text), own.get(name, default)))
    if strategy is not None:
        about = _explained(str, "Hindsight strategy; see `hem list`.")
        fields.append(("strategy", about, strategy.name))
    fields += [(name, type(value), value) for name, value in parts.items()]
    return dataclasses.make_dataclass("Settings", fields, frozen=True)


def parse_check(env: str, arguments: list[str]) -> CheckArgs:
    """Parse the flags of ``hem check ENV``: those of the environment and the number of episodes."""
    module = registry.load("environment", env)
    shape = check_shape(module.Config())
    about = f"Check {module.NAME} and report problems in plain words."
    given = parse(
        tyro.conf.OmitArgPrefixes[shape], arguments, f"hem check {shlex.quote(env)}", about
    )
    return CheckArgs(module.NAME, refilled(given.config), given.episodes, given.quiet)


def check_shape(config: Any) -> type:
    """The dataclass of all flags of ``hem check``."""
    fields: list[Any] = [
        ("episodes", _explained(int, "Number of random episodes to run."), 20),
        ("quiet", _explained(bool, "Do not show progress."), False),
        ("config", type(config), config),
    ]
    return dataclasses.make_dataclass("Settings", fields, frozen=True)


def _explained(kind: Any, text: str) -> Any:
    return Annotated[kind, tyro.conf.arg(help=text)]


def peek(arguments: list[str], flag: str) -> str | None:
    """The last value of a flag that other flags depend on, before all are parsed."""
    for i in reversed(range(len(arguments))):
        if arguments[i] == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if arguments[i].startswith(f"{flag}="):
            return arguments[i].partition("=")[2]
    return None


def _one_line(box: str, prog: str) -> str:
    """The error and the nearest flag, out of tyro's boxed message."""
    box = re.sub(r"\x1b\[[\d;]*m", "", box)  # in a terminal it has colors
    text = [re.sub(r"^[│|]\s?|\s*[│|]$", "", line).strip() for line in box.splitlines()]
    drawn = text[0].startswith("╭")  # else in ASCII, with a title and a rule above the message
    text = [line for line in text if not re.match(r"[╭╰]", line)] if drawn else text[2:]
    # A message too long for the box continues on the next line; a rule ends it.
    whole = itertools.takewhile(lambda line: line and not re.match("─|---|Perhaps", line), text)
    message = " ".join(whole) or "invalid flags"
    # Checks of a whole configuration name the flag themselves; drop the configuration's name.
    message = re.sub(r"^Error parsing \w[\w-]*: ", "", message)
    near = [
        line.split()[0].rstrip(",")  # of a switch, its negation follows
        for before, line in itertools.pairwise(text)
        if before.startswith("Perhaps you meant")
    ]
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"{message}{guess} (see `{prog} --help`)"
