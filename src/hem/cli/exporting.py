"""The command that exports a run for other programs."""
# ruff: noqa: PLC0415

from __future__ import annotations

from hem.cli.looking import RunFolder
from hem.errors import UserError


def export(
    run: RunFolder,
    minari: str | None = None,
    episodes: int | None = None,
    replay: bool = False,
    explore: bool = False,
    seed: int = 0,
    trust: bool = False,
) -> None:
    """Export a run for other programs: its episodes as a Minari dataset.

    Args:
        run: Run folder.
        minari: Name of a new Minari dataset, such as push/demo-v0.
        episodes: Number of episodes of the greedy policy; 100 by default.
        replay: Export the replay buffer's episodes instead.
        explore: Act as in training, with exploration noise.
        seed: Seed of the episodes.
        trust: Allow environment code that the run names, such as a file.
    """
    if minari is None:
        raise UserError("say what to export: --minari NAME for a Minari dataset of episodes")
    _as_minari(run, minari, episodes, replay, explore, seed, trust)


def _as_minari(
    run: RunFolder,
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
