"""The whole bound of Eq. 5 while hEM learns, and success beside it, where all is enumerated.

Exact expectation maximization on a table, and hEM itself, with its network, its replay buffer and
its E-step, on FlipBit with 3 bits. What it computes is stored; then it draws the figure of
docs/theory.md:

    python -m experiments.lower_bound     # half a minute
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import jax
import numpy as np

from experiments.curves import RESULTS
from hem.paper.theory import bound, problems
from hem.paper.theory.gap import Bounded, Path, maximize, measured, of_replay
from hem.paper.theory.gap_figure import bound_and_success
from hem.paper.theory.problems import Problem
from hem.runs.experiment import make_experiment
from hem.system.atomic_io import write_atomically, write_text
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Algorithm, Replay

BITS, ROUNDS, DISCOUNT = 3, 8, 0.95
SETTINGS = {
    "bits": BITS,
    "strategy": "geometric",
    "distance_discount": DISCOUNT,
    "random_eps": 0.3,
    "relative_goals": False,
    "hidden_dims": (64, 64),
    "episodes_per_iteration": 10,
    "updates_per_iteration": 20,
    "buffer_episodes": 400,
    "env_steps": 1_000,
    "eval_interval": 10**6,
}
STORE = RESULTS / "bound" / "flip-bit-3.json"
FIGURE = File(__file__).parents[1] / "docs" / "img" / "bound-and-success.png"
E_STEPS = {"exact E-step": bound.posterior, "hindsight E-step": bound.in_hindsight}


def trained(seed: int, problem: Problem, **changed: Any) -> Iterator[Bounded]:
    """hEM on FlipBit: its policy and the q of its replay buffer, after each iteration."""
    experiment = make_experiment("FlipBit", "hem", seed=seed, **SETTINGS | changed)
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, seed, experiment.run.buffer_episodes)
    for step in iterations(env, algorithm, experiment.run, state, Counters()):
        pi = table(algorithm, step.state.agent_state.policy)
        q = of_replay(problem, paths(step.state.replay), DISCOUNT)
        yield measured(problem, pi, q, step.counters.iteration)


def table(algorithm: Algorithm, policy: Any) -> np.ndarray:
    """pi f64[action, state, goal], in every state and for every goal."""
    bits = (np.arange(1 << BITS)[:, None] >> np.arange(BITS) & 1).astype(np.int8)
    grid = np.indices((BITS, len(bits), len(bits))).reshape(3, -1)
    log_pi = jax.jit(algorithm.policy.log_prob)(
        policy, bits[grid[1]], bits[grid[2]], grid[0].astype(np.int32)
    )
    pi = np.exp(np.asarray(log_pi, np.float64)).reshape(BITS, len(bits), len(bits))
    return pi / pi.sum(0)  # from float32


def paths(replay: Replay) -> Iterator[Path]:
    """The stored episodes, a state being the number that its bits make."""
    data, size = jax.tree.map(np.asarray, replay.data), int(replay.size)
    numbers = data.obs[:size] @ (1 << np.arange(BITS))
    for states, actions, steps in zip(numbers, data.action, data.length[:size], strict=False):
        yield Path(states[: steps + 1].tolist(), actions[:steps].tolist())


def histories(stored: list[list[float]]) -> dict[str, dict[str, list[Bounded]]]:
    """Exact EM on three problems, computed, and hEM on the last, as stored."""
    made = [problems.bandit(10), problems.corridor(), problems.flip_bit(BITS)]
    found = {p.name: {e: maximize(p, E_STEPS[e], ROUNDS) for e in E_STEPS} for p in made}
    return found | {f"hEM, {made[-1].name}": {"hEM": [Bounded(*row) for row in stored]}}


def main() -> None:
    """Train and store what is missing, and draw."""
    if not STORE.exists():
        STORE.parent.mkdir(exist_ok=True)
        rows = list(trained(0, problems.flip_bit(BITS)))
        write_text(STORE, json.dumps({"settings": SETTINGS, "seed": 0, "rows": rows}) + "\n")
    figure = bound_and_success(histories(json.loads(STORE.read_text())["rows"]))
    write_atomically(FIGURE, lambda side: figure.savefig(side, format="png", dpi=80))


if __name__ == "__main__":
    main()
