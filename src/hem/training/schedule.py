"""How long a run trains, what has been done so far, and when it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from hem.errors import require
from hem.system import validation
from hem.system.conversion import newer
from hem.system.parsing import Count, Seconds

UPDATES = 100_000  # of a run that learns offline, by default


@dataclass(frozen=True)
class RunConfig:
    """The training loop, for any algorithm and environment."""

    seed: int = 0
    """Seed of all randomness in the run."""
    env_steps: int = 200_000
    """Stop after this many environment steps."""
    episodes_per_iteration: int = 16
    """Episodes collected per iteration, all at once (the paper's N)."""
    updates_per_iteration: int = 100
    """Updates per iteration: M-steps, and with a critic those of both."""
    buffer_episodes: int = 2_000
    """Capacity of the replay buffer, in episodes."""
    eval_interval: int = 20_000
    """Environment steps between evaluations; each one also saves a checkpoint."""
    eval_episodes: int = 100
    """Episodes per evaluation, without exploration."""
    eval_fixed: bool = False
    """Evaluate on the same episodes every time, instead of on new ones."""
    workers: int = 1
    """Processes or devices that share the run. Episodes, batches and the replay buffer are those of
    all workers together; each has an equal share."""
    average_interval: int = 1
    """With several workers: updates between averagings. 1 averages gradients; more averages
    parameters, with less communication."""
    demos: str | None = newer(None)
    """Minari dataset whose episodes are in the replay buffer from the beginning, and stay there: a
    local name such as push/demo-v0, or its folder."""
    offline: str | None = newer(None)
    """Minari dataset to learn from alone: no episodes are collected but for evaluation. Then
    --updates replaces --env-steps, and --eval-interval counts updates."""
    updates: int | None = newer(None)
    """With --offline: stop after this many updates; by default 100,000."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed must be in [0, 2^32), not {self.seed}")
        validation.at_least(1, self, "env_steps", "eval_interval")
        validation.sizes(self, "episodes_per_iteration", "updates_per_iteration", "eval_episodes")
        validation.sizes(self, "workers", "average_interval")
        validation.shared(self.workers, self, "episodes_per_iteration")
        require(
            self.buffer_episodes >= self.episodes_per_iteration,
            f"buffer-episodes ({self.buffer_episodes}) must not be less than "
            f"episodes-per-iteration ({self.episodes_per_iteration}): the replay buffer must hold "
            "what an iteration collects",
        )
        require(
            self.demos is None or self.offline is None,
            "give --demos or --offline, not both: only with --demos are episodes collected",
        )
        if self.offline is None:
            validation.unused("without --offline", self, "updates")
        if self.updates is not None:
            validation.at_least(1, self, "updates")

    @property
    def unit(self) -> str:
        """What the budget and the interval of evaluations count."""
        return "environment steps" if self.offline is None else "updates"

    @property
    def budget_name(self) -> str:
        """The flag of the budget."""
        return "env-steps" if self.offline is None else "updates"

    @property
    def budget(self) -> int:
        """How many of them there will be."""
        if self.offline is None:
            return self.env_steps
        return UPDATES if self.updates is None else self.updates

    def progress(self, counters: Counters) -> int:
        """How many of them there have been."""
        return counters.env_steps if self.offline is None else counters.updates


@dataclass(frozen=True)
class Counters:
    """Progress so far; kept on the host, where integers do not overflow."""

    iteration: Count = 0
    env_steps: Count = 0
    episodes: Count = 0
    updates: Count = 0
    wall_s: Seconds = 0.0
    collect_s: Seconds = 0.0
    train_s: Seconds = 0.0
    eval_s: Seconds = 0.0
    evaluated: Count = 0  # progress at the last evaluation
    best: float = -1.0  # evaluation success


def is_due(counters: Counters, config: RunConfig) -> bool:
    """Whether an evaluation is due next."""
    done, now, interval = counters.evaluated, config.progress(counters), config.eval_interval
    return now // interval > done // interval or done < now >= config.budget
