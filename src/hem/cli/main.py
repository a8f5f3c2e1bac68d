"""The command line: which command is called for, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hem.cli.commands import COMMANDS
from hem.errors import UserError, one_line
from hem.system.signals import StoppedBySignalError

USAGE = """\
usage: hem COMMAND ...

Goal-conditioned reinforcement learning from sparse binary rewards, by hindsight.

  hem train ENV      train a policy; `hem train ENV --help` shows every setting with its default
  hem check ENV      examine an environment, and say in plain words what is wrong with it
  hem resume RUN     go on with a run, exactly where it was
  hem evaluate RUN   success of a run's policy on fresh episodes, with a 95% interval
  hem play RUN       a video of a run's policy
  hem plot RUN ...   learning curves, with intervals over seeds
  hem theory         the paper's theorems, computed, with a figure each
  hem list           environments, algorithms and hindsight strategies

ENV is one of `hem list`, a file's class as my_env.py:MyEnv, or an id of Gymnasium.
A run is a folder, as given by --run-dir. Begin with `hem train FlipBit`.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with 2 and one line where the user has something to fix."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _dispatch(*(given or ["--help"]))
        print(end="", flush=True)
    except UserError as error:
        print(f"hem: {error}", file=sys.stderr)
        sys.exit(2)
    except StoppedBySignalError as stopped:
        sys.exit(128 + stopped.number)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)  # the reader, such as `head`, has seen enough
    except OSError as error:  # such as the text on a disk that is full
        _show_no_more()
        print(f"hem: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def _show_no_more() -> None:
    """Let Python not complain, when it ends, of what could not be shown."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(command: str, *arguments: str) -> None:
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return
    if command not in COMMANDS:
        raise UserError(f"there is no command {command!r}: known are {', '.join(COMMANDS)}")
    from hem.cli.flags import call  # noqa: PLC0415
    from hem.system.compile_cache import keep_compiled  # noqa: PLC0415  half a second, for JAX: not for help

    keep_compiled()
    if command in ("train", "check"):  # the flags depend on the environment
        COMMANDS[command](list(arguments))
    else:
        call(COMMANDS[command], list(arguments), f"hem {command}")
