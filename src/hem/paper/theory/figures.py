"""A figure for each of the paper's claims, drawn without a display."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hem.paper.theory import bandit, bound, coverage
from hem.paper.theory.statements import INTERVAL, ROUNDS, SAMPLES, SIZES, random_policy
from hem.system.atomic_io import named_errors, write_atomically
from hem.viz.plot import COLORS, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREEN, GREY = (COLORS[i] for i in (0, 1, 2, 7))
EPISODES = 100_000  # Monte Carlo episodes per policy
BUFFERS = 200  # Monte Carlo buffers per buffer size


def draw(folder: Path, seed: int, names: Sequence[str] | None = None) -> Iterator[Path]:
    """Draw figures, by default all, into an existing folder; yield each file once it is written.

    Raises:
        UserError: a file cannot be written.
    """
    from matplotlib import style  # noqa: PLC0415  takes half a second, needed only for drawing
    from matplotlib.figure import Figure  # noqa: PLC0415

    for name in PICTURES if names is None else names:
        with style.context(["default", STYLE]):
            figure = Figure(figsize=(6.4, 4), layout="constrained")
            PICTURES[name](figure.subplots(), np.random.default_rng(seed))
            out = folder / f"{name}.png"
            with named_errors(out):
                write_atomically(out, lambda side, f=figure: f.savefig(side, dpi=160))
        yield out


def _proposition_1(axes: Axes, rng: np.random.Generator) -> None:
    """Both sides along a line from one policy to another."""
    ends, every = (random_policy(rng), random_policy(rng)), bound.pairs()
    share = np.linspace(0, 1, 21)
    line = [(1 - x) * ends[0] + x * ends[1] for x in share]
    log_p = [np.log(bound.evidence(pi, every)) for pi in line]
    axes.plot(share, log_p, color=BLUE, label="log p(O = 1), enumerated")
    sampled = np.array([bound.sampled_objective(pi, EPISODES, rng) for pi in line])
    error = INTERVAL * sampled[:, 1] / sampled[:, 0]
    axes.errorbar(share, np.log(sampled[:, 0]), error, fmt="o", ms=3, color=RED,
                  label=f"log J, {EPISODES:,} episodes, {INTERVAL} standard errors")  # fmt: skip
    axes.set(title="Proposition 1: log p(O = 1) is log J minus a constant",
             xlabel="interpolation between two policies", ylabel="log probability")  # fmt: skip
    axes.legend(loc="lower right")


def _theorem_1(axes: Axes, rng: np.random.Generator) -> None:
    _errors(axes, rng, {"REINFORCE": (bandit.reinforce, lambda k: k * k - 1, "k² - 1", RED)})
    axes.set_title("Theorem 1: without hindsight, the gradient's error grows as k²")


def _theorem_2(axes: Axes, rng: np.random.Generator) -> None:
    _errors(
        axes,
        rng,
        {
            "REINFORCE": (bandit.reinforce, lambda k: k * k - 1, "k² - 1", RED),
            "hindsight": (bandit.hindsight, lambda k: k - 1, "k - 1", BLUE),
        },
    )
    axes.set_title("Theorem 2: with hindsight, it grows as k, smaller by a factor of k + 1")


def _errors(axes: Axes, rng: np.random.Generator, estimators: dict[str, tuple]) -> None:
    fine = np.geomspace(SIZES[0], SIZES[-1], 100)
    zeros = [np.zeros((k, k)) for k in SIZES]
    labels = ("enumerated", f"Monte Carlo, {INTERVAL} standard errors")
    for name, (outcomes, formula, written, color) in estimators.items():
        axes.plot(fine, formula(fine), color=color, label=f"{name}: {written}")
        exact = [bandit.relative_error(bandit.moments(outcomes, z))[0, 0] for z in zeros]
        axes.plot(SIZES, exact, "o", color=color, mfc="white", ms=8, label=labels[0])
        drawn = np.array([bandit.sampled_error(outcomes, z, SAMPLES, rng) for z in zeros])
        error = INTERVAL * drawn[:, 1]
        axes.errorbar(SIZES, drawn[:, 0], error, fmt=".", color=color, label=labels[1])
        labels = ("", "")  # label only once
    axes.set(xscale="log", yscale="log", xlabel="actions and goals k")
    axes.set_ylabel("mean squared error / squared gradient")
    axes.set_xticks(SIZES, [str(k) for k in SIZES])
    axes.minorticks_off()
    axes.legend()


def _control_variate(axes: Axes, rng: np.random.Generator) -> None:
    def errors(k: int) -> tuple[float, float, float, float]:
        m = bandit.moments(bandit.reinforce, np.zeros((k, k)))
        controlled = bandit.relative_error_with_control(m)
        baseline = bandit.relative_error_with_baseline(m)
        return bandit.relative_error(m)[0, 0], controlled[0, 0], controlled[0, 1], baseline

    values = np.array([errors(k) for k in SIZES])
    names = ("none", "one per logit, a = g", "one per logit, a ≠ g", "one for all logits")
    for name, column, color, mark in zip(names, values.T, (RED, BLUE, GREEN, GREY), "osD^",
                                          strict=True):  # fmt: skip
        axes.plot(SIZES, column, mark + "-", color=color, label=name, mfc="white")
    axes.set(xscale="log", yscale="log", xlabel="actions and goals k",
             ylabel="mean squared error / squared gradient",
             title="A control variate helps only k of the k² logits")  # fmt: skip
    axes.set_xticks(SIZES, [str(k) for k in SIZES])
    axes.minorticks_off()
    axes.legend(title="control variate (REINFORCE, enumerated)")


def _theorem_3(axes: Axes, rng: np.random.Generator) -> None:
    k, episodes = 10, np.arange(0, 41, 2)
    mean = [float(coverage.expected(int(n), k)) for n in episodes]
    seen = [1 - (1 - 1 / k) ** n for n in episodes]
    drawn = np.array([coverage.sampled(int(n), k, BUFFERS, rng) for n in episodes])
    axes.plot(episodes, mean, color=BLUE, label="mean J after the M-step")
    axes.errorbar(episodes, drawn[:, 0], INTERVAL * drawn[:, 1], fmt=".", color=BLUE,
                  label=f"Monte Carlo, {INTERVAL} standard errors")  # fmt: skip
    axes.plot(episodes, seen, "--", color=GREY, label="bound: goals seen / goals")
    axes.set(title="Theorem 3: goals seen in hindsight are solved (one step, k = 10)",
             xlabel="episodes in the replay buffer", ylabel="success", ylim=(0, 1.02))  # fmt: skip
    axes.legend(loc="lower right")


def _detour(axes: Axes, rng: np.random.Generator) -> None:
    steps = np.arange(1, 10)
    success = [float(coverage.detour(int(n))) for n in steps]
    axes.step(steps, success, where="post", color=RED, label="after the M-step on both paths")
    axes.axhline(1, color=BLUE, label="Theorem 3; short path alone; greedy")
    axes.set(title="Where Theorem 3 fails: averaging a short path and a detour",
             xlabel="steps allowed", ylabel="success", ylim=(0, 1.05))  # fmt: skip
    axes.legend(loc="lower right")


def _lower_bound(axes: Axes, rng: np.random.Generator) -> None:
    for name, e_step, color in (
        ("exact", bound.posterior, BLUE),
        ("hindsight", bound.in_hindsight, RED),
    ):
        rounds = bound.maximize(bound.uniform(), ROUNDS, e_step)
        halves = np.arange(2 * ROUNDS) / 2 + 0.5
        steps = [x for r in rounds for x in (r.after_e, r.after_m)]
        axes.plot(halves, steps, ".-", color=color, label=f"L, {name} E-step")
        log_j = [np.log(r.objective) for r in rounds]
        axes.plot(range(ROUNDS), log_j, "--", color=color, label="log J")
    axes.set(title="Eq. 5 and 8: exact E-steps raise the bound, hindsight need not",
             xlabel="iteration (E-steps at halves, M-steps at integers)",
             ylabel="log probability")  # fmt: skip
    axes.legend(ncols=2)


PICTURES: dict[str, Callable[..., None]] = {
    "proposition-1": _proposition_1,
    "theorem-1": _theorem_1,
    "control-variate": _control_variate,
    "theorem-2": _theorem_2,
    "theorem-3": _theorem_3,
    "theorem-3-detour": _detour,
    "lower-bound": _lower_bound,
}
