"""Hindsight policy gradients (Rauber et al. 2017), per-decision, with weighted importance ratios.

An episode collected for goal g also provides a gradient for every goal g' that it visited: the
estimate for g' is sum_t grad log pi(a_t | s_t, g') sum_{t' >= t} w_t' r(s_t', a_t', g'), summed
over the visited goals (Theorem 4.2; goals are assumed uniform, so their distribution is a constant
factor). w_t' corrects for the actions having been chosen for another goal: it is the likelihood
ratio of the actions up to t', prod_{u <= t'} pi(a_u | s_u, g') / pi(a_u | s_u, g), divided by the
sum of these ratios over all episodes of the batch that last until t' (section 6), or, unweighted,
by the number of episodes in the batch. The former is biased, but consistent if all episodes have
the same length; the latter is unbiased, but has a higher variance.

As in the authors' code: a tanh network, no baseline, no discount, and only episodes of the latest
iteration, collected with samples of the policy itself. The authors make one update per iteration,
which is the default; the ratios here are relative to the behavior policy, so more are possible.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.nn import logsumexp

from hem.learners.optimization import minimize
from hem.models import policy as policies
from hem.models.distributions import ITSELF
from hem.models.networks import Encoder
from hem.models.policy import Policy, PolicyParams, PolicyState
from hem.replay import buffer as ring
from hem.replay import estep
from hem.system import collectives, validation
from hem.system.conversion import newer
from hem.types import Algorithm, Array, Batch, Episodes, Index, Metrics, Replay, Strategy, Task

NAME = "hpg"


@dataclass(frozen=True)
class Config:
    hidden_dims: tuple[int, ...] = (256, 256)
    """Hidden layer sizes of the policy network, with tanh activations."""
    relative_goals: bool = newer(False)
    """Show the policy the goal minus the achieved goal as well."""
    encoder: Encoder = newer("cnn")
    """Features of images: all values of the last maps (cnn), or the place that each map points at
    (spatial-softmax)."""
    learning_rate: float = 5e-4
    """Learning rate of Adam."""
    batch_episodes: int = 16
    """Maximum episodes per update: the last ones collected in the latest iteration."""
    subgoals: int = 0
    """Goals per episode, sampled from those it visited; 0 means all of them."""
    weighted: bool = True
    """Divide ratios by their sum over the episodes, not by the number of episodes."""
    reward_scheme: Literal["steps-left", "one"] = "steps-left"
    """Reward of a success that ends the episode: the number of steps left, including this one, as
    in the authors' tasks and as if the agent stayed at the goal; or one. Any other success is
    rewarded with one."""

    uses_strategy = False  # whatever the settings
    on_policy = True  # it learns from the latest episodes only

    def __post_init__(self) -> None:
        validation.layers(self, "hidden_dims")
        validation.positive(self, "learning_rate")
        validation.sizes(self, "batch_episodes")
        validation.at_least(0, self, "subgoals")
        validation.one_of(("steps-left", "one"), self, "reward_scheme")


class HpgState(NamedTuple):
    """The learned state, and the episodes that it may be updated with."""

    policy: PolicyState
    opt_state: optax.OptState
    behavior: PolicyState  # the policy that collected the latest episodes
    fresh: Array  # i32  the number of these episodes, excluding lost ones


def visited(
    key: jax.Array, achieved: Array, length: Array, most: int
) -> tuple[jax.Array, jax.Array]:
    """Times k i32[N, S], k >= 1, at which goals were first achieved, and bool[N, S], which count.

    Args:
        key: consumed.
        achieved: [N, T+1, *G].
        length: i32[N].
        most: S, the number of goals to sample; 0 for all, S = T.
    """
    n, horizon = achieved.shape[0], achieved.shape[1] - 1
    goal = achieved[:, 1:].reshape(n, horizon, -1)
    same = jnp.all(goal[:, :, None] == goal[:, None], axis=-1)
    before = jnp.arange(horizon)[:, None] > jnp.arange(horizon)
    new = ~jnp.any(same & before, axis=-1) & (jnp.arange(horizon) < length[:, None])
    if most == 0:
        return jnp.broadcast_to(jnp.arange(1, horizon + 1), new.shape), new
    score = jnp.where(new, jax.random.uniform(key, new.shape), -1.0)
    drawn = jnp.argsort(-score, axis=1)[:, :most]
    return 1 + drawn, jnp.take_along_axis(new, drawn, axis=1)


def rewards(by_goal: Batch, steps_left: bool) -> jax.Array:
    """r(s_t, a_t, g') f32[N, S, T]; 0 after the episode has ended for that goal."""
    going = jnp.cumprod(by_goal.discount, axis=-1)
    going = jnp.pad(going[..., :-1], ((0, 0), (0, 0), (1, 0)), constant_values=1.0)
    horizon = going.shape[-1]
    left = jnp.where(by_goal.discount == 0, horizon - jnp.arange(horizon), 1)
    return going * by_goal.reward * (left if steps_left else 1)


def log_ratios(
    policy: Policy, state: HpgState, by_goal: Batch, desired: Array, length: Array
) -> jax.Array:
    """Log importance ratios of all episodes' actions up to each step, for each visited goal.

    Args:
        policy: the policy's functions.
        state: of the policy that learns, and of the behavior policy.
        by_goal: [N, S, T, ...], N episodes with S goals each.
        desired: [N, *goal input], the goals they were collected for.
        length: i32[N].

    Returns:
        f32[N, S, M, T] of log prod_{u <= t} pi(a_u | s_u, g') / pi(a_u | s_u, g). The axes are the
        episode that visited the goal, the goal, the episode whose actions they are, of the M of
        all workers, and t. Past the end of that episode: -infinity.
    """
    (n, goals), horizon = by_goal.goal.shape[:2], by_goal.goal.shape[2]
    own = by_goal.obs[:, 0], by_goal.action[:, 0], desired, length
    seen, done, wanted, lengths = collectives.gathered(own)
    obs, action = (x.reshape(-1, *x.shape[2:]) for x in (seen, done))
    m, taken = len(lengths), jnp.arange(horizon) < lengths[:, None]

    def up_to(who: PolicyState, goal: Array) -> jax.Array:
        goal_input = jnp.repeat(goal, horizon, axis=0, total_repeat_length=m * horizon)
        each = policy.log_prob(who, obs, goal_input, action).reshape(m, horizon)
        return jnp.cumsum(jnp.where(taken, each, 0.0), axis=1)

    acted = up_to(state.behavior, wanted)

    def ratio(goal: jax.Array) -> jax.Array:
        every = jnp.broadcast_to(goal, (m, *goal.shape))
        return jnp.where(taken, up_to(state.policy, every) - acted, -jnp.inf)

    flat = by_goal.goal[:, :, 0].reshape(n * goals, *by_goal.goal.shape[3:])
    found = jax.lax.map(ratio, flat, batch_size=goals)  # all at once would not fit in memory
    return found.reshape(n, goals, m, horizon)


def make(config: Config, task: Task, strategy: Strategy | None) -> Algorithm:
    """HPG for ``task``; its goals are the visited ones, so ``strategy`` is not used."""
    if not task.terminates_on_success:
        validation.unused("with --no-terminates-on-success", config, "reward_scheme")
    spec = policies.spec_of(
        task, config.hidden_dims, "censored", config.relative_goals, config.encoder
    )
    spec = dataclasses.replace(spec, activation="tanh")
    policy = policies.make(spec)
    adam = optax.adam(config.learning_rate)

    def init(key: jax.Array) -> HpgState:
        state = policy.init(key)
        behavior = jax.tree.map(jnp.copy, state)
        return HpgState(state, adam.init(state.params), behavior, jnp.int32(0))

    def act(keys: jax.Array, state: HpgState, obs: Array, goal: Array, explore: bool) -> jax.Array:
        if explore:
            return policy.explore(keys, state.policy, obs, goal, ITSELF)
        return policy.greedy(state.policy, obs, goal)

    def observe(state: HpgState, episodes: Episodes) -> HpgState:
        seen = policy.observe(state.policy, episodes)
        fresh = jnp.sum(jnp.asarray(episodes.length) > 0, dtype=jnp.int32)
        return state._replace(policy=seen, behavior=state.policy, fresh=fresh)

    def e_step(key: jax.Array, state: HpgState, replay: Replay) -> Batch:
        """Rows [N * S * T]: N episodes, S visited goals of each, T steps."""
        n, horizon = min(config.batch_episodes, replay.data.length.shape[0]), task.horizon
        slots, length = ring.fresh(replay, state.fresh, n)
        k, differs = visited(key, replay.data.achieved[slots], length, config.subgoals)

        shape = (n, k.shape[1], horizon)
        rows = (slots[:, None, None], k[:, :, None], jnp.arange(horizon))
        slot, goal_step, t = (jnp.broadcast_to(x, shape).reshape(-1) for x in rows)
        index = Index(slot, t)
        goal = estep.achieved_goal(replay, index, goal_step)
        batch = estep.transitions(replay, task, index, goal, goal_step)
        by_goal = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), batch)
        counts = differs[:, :, None] & (jnp.arange(horizon) < length[:, None, None])

        # A failed step gets no reward, whatever it reached.
        reward = rewards(by_goal, config.reward_scheme == "steps-left") * ~by_goal.failed
        desired = estep.desired_goal(replay, slots).goal_input
        log_ratio = log_ratios(policy, state, by_goal, desired, length)
        here = collectives.index() * n + jnp.arange(n)  # these episodes among those of all workers
        own = log_ratio[jnp.arange(n), :, here]  # [N, S, T]
        used = collectives.total(jnp.sum(length > 0))
        total = logsumexp(log_ratio, axis=2) if config.weighted else jnp.log(used)
        # Where nothing counts, a ratio may be infinite or 0/0: mask it, do not multiply it by 0.
        weight = jnp.where(counts, jnp.exp(own - total), 0.0)
        weight *= collectives.count()  # the loss is a sum, of which workers take the mean
        return batch._replace(weight=estep.rest(weight * reward).reshape(-1))

    def m_step(key: jax.Array, state: HpgState, batch: Batch) -> tuple[HpgState, Metrics]:
        def loss(params: PolicyParams) -> jax.Array:
            candidate = state.policy._replace(params=params)
            log_prob = policy.log_prob(candidate, batch.obs, batch.goal, batch.action)
            return -jnp.sum(batch.weight * log_prob)

        params, opt_state, value = minimize(adam, loss, state.policy.params, state.opt_state)
        learned = state.policy._replace(params=params)
        return state._replace(policy=learned, opt_state=opt_state), {"loss": value}

    return Algorithm(
        policy=policy, init=init, act=act, observe=observe, e_step=e_step, m_step=m_step
    )
