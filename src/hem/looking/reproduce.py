"""What it takes to run a group of runs again: command, versions and all settings."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Any

from hem.looking.findings import Findings
from hem.looking.markup import Content, Element, element
from hem.runs.manifest import CONFIGS, NAMES

UNKNOWN = "These runs have no config.json that this version of hem can read."


def details(group: Findings, is_one_of_many: bool) -> Element:
    """The group's part of the page; one of many is folded, and has its settings too."""
    known = [
        (curve.folder, config)
        for curve, config in zip(group.curves, group.manifests, strict=True)
        if config is not None
    ]
    head = element("summary", group.name)
    if not known:
        return element("details", head, element("p", UNKNOWN))
    commands = "\n".join(command(config, str(folder)) for folder, config in known)
    _, first = known[0]
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    facts = {
        "made": first["time"],
        "devices": ", ".join(first["devices"]),
        "versions": versions,
        "environment": first["version_hash"],
        "seeds": group.seeds,
    }
    rows = [
        element(tag, text)
        for pair in facts.items()
        for tag, text in zip(("dt", "dd"), pair, strict=True)
    ]
    whole: list[Content] = [head, _code(commands), element("dl", *rows)]
    if is_one_of_many:
        return element("details", *whole, all_settings(first))
    return element("details", *whole, open="open")


def command(config: dict[str, Any], folder: str) -> str:
    """A command that trains the run again.

    A run that a Python program began has no command of its own.
    """
    words = config["command"]
    if len(words) > 1 and PurePath(words[0]).name in ("hem", "__main__.py") and words[1] == "train":
        return shlex.join(["hem", *words[1:]])
    return f"hem config {shlex.quote(folder)} > run.toml && hem train --config run.toml"


def all_settings(config: dict[str, Any]) -> Element:
    """Every setting of a run, folded."""
    lines = [f"{name} = {config[name]}" for name in NAMES]
    for part in CONFIGS:
        lines += [f"{name} = {value}" for name, value in (config[part] or {}).items()]
    return element("details", element("summary", "All settings"), _code("\n".join(lines)))


def _code(text: str) -> Element:
    return element("pre", element("code", text))
