"""Hindsight Experience Replay (Andrychowicz et al. 2017): off-policy learning on relabeled goals.

DDPG with continuous actions, DQN with discrete ones. Four in five goals are relabeled (k = 4).
Rewards and terminations are recomputed for the relabeled goals, and targets do not bootstrap past
a termination. With ``--relabel-ratio 0`` it is plain DDPG or DQN.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax

from hem.errors import require
from hem.learners import critic as critics
from hem.learners import ddpg, dqn
from hem.learners.critic import AuxiliaryLoss, RewardScheme, TargetClip
from hem.models.networks import Encoder
from hem.replay import estep
from hem.system import validation
from hem.system.conversion import newer
from hem.types import Algorithm, Batch, Discrete, Replay, Strategy, Task

NAME = "her"
MOST_CRITICS = 100  # each is compiled, so thousands would take hours
DDPG_ONLY = (
    "action_penalty",
    "action_noise",
    "ent_coef",
    "n_critics",
    "critic_layer_norm",
    "policy_delay",
)


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (256, 256, 256)
    """Hidden layer sizes of actor and critic."""
    relative_goals: bool = newer(False)
    """Show actor and critic the goal minus the achieved goal as well."""
    encoder: Encoder = newer("cnn")
    """Features of images: all values of the last maps (cnn), or the place that each map points at
    (spatial-softmax)."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 256
    """Transitions per update."""
    relabel_ratio: float = 0.8
    """Fraction of goals that are relabeled; the others remain the desired goals."""
    skip_achieved: bool = newer(False)
    """Do not learn from steps at which the relabeled goal is achieved already, as long as success
    is rare. For objects, which most actions do not move."""
    reward_scheme: RewardScheme = "-1/0"
    """Reward of a step that does not reach the goal / that does. Write --reward-scheme=-1/0."""
    target_clip: TargetClip = "range"
    """Clip targets to the range of returns (range), to the range of -1/0 returns whatever the
    reward, as openai/baselines does (baselines), or not at all (none)."""
    gamma: float | None = None
    """Discount factor; by default 1 - 1/horizon."""
    polyak: float = 0.995
    """Weight of the old target parameters in each Polyak update."""
    n_critics: int = newer(1)
    """Continuous actions: critics. Targets take the lower value of a random pair, the actor
    maximizes the mean of all."""
    critic_layer_norm: bool = newer(False)
    """Continuous actions: layer normalization in the critics."""
    n_steps: int = newer(1)
    """Steps of the episode before a target bootstraps."""
    policy_delay: int = newer(1)
    """Continuous actions: updates of the critics per update of the actor."""
    action_penalty: float = 1.0
    """Continuous actions: weight of their mean square, in units of half the action range."""
    action_noise: float = 0.2
    """Continuous actions: standard deviation of the exploration noise, in units of half the action
    range."""
    ent_coef: float = newer(0.0)
    """Continuous actions: weight of the entropy of a Gaussian policy, which has one standard
    deviation per dimension. The actor maximizes the value of its samples, and data are collected
    with them, in place of the action noise. Half the action range is as much as is rewarded."""
    random_eps: float = 0.3
    """Probability of a uniformly random action during data collection."""
    double_q: bool = False
    """Discrete actions: double Q-learning (van Hasselt et al. 2016)."""

    @property
    def uses_strategy(self) -> bool:
        return self.relabel_ratio > 0

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.sizes(self, "batch_size", "n_critics", "n_steps", "policy_delay")
        validation.at_least(0, self, "action_noise", "action_penalty", "ent_coef")
        if self.ent_coef:
            validation.unused("with --ent-coef", self, "action_noise")
        if not self.relabel_ratio:
            validation.unused("with --relabel-ratio 0", self, "skip_achieved")
        validation.fractions(self, "relabel_ratio", "polyak", "random_eps")
        require(
            self.n_critics <= MOST_CRITICS,
            f"n-critics must be at most {MOST_CRITICS}, not {self.n_critics}",
        )
        critics.check(self)


def make(config: Config, task: Task, strategy: Strategy) -> Algorithm:
    """HER for ``task``, with goals relabeled by ``strategy``."""
    return learner(config, task, strategy, None)


def learner(
    config: Config, task: Task, strategy: Strategy, auxiliary: AuxiliaryLoss | None
) -> Algorithm:
    """HER, with ``auxiliary`` added to the policy loss."""
    returns = critics.returns_of(task, config.reward_scheme, config.target_clip, config.gamma)
    if isinstance(task.action, Discrete):
        validation.unused("with discrete actions", config, *DDPG_ONLY)
        made = dqn.make(task, config, returns, auxiliary)
    else:
        validation.unused("with continuous actions", config, "double_q")
        made = ddpg.make(task, config, returns, auxiliary)

    def e_step(key: jax.Array, state: object, replay: Replay) -> Batch:
        return estep.mixture(
            key,
            replay,
            task,
            strategy,
            config.batch_size,
            config.relabel_ratio,
            returns.gamma,
            config.skip_achieved,
            min(config.n_steps, task.horizon),
        )

    return Algorithm(**made._asdict(), e_step=e_step)
