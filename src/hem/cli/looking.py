"""The commands that look at runs. Each one imports what it needs."""
# ruff: noqa: PLC0415

from __future__ import annotations

import json as jsons
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from hem.errors import UserError

RunFolder = Annotated[Positional[Path], arg(metavar="RUN")]
RunFolders = Annotated[
    Positional[tuple[Path, ...]], arg(metavar="RUN ...", help_behavior_hint="(required)")
]


def evaluate(
    run: RunFolder,
    episodes: int = 100,
    seed: int = 0,
    acting_temperature: float | None = None,
    json: bool = False,
    trust: bool = False,
) -> None:
    """Evaluate a run's policy on episodes never seen in training.

    Args:
        run: Run folder.
        episodes: Number of episodes.
        seed: Seed of the episodes; equal seeds give equal episodes.
        acting_temperature: Act with samples from pi^(1/acting_temperature), 0 for the most likely
            action; by default as the policy was trained to act.
        json: Print one JSON object.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem import api

    report = api.evaluate(run, episodes, seed, trust, acting_temperature=acting_temperature)
    if json:
        print(jsons.dumps(report))
        return
    for words, rate, interval in (
        ("success at any step ", "success_rate", "ci95"),
        ("success at the end  ", "final_success_rate", "final_ci95"),
    ):
        low, high = report[interval]
        print(f"{words} {report[rate]:.3f}, 95% interval {low:.3f} to {high:.3f}")
    steps = f"{report['ep_len_mean']:.1f} on average"
    print(f"steps to success     {steps}, where a failure counts with all its steps")
    print(f"episodes             {report['episodes']}")


def play(
    run: RunFolder,
    out: Path = Path("play.gif"),
    episodes: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    fps: int = 10,
    trust: bool = False,
) -> None:
    """Record a video of a run's policy.

    Args:
        run: Run folder.
        out: Output file, .gif or .mp4.
        episodes: Number of episodes, one after another; 5 by default.
        grid: Episodes side by side: rows x columns such as 3x4, or a number such as 12.
        seed: Seed of the first episode; the others count up from it.
        fps: Frames per second; one frame is one environment step.
        trust: Allow environment code that the run names, such as a file.
    """
    from hem.runs import playback as player
    from hem.viz import video
    from hem.viz.grid import layout
    from hem.viz.progress_bar import Bar

    if grid is not None and episodes is not None:
        raise UserError("use --episodes or --grid, not both: a grid shows one episode per tile")
    with Bar(f"Drawing {out.name}") as bar:
        if grid is None:
            count = 5 if episodes is None else episodes
            frames = player.frames(run, count, seed, trust, bar)
        else:
            frames = player.side_by_side(run, layout(grid), seed, trust, bar)
        video.write(out, frames, fps)
    print(f"Wrote {out}")


def plot(
    runs: RunFolders,
    out: Path = Path("curves.png"),
) -> None:
    """Plot learning curves against environment steps and seconds.

    Args:
        runs: Run folders, or folders of run folders.
            Runs that differ only in their seed become one curve with an interval.
        out: Output image, .png, .pdf or .svg.
    """
    from hem.viz import plot as plotter

    plotter.curves(list(runs), out)
    print(f"Wrote {out}")


def report(
    runs: RunFolders,
    out: Path = Path("report.html"),
    episodes: int = 400,
    seed: int = 0,
    success: float = 0.95,
    trust: bool = False,
) -> None:
    """Write a page about runs: curves, settings, a film, and which goals are missed.

    Args:
        runs: Run folders, or folders of run folders. Runs that differ only in their seed are shown
            as one.
        out: Output page, .html. It needs no other file and no network.
        episodes: Fresh episodes for each run's policy; 0 runs no policy, and leaves out film and
            map.
        seed: Seed of the episodes; those of `hem evaluate`.
        success: Success rate that "steps to" asks for, in two evaluations in a row.
        trust: Allow environment code that the runs name, such as a file.
    """
    from hem.looking.report import report as write
    from hem.viz.progress_bar import Bar

    with Bar(f"Writing {out.name}") as bar:
        write(list(runs), out, episodes, seed, success, trust, done=bar)
    print(f"Wrote {out}")


def watch(runs: RunFolders) -> None:
    """Show runs that are training, from another shell, until they end; Ctrl-C leaves them alone.

    Args:
        runs: Run folders.
    """
    from hem.looking.watch import watch as show

    show(runs)
