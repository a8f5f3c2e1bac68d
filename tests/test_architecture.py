"""Imports inside ``hem`` flow one way: the tables below say how, the tests hold it.

A new module is placed by naming it in LAYERS. A new algorithm, hindsight strategy or world needs
no line here: the patterns place it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

# Layer -> its modules, without the leading "hem."; "" is hem/__init__.py. A full name goes before
# a pattern. Modules that do not exist yet may stand here.
LAYERS = {
    "records": ["types", "errors", "settings", "conversion"],
    "tools": ["compilation", "files", "frames", "health", "reading", "stop"],
    # an environment's values, inside and outside of hem
    "spaces": ["spaces", "space_batches", "space_data"],
    # learning
    "parts": ["networks", "heads", "normaliser", "replay", "hindsight", "hindsight.*"],
    "seeing": ["inputs"],
    "core": ["policy", "estep"],
    "learners": ["critic", "ddpg", "dqn", "likelihood"],
    "algorithms": ["algorithms", "algorithms.*"],
    # worlds
    "world-kit": [
        "envs",
        "envs.drawing",
        "envs.process",
        "envs.mujoco",
        "envs.mujoco.model",
        "envs.mujoco.simulator",
        "envs.mujoco.resumed",
        "envs.mujoco.camera",
        "envs.mujoco.photographer",
        "envs.mujoco.scene",
        "envs.mujoco.fetch",
        "envs.mujoco.fetch_object",
    ],
    "door": ["envs.gymnasium", "envs.gymnasium.*"],  # to environments that are not hem's own
    "worlds": ["envs.*"],
    # where the two meet, as values
    "acting": ["rollout", "evaluation"],
    "reports": ["checkpoint", "events", "metrics", "progress", "bar", "plot", "video", "tiles"],
    "policy-files": ["export", "loaded", "policy_data", "task_spaces"],
    "theory": ["theory", "theory.*"],
    "loop": ["loop", "schedule"],
    "registry": ["registry"],
    "application": [
        "experiment",
        "manifest",
        "presets",
        "provenance",
        "run",
        "run_folder",
        "seeds",
        "training",
        "play",
        "gym",
    ],
    "examination": ["check", "findings", "watch"],
    "face": ["", "__main__", "api", "cli", "commands", "flags"],
}

BELOW_REGISTRY = [
    "records",
    "tools",
    "spaces",
    "parts",
    "seeing",
    "core",
    "acting",
    "reports",
    "policy-files",
    "loop",
]

# Layer -> the layers that its modules may import from. A layer that names itself lets its modules
# import one another. Only the registry and the face see the concrete algorithms and worlds.
MAY_IMPORT = {
    "records": [],
    "tools": ["records"],
    "spaces": ["records", "spaces"],
    "parts": ["records"],
    "seeing": ["records", "parts"],
    "core": ["records", "tools", "parts", "seeing"],
    "learners": ["records", "parts", "seeing", "core", "learners"],
    "algorithms": ["records", "parts", "core", "learners"],
    "world-kit": ["records", "world-kit"],
    "door": ["records", "spaces", "world-kit", "door"],
    "worlds": ["records", "world-kit"],
    "acting": ["records", "tools", "acting"],
    "reports": ["records", "tools", "reports"],
    "policy-files": ["records", "tools", "spaces", "parts", "seeing", "core", "policy-files"],
    "theory": ["records", "tools", "reports", "theory"],
    "loop": ["records", "tools", "parts", "acting", "reports", "loop"],
    "registry": [*BELOW_REGISTRY, "algorithms", "worlds", "door"],
    "application": [*BELOW_REGISTRY, "registry", "application"],
    "examination": [
        "records",
        "spaces",
        "reports",
        "door",
        "registry",
        "application",
        "examination",
    ],
    "face": list(LAYERS),
}

# Single imports that the layers do not allow.
ALSO = {
    ("settings", "errors"),  # it says what is wrong
    ("conversion", "errors"),  # likewise
    ("envs.gymnasium.source", "reading"),  # a file that is not there is no other error there
    ("hindsight.geometric", "hindsight.future"),  # with g = 1 it is future
    ("algorithms.hem_her", "algorithms.her"),  # with eta = 0 it is HER
}

SOURCE = Path(__file__).parents[1] / "src" / "hem"


class Import(NamedTuple):
    """One module naming another, both without the leading ``hem.``."""

    importer: str
    imported: str
    line: int


def layer_of(module: str) -> str | None:
    """The layer that names the module in full, else the one whose pattern it matches."""
    for layer, names in LAYERS.items():
        if module in names:
            return layer
    for layer, names in LAYERS.items():
        if any(fnmatch(module, name) for name in names if "*" in name):
            return layer
    return None


def modules_of(source: Path) -> dict[str, Path]:
    """Module -> file, for every Python file below ``source``."""

    def name(path: Path) -> str:
        parts = path.relative_to(source).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    return {name(path): path for path in sorted(source.rglob("*.py"))}


MODULES = modules_of(SOURCE)


def imports_of(module: str, code: str, is_package: bool) -> Iterator[Import]:
    """Everything of ``hem`` that the code imports, at its top, inside functions, or for types."""
    home = ["hem", *module.split(".")] if module else ["hem"]
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = home[: len(home) - node.level + is_package] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # "from a import b" names the module a.b if there is one, else something inside a
            inner = [f"{base}.{alias.name}" for alias in node.names]
            targets = [name if is_module(name) else base for name in inner]
        else:
            continue
        for target in targets:
            if target == "hem" or target.startswith("hem."):
                yield Import(module, target.removeprefix("hem").removeprefix("."), node.lineno)


def is_module(name: str) -> bool:
    """Whether ``hem.a.b`` is a module: a file, or planned by its full name."""
    short = name.removeprefix("hem.")
    return name.startswith("hem.") and (
        short in MODULES or any(short in names for names in LAYERS.values())
    )


def complaint(found: Import) -> str | None:
    """What is wrong with an import, in words; None if nothing is."""
    importer, imported = layer_of(found.importer), layer_of(found.imported)
    if importer is None or imported is None:
        unknown = found.importer if importer is None else found.imported
        return f"hem.{unknown} has no layer: name it in LAYERS"
    if imported in MAY_IMPORT[importer] or (found.importer, found.imported) in ALSO:
        return None
    allowed = ", ".join(MAY_IMPORT[importer]) or "nothing of hem"
    return (
        f"hem.{found.importer} (line {found.line}) imports hem.{found.imported}, of {imported!r};"
        f" {importer!r} may import {allowed}"
    )


def all_imports() -> list[Import]:
    found = [
        one
        for module, path in MODULES.items()
        for one in imports_of(module, path.read_text(encoding="utf-8"), path.stem == "__init__")
    ]
    return list(dict.fromkeys(found))  # from a import b, c: once


def test_every_module_has_its_place():
    homeless = [f"hem.{module}" for module in MODULES if layer_of(module) is None]
    assert not homeless, f"name in LAYERS of {Path(__file__).name}: {', '.join(homeless)}"


def test_imports_flow_one_way():
    wrong = [words for found in all_imports() if (words := complaint(found))]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_in_a_circle():
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in all_imports():
        if found.importer != found.imported:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(f"hem.{module}" for module in error.args[1]))


def test_the_tables_agree():
    assert set(MAY_IMPORT) == set(LAYERS)
    assert {layer for layers in MAY_IMPORT.values() for layer in layers} <= set(LAYERS)
    names = [name for names in LAYERS.values() for name in names]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("types", "from hem.errors import require"),
        ("networks", "from hem import heads"),
        ("hindsight.final", "from hem.hindsight import future"),
        ("replay", "from hem.policy import Policy"),
        ("algorithms.hem", "from hem.algorithms import gcsl"),
        ("algorithms.hem", "from hem import metrics"),
        ("algorithms.hem", "import hem.rollout as rollout"),
        ("algorithms.hem", "def f():\n    from hem.envs.flip_bit import make"),
        ("algorithms.hem", "from ..envs import flip_bit"),
        ("algorithms.hem", "from hem import HEM"),
        ("envs.navigation", "from hem.envs import flip_bit"),
        ("envs.flip_bit", "from hem.policy import Policy"),
        ("envs.flip_bit", "from hem.spaces import encode"),
        ("envs.gymnasium.workers", "from hem.rollout import collector"),
        ("envs.drawing", "from hem.envs.flip_bit import make"),
        ("rollout", "from .algorithms.hem import make"),
        ("loop", "from hem.registry import algorithm"),
        ("play", "from hem.envs.mujoco.fetch_reach import make"),
        ("not_in_the_table", "from hem.types import Task"),
    ],
)
def test_a_wrong_import_is_found(module: str, code: str):
    assert any(complaint(found) for found in imports_of(module, code, is_package=False))


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("algorithms.hem", "from hem import estep\nfrom hem.types import Task\nimport jax"),
        ("algorithms.a_new_one", "from ..policy import Policy"),
        ("hindsight.geometric", "from hem.hindsight import future"),
        ("envs.mujoco.a_new_one", "from hem.envs.mujoco import fetch"),
        ("envs.gymnasium.a_new_one", "from hem.envs.gymnasium import stage"),
        ("registry", "from hem.envs import flip_bit"),
        ("cli", "import hem.algorithms.hem"),
        ("", "from . import api"),
    ],
)
def test_a_right_import_is_left_alone(module: str, code: str):
    found = list(imports_of(module, code, is_package=module == ""))
    assert found
    assert [words for one in found if (words := complaint(one))] == []
