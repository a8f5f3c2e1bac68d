"""The command line: which command runs, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from hem.cli.commands import COMMANDS
from hem.errors import UserError, one_line
from hem.system.signals import StoppedBySignalError, terminable

USAGE = """\
usage: hem COMMAND ...

Goal-conditioned reinforcement learning from sparse binary rewards with hindsight relabeling.

  hem train ENV      train a policy; `hem train ENV --help` shows every setting with its default
  hem check ENV      check an environment and report problems in plain words
  hem resume RUN     resume a run exactly where it stopped
  hem config RUN     print a run's settings as a file for `hem train --config FILE`
  hem evaluate RUN   evaluate a run's policy on fresh episodes, with a 95% interval
  hem play RUN       record a video of a run's policy
  hem plot RUN ...   plot learning curves, with intervals over seeds
  hem export RUN     write a run's policy as an ONNX graph, or its episodes as a Minari dataset
  hem report RUN ..  write a page: curves, settings, a film, and which goals are missed
  hem watch RUN      show a run that is training, from another shell
  hem card RUN       write a model card: what it reaches, how to use it, how to train it again
  hem push RUN NAME  push a run's policy and card to the Hugging Face Hub
  hem suite FILE     train every run that a file asks for, in turn or, with Ray, side by side
  hem sweep FILE     search for good settings in ranges that a file gives
  hem compare RUN .. a table of runs: success, steps and seconds to a success rate
  hem paper NAME     reproduce a figure or theorem of the paper; `hem paper list` names them
  hem theory         compute the paper's theorems, with a figure each
  hem list           list environments, algorithms and hindsight strategies
  hem completion SH  print a script with completions for bash or zsh

ENV is a name from `hem list`, a class in a file such as my_env.py:MyEnv, or a Gymnasium ID.
RUN is a folder, as given by --run-dir. Start with `hem train FlipBit`.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with status 2 and one line on errors that the user can fix."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _escape_unencodable()
    try:
        with terminable():
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
        sys.exit(0)  # the reader, such as `head`, has closed the pipe
    except OSError as error:  # such as output to a full disk
        _show_no_more()
        print(f"hem: {one_line(str(error))}", file=sys.stderr)
        sys.exit(2)


def _escape_unencodable() -> None:
    """Show what the output's encoding lacks, such as a letter of a file's name, as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show_no_more() -> None:
    """Keep Python from complaining at exit about output that could not be written."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _dispatch(command: str, *arguments: str) -> None:
    if command in ("-h", "--help"):
        print(USAGE, end="")
        return
    if command not in COMMANDS:
        raise UserError(f"unknown command {command!r}: use one of {', '.join(COMMANDS)}")
    from hem.cli.flags import call  # noqa: PLC0415
    from hem.system.compile_cache import keep_compiled  # noqa: PLC0415  half a second for JAX, not for help

    keep_compiled()
    if command in ("train", "check"):  # the flags depend on the environment
        COMMANDS[command](list(arguments))
    else:
        call(COMMANDS[command], list(arguments), f"hem {command}")
