"""The gallery of the documentation: for each task a learning curve and a strip of film.

It trains what is missing, minutes each, draws what is there, and writes docs/gallery.md:

    python -m experiments.gallery                 # make gallery
    python -m experiments.gallery --only Fetch    # some of it

Tasks with an object take up to an hour, and are drawn only if their run is there: ``--objects``
trains them. Pictures of earlier calls are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro
from PIL import Image

import hem
from experiments.table import TableRow, folder, is_finished, train
from hem.runs.playback import PAUSE, frames
from hem.runs.presets import suitable_algorithm
from hem.system.atomic_io import write_atomically, write_text
from hem.viz.plot import COLORS, STYLE

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = DOCS / "img" / "gallery"
SHOTS, HEIGHT, MARGIN = 6, 104, 3  # of a strip: frames, and pixels
EPISODES = 8  # the longest with success is shown
COLORS_KEPT = 96  # of a picture, which is then below 40 KB


class Exhibit(NamedTuple):
    """A task of the gallery, and how its policy is trained."""

    env: str
    says: str
    settings: Mapping[str, int]
    algorithm: str = "hem"

    @property
    def name(self) -> str:
        """Of its pictures."""
        return self.env.lower()

    @property
    def row(self) -> TableRow:
        return TableRow(self.env, self.env, self.settings, 0.95, self.algorithm)

    @property
    def command(self) -> str:
        """What trains it."""
        algo = "" if self.algorithm == suitable_algorithm(self.env) else f" --algo {self.algorithm}"
        flags = "".join(f" --{k.replace('_', '-')} {v}" for k, v in self.settings.items())
        return f"hem train {self.env}{algo}{flags}"


REACHING = (
    Exhibit("FlipBit", "Flip one bit per step until all match the goal below.", {"bits": 15}),
    Exhibit("Navigation", "Move a point to the goal.", {"env_steps": 40_000}),
    Exhibit(
        "FourRooms",
        "Walk through the doors of a maze with slippery floors.",
        {"env_steps": 150_000, "eval_interval": 10_000},
    ),
    Exhibit("PointMass", "Push a ball through the doors of four rooms.", {}),
    Exhibit("Reacher", "Bring the fingertip of two links to the goal.", {"env_steps": 40_000}),
    Exhibit(
        "FetchReach-v4",
        "Bring the gripper to a point in the air.",
        {"env_steps": 4_000, "eval_interval": 500},
    ),
    Exhibit("SawyerReach", "Bring the hand to a point in the air.", {"eval_interval": 300}),
    Exhibit(
        "HandReach-v3", "Touch the thumb with a finger; the others stay.", {"env_steps": 100_000}
    ),
)
OBJECTS = (
    Exhibit("FetchPush-v4", "Push the block to the goal.", {"env_steps": 120_000}, "hem-her"),
    *(
        Exhibit(f"Fetch{name}-v4", says, {}, "her")
        for name, says in (
            ("Slide", "Hit the puck so that it stops at the goal, out of reach."),
            ("PickAndPlace", "Lift the block to the goal."),
        )
    ),
)


def draw(exhibit: Exhibit, run: Path) -> None:
    """Write the curve and the strip of a run."""
    film = strip(run)
    curve = learning_curve(run)
    for name, image in ((f"{exhibit.name}-film", film), (f"{exhibit.name}-curve", curve)):
        few = Image.fromarray(image).quantize(COLORS_KEPT, Image.Quantize.MEDIANCUT)
        out = PICTURES / f"{name}.png"
        write_atomically(out, lambda side, few=few: few.save(side, format="png", optimize=True))


def strip(run: Path) -> np.ndarray:
    """Six frames u8[H, W, 3] of an episode, from its start to its goal, side by side."""
    films = [
        list(frames(run, episodes=1, seed=seed, stay=False))[:-PAUSE] for seed in range(EPISODES)
    ]
    horizon = hem.Run(run).experiment.build()[0].task.horizon
    reached = [film for film in films if len(film) <= horizon]  # ended early, with success
    film = max(reached or films, key=len)
    shown = [film[i] for i in np.linspace(0, len(film) - 1, SHOTS).round().astype(int)]
    small = [
        Image.fromarray(frame).resize(_size(frame), Image.Resampling.LANCZOS) for frame in shown
    ]
    apart = [np.pad(image, ((0, 0), (0, MARGIN), (0, 0)), constant_values=255) for image in small]
    return np.concatenate(apart, axis=1)[:, :-MARGIN]


def _size(frame: np.ndarray) -> tuple[int, int]:
    height, width, _ = frame.shape
    return round(width * HEIGHT / height), HEIGHT


def learning_curve(run: Path) -> np.ndarray:
    """Success in evaluation against environment steps, u8[H, W, 3]."""
    from matplotlib import style  # noqa: PLC0415  half a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import EngFormatter, MaxNLocator  # noqa: PLC0415

    rows = [row for row in hem.read_metrics(run) if "eval/success_rate" in row]
    steps, success = ([row[name] for row in rows] for name in ("env_steps", "eval/success_rate"))
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(2.4, 1.3), dpi=100, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes: Any = figure.subplots()
        axes.plot(steps, success, color=COLORS[0])
        axes.set(ylim=(0, 1.04), xlim=(0, steps[-1]), yticks=(0, 0.5, 1))
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.tick_params(labelsize=8)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def page(shown: list[Exhibit]) -> str:
    """docs/gallery.md."""
    lines = [
        "# Gallery",
        "",
        "Each policy comes from one short run. The film is six frames of an episode, from its",
        "start to where it reaches the goal: the longest of eight episodes. The curve is success",
        "in evaluation, at any step, against environment steps. `make gallery` makes this page.",
    ]
    for exhibit in shown:
        picture = f"img/gallery/{exhibit.name}"
        lines += [
            "",
            f"## {exhibit.env}",
            "",
            f"{exhibit.says} `{exhibit.command}`",
            "",
            f"![{exhibit.env}, six frames of a trained policy]({picture}-film.png)",
            f"![{exhibit.env}, success against steps]({picture}-curve.png)",
        ]
    return "\n".join(lines) + "\n"


def main(out: Path = Path("runs/gallery"), only: str = "", objects: bool = False) -> None:
    """Train what is missing, and draw.

    Args:
        out: Where the run folders go.
        only: Leave out the tasks whose name does not have this in it.
        objects: Train the tasks with an object too, an hour each.
    """
    PICTURES.mkdir(parents=True, exist_ok=True)
    for exhibit in (*REACHING, *OBJECTS):
        if only not in exhibit.env:
            continue
        if exhibit in REACHING or objects or is_finished(folder(exhibit.row, 0, out)):
            draw(exhibit, train(exhibit.row, 0, out))
    shown = [e for e in (*REACHING, *OBJECTS) if (PICTURES / f"{e.name}-film.png").exists()]
    write_text(DOCS / "gallery.md", page(shown))


if __name__ == "__main__":
    tyro.cli(main)
