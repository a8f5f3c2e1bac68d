"""How long a run goes on, what has been done of it, and when it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

from hem.errors import require
from hem.system import validation
from hem.system.parsing import Count, Seconds


@dataclass(frozen=True)
class RunConfig:
    """The loop around any algorithm in any environment."""

    seed: int = 0
    """Everything random in the run follows from it."""
    env_steps: int = 200_000
    """Stop after this many environment steps."""
    episodes: int = 16
    """Episodes collected in an iteration, all at once (the paper's N)."""
    updates: int = 100
    """M-step updates in an iteration."""
    capacity: int = 2_000
    """Episodes that the replay holds."""
    eval_interval: int = 20_000
    """Environment steps between evaluations; each one also saves a checkpoint."""
    eval_episodes: int = 100
    """Greedy episodes in an evaluation."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed must be in [0, 2^32), not {self.seed}")
        validation.at_least(1, self, "env_steps", "eval_interval")
        validation.sizes(self, "episodes", "updates", "eval_episodes")
        require(
            self.capacity >= self.episodes,
            f"capacity ({self.capacity}) must not be less than episodes ({self.episodes}): the "
            "replay has to hold what an iteration collects",
        )


@dataclass(frozen=True)
class Counters:
    """What has been done so far; kept on the host, where integers do not overflow."""

    iteration: Count = 0
    env_steps: Count = 0
    episodes: Count = 0
    updates: Count = 0
    wall_s: Seconds = 0.0
    collect_s: Seconds = 0.0
    train_s: Seconds = 0.0
    eval_s: Seconds = 0.0
    evaluated: Count = 0  # env_steps at the last evaluation
    best: float = -1.0  # evaluation success


def is_due(counters: Counters, config: RunConfig) -> bool:
    """Whether the next thing to do is to evaluate."""
    done, now, interval = counters.evaluated, counters.env_steps, config.eval_interval
    return now // interval > done // interval or done < now >= config.env_steps
