"""Wrong shapes are refused where they come in, before broadcasting makes a wrong number of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.algorithms import hem
from hem.hindsight import future
from hem.learners import critic
from hem.models import policy as policies
from hem.replay import buffer as ring
from hem.replay import estep
from hem.training.learning import init_state, make_learn
from hem.types import Index

KEY, N = jax.random.key(0), 4


@pytest.fixture
def episodes(task, random_episodes):
    return random_episodes(np.random.default_rng(0), task, [3] * N)


@pytest.fixture
def replay(task, episodes):
    return ring.add(ring.init(task, N), episodes)


def with_a_column(x):
    return np.asarray(x)[..., None]


@pytest.mark.parametrize("name", ["obs", "achieved", "goal", "action", "length", "failed"])
@pytest.mark.parametrize(
    "spoil",
    [with_a_column, lambda x: x[1:], lambda x: x.astype(np.complex64)],
    ids=["shape", "number", "type"],
)
def test_a_replay_takes_only_episodes_of_its_own_form(task, episodes, replay, name, spoil):
    wrong = episodes._replace(**{name: spoil(getattr(episodes, name))})
    with pytest.raises(AssertionError):
        jax.jit(ring.add)(replay, wrong)


def test_a_replay_takes_no_more_episodes_than_it_holds(task, episodes):
    with pytest.raises(AssertionError):
        ring.add(ring.init(task, N - 1), episodes)


@pytest.mark.parametrize("part", ["index", "goal", "goal_step"])
def test_transitions_want_a_goal_and_a_time_for_each_step(task, replay, part):
    index = Index(jnp.arange(N), jnp.zeros(N, jnp.int32))
    goal_step = index.step + 1
    good = {
        "index": index,
        "goal": estep.achieved_goal(replay, index, goal_step),
        "goal_step": goal_step,
    }
    estep.transitions(replay, task, **good)
    wrong = jax.tree.map(with_a_column, good[part])
    with pytest.raises(AssertionError):
        estep.transitions(replay, task, **good | {part: wrong})


@pytest.mark.parametrize("part", ["obs", "goal", "action"])
def test_a_log_density_is_one_number_for_each_row(task, replay, part):
    policy = policies.make(policies.spec_of(task, (4,)))
    state = policy.init(KEY)
    data = replay.data
    good = {"obs": data.obs[:, 0], "goal": data.goal, "action": data.action[:, 0]}
    assert policy.log_prob(state, *good.values()).shape == (N,)
    for spoil in (with_a_column, lambda x: x[1:]):
        with pytest.raises(AssertionError):
            policy.log_prob(state, *(good | {part: spoil(good[part])}).values())


def test_targets_want_a_value_for_each_transition(task, replay):
    index = Index(jnp.arange(N), jnp.zeros(N, jnp.int32))
    batch = estep.transitions(
        replay, task, index, estep.desired_goal(replay, index.episode), index.step
    )
    returns = critic.returns_of(task, "-1/0", "range", None)
    assert critic.target(returns, batch, jnp.zeros(N)).shape == (N,)
    with pytest.raises(AssertionError):
        critic.target(returns, batch, jnp.zeros((N, 1)))


@pytest.mark.parametrize("part", ["batch", "state", "metrics"])
def test_an_update_returns_what_it_was_given_and_numbers_to_plot(task, episodes, part):
    algorithm = hem.make(hem.Config((4,)), task, future.make(future.Config()))

    def e_step(key, state, replay):
        batch = algorithm.e_step(key, state, replay)
        return batch._replace(weight=batch.weight[1:]) if part == "batch" else batch

    def m_step(key, state, batch):
        learned, metrics = algorithm.m_step(key, state, batch)
        if part == "state":
            learned = jax.tree.map(lambda x: x[None], learned)
        return learned, {"loss": metrics["loss"][None]} if part == "metrics" else metrics

    learn = make_learn(task, algorithm._replace(e_step=e_step, m_step=m_step), updates=1)
    with pytest.raises(AssertionError):
        learn(init_state(task, algorithm, 0, N), episodes)
