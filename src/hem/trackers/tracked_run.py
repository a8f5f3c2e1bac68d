"""What trackers are told about a run, at the beginning and at the end of a session."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from hem.runs.experiment import short_name
from hem.runs.manifest import CONFIGS, NAMES, read_manifest
from hem.system.atomic_io import clear_beside, write_json
from hem.system.parsing import AbsentError, read_json

SCHEMA = 1


class Identity(msgspec.Struct, forbid_unknown_fields=True):
    """A file in the run folder: by its id, each session finds the tracker's run again."""

    schema: int
    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class TrackedRun(NamedTuple):
    """What a tracker is told about a run before its rows."""

    id: str
    project: str  # the environment
    name: str
    settings: dict[str, Any]  # by the names of flags
    folder: Path


class Results(NamedTuple):
    """What a tracker is told when a session ends."""

    status: Literal["finished", "killed", "failed"]
    files: tuple[Path, ...] = ()
    film: Path | None = None
    best: float | None = None  # evaluation success


def tracked_run(folder: Path, tracker: str) -> TrackedRun:
    """What to tell a tracker about the run in ``folder``, whose id there is made once.

    Raises:
        UserError: the configuration or the id cannot be read, or the id cannot be written.
    """
    config = read_manifest(folder / "config.json")
    settings = {name: config[name] for name in (*NAMES, "version_hash")}
    for part in CONFIGS:
        settings |= config[part] or {}
    name = folder.resolve().name
    known = _identity(folder / f"{tracker}.json")
    return TrackedRun(known.id, short_name(config["env"]), name, settings, folder)


def _identity(file: Path) -> Identity:
    try:
        return read_json(file, Identity, SCHEMA)
    except AbsentError:
        clear_beside(file)
        new = Identity(SCHEMA, secrets.token_hex(8))
        write_json(file, new)
        return new
