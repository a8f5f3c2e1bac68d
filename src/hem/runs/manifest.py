"""``config.json``: a run's settings, what it ran on, and what is needed to reproduce it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hem.system.parsing import Count, read_json

CONFIG = "config.json"
SCHEMA = 4
# The fields that an Experiment has too: names, and the settings of what they name and of the run.
NAMES = ("env", "algo", "strategy")
CONFIGS = ("env_config", "algo_config", "strategy_config", "run")
EXPERIMENT = (*NAMES, *CONFIGS)


class Dataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The recorded episodes that a run began with."""

    name: str
    path: str
    sha256: str  # of the arrays that hem made of them
    episodes: Count  # in hem's replay buffer, where long ones are split
    steps: Count


class Manifest(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of the file."""

    schema: int
    env: str
    algo: str
    strategy: str | None
    env_config: dict[str, Any]
    algo_config: dict[str, Any]
    strategy_config: dict[str, Any] | None
    run: dict[str, Any]
    version_hash: str
    replay_bytes: Count
    devices: list[str]
    command: list[str]
    time: str
    versions: dict[str, str]
    dataset: Dataset | None = None
    resumed: list[dict[str, Any]] = []


def read_manifest(file: Path) -> dict[str, Any]:
    """The contents of a run's ``config.json``, with every field type-checked.

    Raises:
        AbsentError: there is none.
        UserError: it cannot be read, is damaged, or is from another version.
    """
    return msgspec.structs.asdict(read_json(file, Manifest, SCHEMA))
