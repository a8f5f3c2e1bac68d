from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hem.errors import UserError
from hem.viz import plot

Draw = Callable[..., Figure]


def make_run(
    folder: Path,
    success: list[float | None],
    seed: int = 0,
    pace: float = 10.0,
    env: str = "FlipBit",
    algo: str = "hem",
    **env_config: Any,
) -> Path:
    """A run folder with an evaluation every 100 steps and ``pace`` seconds."""
    folder.mkdir(parents=True)
    config = {
        "env": env,
        "algo": algo,
        "strategy": "future",
        "env_config": env_config,
        "algo_config": {"lr": 1e-3},
        "run": {"seed": seed, "env_steps": 1000},
        "seed": seed,
        "time": f"not compared: {folder}",
    }
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "metrics.jsonl").open("w") as file:
        for i, value in enumerate(success, 1):
            row = {"iteration": i, "env_steps": 100 * i - 50, "wall_s": pace * (i - 0.5)}
            file.write(json.dumps(row | {"rollout/success_rate": 0}) + "\n")
            row = {"iteration": i, "env_steps": 100 * i, "wall_s": pace * i}
            file.write(json.dumps(row | {"eval/success_rate": value}) + "\n")
    return folder


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """``curves``, but giving the figure instead of saving it."""
    drawn = []

    def keep(figure: Figure, side: Path, **_: Any) -> None:
        figure.draw_without_rendering()
        side.touch()
        drawn.append(figure)

    def draw(*runs: Path) -> Figure:
        plot.curves(list(runs), tmp_path / "out.png")
        return drawn[-1]

    monkeypatch.setattr(Figure, "savefig", keep)
    return draw


def lines(figure: Figure, panel: int = 0, style: str = "-") -> list[np.ndarray]:
    """Points f64[M, 2] of the lines that have any."""
    found = [line for line in figure.axes[panel].lines if line.get_linestyle() == style]
    return [line.get_xydata() for line in found if len(line.get_xdata()) > 1]


def band(figure: Figure, panel: int = 0, x: float = 100) -> tuple[float, float]:
    """Its lowest and highest point at an x."""
    corners = figure.axes[panel].collections[0].get_paths()[0].vertices
    y = corners[np.isclose(corners[:, 0], x), 1]
    return y.min(), y.max()


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def caption(figure: Figure) -> str:
    return figure.legends[0].get_title().get_text()


def test_a_run_is_a_line_over_steps_and_one_over_seconds(tmp_path: Path, draw: Draw):
    figure = draw(make_run(tmp_path / "a", [0.1, 0.5, 0.9], pace=7))
    (steps,), (seconds,) = lines(figure, 0), lines(figure, 1)
    assert steps.tolist() == [[100, 0.1], [200, 0.5], [300, 0.9]]
    assert seconds.tolist() == [[7, 0.1], [14, 0.5], [21, 0.9]]
    assert labels(figure) == ["FlipBit, hem"]
    assert caption(figure) == ""
    for panel in figure.axes:
        assert panel.get_ylim() == pytest.approx((0, 1), abs=0.03)
        assert panel.get_xlim()[0] == 0


def test_runs_that_differ_in_their_seed_are_averaged(tmp_path: Path, draw: Draw):
    runs = [make_run(tmp_path / f"{s}", [s / 10, 1], seed=s) for s in (0, 1, 5)]
    figure = draw(*runs)
    (mean,) = lines(figure)
    assert mean == pytest.approx(np.array([[100, 0.2], [200, 1]]))
    assert labels(figure) == ["FlipBit, hem (3 runs)"]
    assert "95% bootstrap" in caption(figure)
    assert "range" not in caption(figure)


def test_the_interval_is_that_of_the_mean(tmp_path: Path, draw: Draw):
    values = np.random.default_rng(0).uniform(0, 1, 30).round(3)
    runs = [make_run(tmp_path / f"{s}", [v, v], seed=s) for s, v in enumerate(values)]
    low, high = band(draw(*runs))
    error = 1.96 * values.std() / np.sqrt(30)  # what theory says, nearly
    assert low == pytest.approx(values.mean() - error, abs=0.02)
    assert high == pytest.approx(values.mean() + error, abs=0.02)


def test_two_seeds_have_their_range(tmp_path: Path, draw: Draw):
    runs = [make_run(tmp_path / f"{s}", [0.2 + 0.6 * s] * 2, seed=s) for s in range(2)]
    figure = draw(*runs)
    assert band(figure) == pytest.approx((0.2, 0.8))
    assert "range of 2 runs" in caption(figure)
    assert "bootstrap" not in caption(figure)


