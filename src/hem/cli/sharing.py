"""The commands that share a run. Each one imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from hem.cli.looking import RunFolder


def card(
    run: RunFolder,
    out: Path | None = None,
    episodes: int = 200,
    seed: int = 0,
    trust: bool = False,
) -> None:
    """Write a model card of a run: what it reaches, how to use it, how to train it again.

    Args:
        run: Run folder.
        out: Output file, .md; by default README.md in the run folder. A film and the learning curve
            are written beside it.
        episodes: Number of episodes of its evaluation.
        seed: Seed of the episodes; equal seeds give equal episodes.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem.sharing.card import card as write
    from hem.viz.progress_bar import Bar

    with Bar("Evaluating and filming") as bar:
        file = write(run, out, episodes, seed, trust, done=bar)
    print(f"Wrote {file}")


def push(
    run: RunFolder,
    repo: Annotated[Positional[str], arg(metavar="OWNER/NAME")],
    private: bool = False,
    message: str | None = None,
    episodes: int = 200,
    seed: int = 0,
    checkpoints: bool = False,
    trust: bool = False,
) -> None:
    """Push a run's policy, with a model card, to the Hugging Face Hub.

    Args:
        run: Run folder.
        repo: Repository; it is created if it does not exist.
        private: Create it as a private one.
        message: Message of the commit.
        episodes: Number of episodes of the card's evaluation.
        seed: Seed of the episodes; equal seeds give equal episodes.
        checkpoints: Push checkpoints with their replay buffers, too, so that others can resume it.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem.sharing.hub import push as upload
    from hem.viz.progress_bar import Bar

    with Bar("Evaluating and filming") as bar:
        url = upload(run, repo, private, message, episodes, seed, trust, checkpoints, bar)
    print(f"Pushed to {url}")
