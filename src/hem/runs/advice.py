"""What messages advise to do with a run: a command as one types it in a shell, or a call."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hem import registry
from hem.errors import UserError
from hem.runs.experiment import KINDS, NONE, Experiment, code_named
from hem.runs.manifest import CONFIG, read_manifest


def advised(verb: str, folder: Path, config: Mapping[str, Any], code: str | None) -> str:
    """``hem VERB`` for a run or, where only a program can do that, the call.

    Args:
        verb: a command that has a function of its name: evaluate or resume.
        folder: the run folder.
        config: its configuration.
        code: the external code that this names.
    """
    return call(verb, folder, config, code) if _objects(config) else command(verb, folder, code)


def advised_for(verb: str, folder: Path) -> str:
    """What ``advised`` says of a run that is not open; none of its code is run."""
    try:
        config = read_manifest(folder / CONFIG)
        return advised(verb, folder, config, _code(config))
    except UserError:  # which the command will explain
        return command(verb, folder, None)


def command(verb: str, folder: Path, code: str | None) -> str:
    """``hem VERB FOLDER``, which trusts the code."""
    return shlex.join(["hem", verb, str(folder), *(["--trust"] if code else [])])


def call(verb: str, folder: Path, config: Mapping[str, Any], code: str | None) -> str:
    """``hem.VERB(FOLDER)``, likewise, with objects in place of names that find none."""
    more = [f"{part}=..." for part in _objects(config)] + (["trust=True"] if code else [])
    return f"hem.{verb}({', '.join([repr(str(folder)), *more])})"


def _objects(config: Mapping[str, Any]) -> list[str]:
    """The parts that were objects of a program."""
    return [part for part in KINDS if config[part] and registry.is_object(config[part])]


def _code(config: dict[str, Any]) -> str | None:
    """The external code that a configuration names.

    Raises:
        UserError: it is not usable.
    """
    if (code := code_named(config, NONE)) is not None or _objects(config):
        return code
    experiment = Experiment.from_json(config)
    return registry.code_named(experiment.env, experiment.env_config)