def test_a_run_is_interpolated_between_evaluations_and_held_after_the_last(
    tmp_path: Path, draw: Draw
):
    slow = make_run(tmp_path / "0", [0.0, 0.4], seed=0, pace=10)  # at 10 s and 20 s
    fast = make_run(tmp_path / "1", [0.2, 1.0], seed=1, pace=6)  # at 6 s and 12 s
    figure = draw(slow, fast)
    (mean,), (after,) = lines(figure, 1), lines(figure, 1, ":")
    # From where both have begun: there fast is two thirds of the way from 0.2 to 1.
    assert mean == pytest.approx(np.array([[10, (0.2 + 0.8 * 2 / 3) / 2], [12, (0.08 + 1) / 2]]))
    assert after == pytest.approx(np.array([[12, (0.08 + 1) / 2], [20, 0.7]]))  # fast has ended
    assert lines(figure, 0, ":") == []
    assert "dotted" in caption(figure)


def test_runs_that_do_not_overlap_in_time_are_no_problem(tmp_path: Path, draw: Draw):
    runs = [make_run(tmp_path / f"{s}", [0, s], seed=s, pace=10 ** (3 * s)) for s in range(2)]
    assert lines(draw(*runs), 1, ":")[0][-1].tolist() == [2000, 0.5]


def test_very_many_evaluations_are_thinned(tmp_path: Path, draw: Draw):
    runs = [make_run(tmp_path / f"{s}", [0.5] * 3000, seed=s) for s in range(3)]
    (mean,) = lines(draw(*runs))
    assert len(mean) <= 1000
    assert mean[-1].tolist() == [300_000, 0.5]


def test_one_evaluation_can_be_seen(tmp_path: Path, draw: Draw):
    (line, *_) = draw(make_run(tmp_path / "a", [0.5])).axes[0].lines
    assert line.get_marker() == "o"


def test_what_differs_is_in_the_label_and_nothing_else(tmp_path: Path, draw: Draw):
    make_run(tmp_path / "a", [0, 1], bits=25, horizon=9)
    make_run(tmp_path / "b", [0, 1], bits=50, horizon=9)
    make_run(tmp_path / "c", [0, 1], bits=50, horizon=9, algo="her")
    make_run(tmp_path / "d", [0, 1], env="FourRooms", slip=0.2)
    assert labels(draw(tmp_path)) == [
        "FlipBit, hem (bits 25)",
        "FlipBit, hem (bits 50)",
        "FlipBit, her (bits 50)",
        "FourRooms, hem",
    ]


def test_other_parts_of_the_configuration_are_compared_too(tmp_path: Path, draw: Draw):
    make_run(tmp_path / "a", [0, 1])
    folder = make_run(tmp_path / "b", [0, 1])
    config = json.loads((folder / "config.json").read_text())
    config["strategy"] = "final"
    config["algo_config"]["lr"] = 0.1
    (folder / "config.json").write_text(json.dumps(config))
    assert labels(draw(tmp_path)) == [
        "FlipBit, hem (lr 0.001, strategy future)",
        "FlipBit, hem (lr 0.1, strategy final)",
    ]


def test_what_has_no_strategy_is_not_told_apart_by_it(tmp_path: Path, draw: Draw):
    make_run(tmp_path / "a", [0, 1])
    folder = make_run(tmp_path / "b", [0, 1], algo="gcsl")
    config = json.loads((folder / "config.json").read_text())
    config |= {"strategy": None, "strategy_config": None}
    (folder / "config.json").write_text(json.dumps(config))
    assert labels(draw(tmp_path)) == ["FlipBit, hem", "FlipBit, gcsl"]


def test_two_algorithms_are_not_told_apart_by_settings_of_their_own(tmp_path: Path, draw: Draw):
    make_run(tmp_path / "a", [0, 1])
    folder = make_run(tmp_path / "b", [0, 1], algo="her")
    config = json.loads((folder / "config.json").read_text())
    config["algo_config"]["lr"] = 0.1
    (folder / "config.json").write_text(json.dumps(config))
    assert labels(draw(tmp_path)) == ["FlipBit, hem", "FlipBit, her"]


def test_a_setting_that_an_older_run_lacks_tells_them_apart(tmp_path: Path, draw: Draw):
    make_run(tmp_path / "a", [0, 1])
    make_run(tmp_path / "b", [0, 1], slip=0.1)
    assert labels(draw(tmp_path)) == ["FlipBit, hem", "FlipBit, hem (slip 0.1)"]


