"""The hybrid of hEM and HER (Tang & Kucukelbir 2021, sections 4.4 and C.5).

HER with hEM's M-step as an auxiliary loss on relabeled goals: the policy maximizes
Q(s, pi(s, g), g) + eta log pi(a | s, g). Data are collected as in HER. With discrete actions, the
policy in the likelihood is the softmax of the Q-values.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from hem.algorithms import her
from hem.models.policy import Policy, PolicyState
from hem.system import validation
from hem.types import Algorithm, Batch, Strategy, Task

NAME = "hem-her"


@dataclass(frozen=True)
class Config(her.Config):
    eta: float = 0.1
    """Weight of hEM's log-likelihood, a mean over the whole batch: rows with a desired goal, and
    those that the filter excludes, count as 0. With eta 0 this is HER."""
    q_filter: bool = False
    """Imitate only actions that the critic values higher than the policy's action (with discrete
    actions: higher than the mean under its softmax)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        validation.at_least(0, self, "eta")
        if not self.eta:
            validation.unused("with --eta 0", self, "q_filter")
        if not self.relabel_ratio:
            validation.unused("with --relabel-ratio 0", self, "eta", "q_filter")


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """The hybrid for ``task``, with goals relabeled by ``strategy``."""

    def imitation_loss(
        policy: Policy, candidate: PolicyState, batch: Batch, advantage: jax.Array
    ) -> jax.Array:
        log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
        # Exclude desired goals and failed steps, not those that are followed by a failure.
        failed = batch.failed & (batch.duration == 1)
        counts = batch.weight * (batch.steps_to_goal > 0) * ~failed
        if config.q_filter:
            counts *= advantage > 0
        return -config.eta * jnp.mean(counts * log_prob)

    return her.learner(config, task, strategy, imitation_loss if config.eta else None)
