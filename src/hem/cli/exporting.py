"""The command that writes what a run learned for other programs."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from hem.cli.looking import RunFolder
from hem.errors import require


def export(
    run: RunFolder,
    onnx: Annotated[Path | None, arg(metavar="FILE")] = None,
    minari: Annotated[str | None, arg(metavar="NAME")] = None,
    episodes: int | None = None,
    replay: bool = False,
    explore: bool = False,
    seed: int = 0,
    trust: bool = False,
) -> None:
    """Write what a run learned for other programs.

    Args:
        run: Run folder.
        onnx: Write its greedy policy to this file, as an ONNX graph.
        minari: Write episodes as a new Minari dataset of this name, such as push/demo-v0.
        episodes: For --minari: number of episodes of its policy; 100 by default.
        replay: For --minari: the episodes of the replay buffer instead.
        explore: For --minari: act as in training, with exploration noise.
        seed: For --minari: seed of the episodes.
        trust: Allow environment code that the run names, such as a file.
    """
    targets = {"--onnx FILE": onnx, "--minari NAME": minari}
    given = [flag for flag, value in targets.items() if value is not None]
    require(len(given) == 1, f"say what to write, and only one thing: {' or '.join(targets)}")
    if onnx is not None:
        said = {"--episodes": episodes, "--replay": replay, "--explore": explore, "--seed": seed}
        unused = [flag for flag, value in said.items() if value not in (None, 0)]
        require(not unused, f"an ONNX graph holds no episodes: leave out {', '.join(unused)}")
        _to_onnx(run, onnx)
    if minari is not None:
        _to_minari(run, minari, episodes, replay, explore, seed, trust)


def _to_onnx(run: Path, file: Path) -> None:
    from hem.export.onnx_file import export_onnx
    from hem.models.policy import acting

    found = export_onnx(run, file)
    ties = f", {found.ties} ties aside" if found.ties else ""
    print(
        f"Wrote {file}; largest difference from predict on {found.observations:,} random "
        f"observations: {found.difference:.1e}{ties}"
    )
    if found.temperature:
        print(
            "The graph takes the most likely action. hem evaluates this policy by "
            f"{acting(found.temperature)}, so measure the graph's success again"
        )


def _to_minari(
    run: Path,
    name: str,
    episodes: int | None,
    replay: bool,
    explore: bool,
    seed: int,
    trust: bool,
) -> None:
    from hem.runs.recorded import export_minari

    done = export_minari(run, name, episodes, replay, explore, seed, trust)
    print(
        f"Wrote {done.episodes} episodes ({done.steps:,} steps, success {done.success_rate:.2f}) "
        f"as {done.name} into {done.folder}"
    )