def test_offline_runs_are_drawn_against_updates(tmp_path: Path, draw: Draw):
    online, offline = make_run(tmp_path / "a", [0.5, 1.0]), make_run(tmp_path / "b", [0.5, 1.0])
    rows = [json.loads(line) for line in (offline / "metrics.jsonl").read_text().splitlines()]
    rows = [row | {"updates": 3 * row["env_steps"], "env_steps": 0} for row in rows]
    (offline / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    figure = draw(offline)
    assert figure.axes[0].get_xlabel() == "updates"
    np.testing.assert_allclose(lines(figure)[0], [[300, 0.5], [600, 1.0]])
    assert draw(online).axes[0].get_xlabel() == "environment steps"
    assert draw(online, offline).axes[0].get_xlabel() == "environment steps; offline, updates"


def test_curves_of_a_colour_differ_in_their_dashes(tmp_path: Path, draw: Draw):
    for i in range(10):
        make_run(tmp_path / f"{i}", [0, 1], bits=i)
    handles = draw(tmp_path).axes[0].get_legend_handles_labels()[0]
    assert len({(h.get_color(), h.get_linestyle()) for h in handles}) == 10


@pytest.mark.parametrize("depth", ["", "x/y"])
def test_a_folder_stands_for_the_runs_in_it(tmp_path: Path, draw: Draw, depth: str):
    for seed in range(3):
        make_run(tmp_path / "all" / depth / f"{seed}", [0, 1], seed)
    assert labels(draw(tmp_path / "all")) == ["FlipBit, hem (3 runs)"]


def test_a_run_named_twice_counts_once(tmp_path: Path, draw: Draw):
    run = make_run(tmp_path / "all" / "a", [0, 1])
    assert labels(draw(run, tmp_path / "all", tmp_path / "all" / ".." / "all" / "a")) == [
        "FlipBit, hem"
    ]


def test_what_a_crash_leaves_is_ignored(tmp_path: Path, draw: Draw):
    run = make_run(tmp_path / "a", [0.1, 0.2])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"env_steps": 300, "wall_s": 30, "eval/succ')
    assert lines(draw(run))[0].tolist() == [[100, 0.1], [200, 0.2]]


def test_evaluations_that_are_not_numbers_are_left_out(tmp_path: Path, draw: Draw):
    assert len(lines(draw(make_run(tmp_path / "a", [0.1, None, 0.2])))[0]) == 2


def test_runs_without_a_configuration_are_a_line_each(tmp_path: Path, draw: Draw):
    for name in "ab":
        (make_run(tmp_path / name, [0, 1]) / "config.json").unlink()
    assert len(labels(draw(tmp_path))) == 2


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.SVG", b"<?xml")]
)
def test_the_format_follows_the_suffix(tmp_path: Path, name: str, start: bytes):
    run = make_run(tmp_path / "run", [0, 1])
    plot.curves([run], tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "run"])


def test_the_picture_has_something_in_it(tmp_path: Path):
    plot.curves([make_run(tmp_path / "run", [0, 1])], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
        blue = np.abs(np.asarray(image.convert("RGB")).astype(int) - (0x26, 0x61, 0xA5)).max(-1) < 9
    assert blue.sum() > 500


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def without(folder: Path, name: str, text: str | None = None) -> Path:
    """A run where a file is missing, or has another text."""
    file = make_run(folder, [0, 1]) / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda path: path, "give a run folder"),
        (empty, "is not a run folder"),
        (lambda path: without(path, "metrics.jsonl"), "no evaluation yet"),
        (lambda path: without(path, "metrics.jsonl", ""), "no evaluation yet"),
        (lambda path: without(path, "metrics.jsonl", '{"eval/success_rate": 1}'), "leave it out"),
        (lambda path: without(path, "metrics.jsonl", "17"), "leave it out"),
        (lambda path: without(path, "config.json", '{"env": "Fl'), "leave it out"),
        (lambda path: without(path, "config.json", "[1]"), "leave it out"),
        (lambda path: make_run(path, []), "no evaluation yet"),
    ],
)
def test_what_is_no_run_is_named_in_one_line(tmp_path: Path, make: Callable, advice: str):
    path = make(tmp_path / "it")
    with pytest.raises(UserError, match=advice) as caught:
        plot.curves([make_run(tmp_path / "good", [0, 1]), path], tmp_path / "a.png")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.png").exists()


def test_no_runs_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no runs: give one"):
        plot.curves([], tmp_path / "a.png")


@pytest.mark.parametrize(
    ("name", "complaint"), [("a.jpg", r"\.png, \.pdf, \.svg"), ("absent/a.png", "no folder")]
)
def test_a_picture_that_cannot_be_is_refused(tmp_path: Path, name: str, complaint: str):
    with pytest.raises(UserError, match=complaint):
        plot.curves([make_run(tmp_path / "run", [0, 1])], tmp_path / name)


def test_a_disk_that_refuses_is_one_line_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(figure: Figure, side: Path, **_: Any) -> None:
        side.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    out = tmp_path / "a.png"
    out.write_text("old")
    with pytest.raises(UserError, match=r"cannot write .*a\.png: No space left on device$"):
        plot.curves([make_run(tmp_path / "run", [0, 1])], out)
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "run"]


def test_importing_it_is_cheap():
    script = "import sys, hem.viz.plot; print({'matplotlib', 'scipy', 'jax'} & set(sys.modules))"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
