"""Shell completion: commands, environments, and the flags of each."""

from __future__ import annotations

import contextlib
import functools
import io
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand
from tyro.extras import subcommand_cli_from_dict

from hem import registry
from hem.cli.flags import check_shape, train_shape
from hem.errors import UserError
from hem.runs.experiment import chosen_algorithm, chosen_strategy, defaults

SPEC = "COMPLETION_SPEC = "  # begins the line of the script that has every flag and its description


def print_script(shell: str, commands: Mapping[str, Callable[..., None]]) -> None:
    """Print a script that completes ``hem`` in a shell.

    Args:
        shell: "bash" or "zsh".
        commands: by name.
    """
    by_env = {"train": _choice(_train), "check": _choice(_check)}
    everything = {name: by_env.get(name, command) for name, command in commands.items()}
    printed = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(printed):
        subcommand_cli_from_dict(everything, prog="hem", args=["--tyro-print-completion", shell])
    for line in printed.getvalue().splitlines():
        # A shell takes each line of a description for a candidate.
        print(line.replace(r"\n", " ") if line.startswith(SPEC) else line)


def _choice(shape: Callable[[str], type]) -> Callable[..., None]:
    """A command whose first word is an environment, with the flags of ``shape(environment)``."""
    shapes = []
    for name in registry.own("environment"):
        with contextlib.suppress(UserError, ImportError):  # an extra may not be installed
            shapes.append(Annotated[shape(name), subcommand(name)])
    union = functools.reduce(operator.or_, shapes)

    def command(env: Any) -> None:
        """Never called: only its flags count."""

    command.__annotations__["env"] = OmitArgPrefixes[OmitSubcommandPrefixes[union]]
    return command


def _train(name: str) -> type:
    env = registry.find("environment", name)
    algo = chosen_algorithm(env, None)
    strategy = chosen_strategy(env, algo, "state", None)
    return train_shape(algo, strategy, defaults(env, algo, strategy))


def _check(name: str) -> type:
    return check_shape(registry.load("environment", name).Config())
