"""Run folders as curves, those that differ only in their seed as one group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple, TypedDict

import numpy as np

from hem.errors import UserError, one_line, require
from hem.system.parsing import AbsentError, read_json
from hem.training.metrics import progress_of, read

POINT = ("env_steps", "wall_s", "eval/success_rate")
FINAL = "eval/final_success_rate"


class Compared(TypedDict, total=False):
    """What of ``config.json`` is compared: the rest says when and where the run was made.

    It may be of any version.
    """

    env: str
    algo: str
    strategy: str | None
    env_config: dict[str, Any]
    algo_config: dict[str, Any]
    strategy_config: dict[str, Any] | None
    run: dict[str, Any]


class Curve(NamedTuple):
    """The M evaluations of a run, in the order of their steps."""

    env: str
    algo: str
    settings: dict[str, str]  # without the seed
    x: tuple[np.ndarray, np.ndarray]  # f64[M] environment steps or updates, f64[M] seconds
    success: np.ndarray  # f64[M], at any step, from 0 to 1
    final_success: np.ndarray  # f64[M], at the last step; NaN where it was not measured
    folder: Path
    is_offline: bool = False  # it takes no environment steps


def grouped(runs: Sequence[str | Path], counted: bool = False) -> list[tuple[str, list[Curve]]]:
    """The curves of runs, as one group for each setting, with a name for it.

    Args:
        runs: Run folders, or folders with run folders in them.
        counted: Whether names say how many runs there are.

    Raises:
        UserError: something is not a run folder, or has no evaluations.
    """
    folders = {folder.resolve(): folder for path in runs for folder in _folders(Path(path))}
    require(bool(folders), "no runs: give one or more run folders")
    return _groups([_load(folder) for folder in folders.values()], counted)


def _folders(path: Path) -> Iterator[Path]:
    """The run folder at ``path``, or those below it."""
    require(path.is_dir(), f"there is no folder {path}: give a run folder, or a folder of runs")
    if any((path / name).exists() for name in ("metrics.jsonl", "config.json")):
        yield path
        return
    below = sorted(file.parent for file in path.rglob("metrics.jsonl"))
    require(
        bool(below),
        f"{path} is not a run folder and contains none: give a folder made by hem train",
    )
    yield from below


def _load(folder: Path) -> Curve:
    """Read a run. One without a configuration is a curve of its own."""
    try:
        rows = [row for row in read(folder / "metrics.jsonl") if POINT[2] in row]
        points = [[*(row[key] for key in POINT), row.get(FINAL, np.nan)] for row in rows]
        config = _compared(folder)
    except UserError as error:
        raise UserError(f"cannot read the run {folder} ({error}): leave it out") from error
    points = np.array(points, float).reshape(-1, 4)
    settings = {"strategy": named} if (named := config.get("strategy")) else {}
    for part, values in config.items():
        if isinstance(values, dict):  # None: not given, as in files without the setting
            given = {key: value for key, value in values.items() if value is not None}
            settings |= {f"{part}.{key}": str(value) for key, value in given.items()}
    require(len(points) > 0, f"{folder} has no evaluation yet: wait for one, or leave it out")
    settings.pop("run.seed", None)
    env, algo = config.get("env", folder.name), config.get("algo", str(folder))
    steps, seconds, success, final = points.T
    x = (np.array([progress_of(row) for row in rows], float), seconds)
    return Curve(env, algo, settings, x, success, final, folder, is_offline=not steps[-1])


def _compared(folder: Path) -> Compared:
    try:
        return read_json(folder / "config.json", Compared)
    except AbsentError:
        return {}


def _groups(found: Sequence[Curve], counted: bool) -> list[tuple[str, list[Curve]]]:
    """Curves that differ only in their seed, and their labels."""
    groups: dict[Any, list[Curve]] = {}
    for curve in found:
        groups.setdefault((*curve[:2], *sorted(curve.settings.items())), []).append(curve)

    def differs(env: str, algo: str, key: str) -> bool:
        # Algorithms should share the environment's settings; each has its own other settings.
        shared = key.startswith("env_config.")
        same = [c for c in found if c.env == env and (shared or c.algo == algo)]
        return len({c.settings.get(key) for c in same}) > 1

    labeled = []
    for (env, algo, *settings), group in groups.items():
        notes = [
            f"{key.rpartition('.')[2]} {value}"
            for key, value in settings
            if differs(env, algo, key)
        ]
        notes += [f"{len(group)} runs"] if counted and len(group) > 1 else []
        label = f"{env}, {algo} ({', '.join(notes)})" if notes else f"{env}, {algo}"
        labeled.append((fill(one_line(label, 500), 100), group))
    return labeled
