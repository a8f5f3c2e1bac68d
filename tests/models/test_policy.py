"""The policy: shapes, independence of rows, and what its statistics are taken over."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from hem.errors import UserError
from hem.models import inputs, networks, normalizer
from hem.models import policy as policies
from hem.models.distributions import Exploration
from hem.models.networks import ImageMLP
from hem.types import Box, Discrete

BOX = Box((-1.0, 0.0), (1.0, 3.0))
N = 8
HOW = Exploration(random_eps=0.3, action_noise=0.3)
PICTURE = (16, 20, 3)
SHAPES = [
    ((3,), (2,), Discrete(3), False, 1),
    ((3,), (3,), BOX, False, 1),
    ((2, 3), (2, 2), Discrete(5), False, 1),
    (PICTURE, (2,), BOX, False, 1),
    (PICTURE, (2,), Discrete(3), True, 1),
    (PICTURE, (2,), BOX, True, 2),
]


@pytest.fixture(
    scope="module",
    params=SHAPES,
    ids=["discrete", "box", "axes", "image", "goal image", "two frames"],
)
def acting(request, task, random_episodes):
    """A policy with statistics, and a batch of what it acts on."""
    obs_shape, goal_shape, action, image_goals, frames = request.param
    task = task._replace(
        obs_shape=obs_shape,
        goal_shape=goal_shape,
        action=action,
        image_goals=image_goals,
        frames=frames,
    )
    policy = policies.make(policies.spec_of(task, (16,)))
    episodes = random_episodes(np.random.default_rng(0), task, [5] * N)
    if obs_shape == PICTURE:
        images = np.random.default_rng(1).integers(0, 256, episodes.obs.shape, np.uint8)
        episodes = episodes._replace(obs=images)
    state = policy.observe(policy.init(jax.random.key(0)), episodes)
    goal_input = episodes.obs[:, 1] if image_goals else episodes.goal
    rows = np.concatenate([episodes.obs[:, t] for t in range(frames)], axis=-1), goal_input
    return policy, state, *rows, episodes.action[:, 0], jax.random.split(jax.random.key(1), N)


@pytest.mark.parametrize("temperature", [0.0, 0.25, 1.0, 3.0])
def test_it_acts_by_samples_at_its_temperature(task, temperature):
    spec = policies.spec_of(task._replace(action=Discrete(3)), (16,))
    policy = policies.make(dataclasses.replace(spec, temperature=temperature))
    state, n = policy.init(jax.random.key(0)), 20_000
    obs, goal = (jnp.ones((n, *shape)) for shape in (spec.obs_shape, spec.goal_shape))
    chosen = policy.act(jax.random.split(jax.random.key(1), n), state, obs, goal)
    logits = np.asarray(policy.outputs(state, obs[:1], goal[:1])[0], np.float64)
    if temperature:
        expected = scipy.special.softmax(logits / temperature)
    else:
        expected = np.eye(3)[logits.argmax()]
    found = np.bincount(chosen, minlength=3) / n
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / np.sqrt(n))


@pytest.mark.parametrize("temperature", [1e-4, 1e-30, 1e-42, 1e-60])
def test_at_the_lowest_temperatures_it_takes_the_likeliest_action(task, temperature):
    spec = policies.spec_of(task._replace(action=Discrete(3)), (16,))
    policy = policies.make(dataclasses.replace(spec, temperature=temperature))
    state, rng = policy.init(jax.random.key(0)), np.random.default_rng(0)
    obs, goal = (jnp.asarray(rng.normal(size=(200, *s))) for s in (spec.obs_shape, spec.goal_shape))
    chosen = policy.act(jax.random.split(jax.random.key(1), 200), state, obs, goal)
    likeliest = policy.greedy(state, obs, goal)
    assert len(np.unique(likeliest)) > 1
    assert (np.asarray(chosen) == np.asarray(likeliest)).mean() > 0.98  # ties aside


@pytest.mark.parametrize("temperature", [0.0, 0.25, 1.0])
def test_continuous_actions_have_the_variance_of_their_temperature(task, temperature):
    spec = policies.spec_of(task._replace(action=BOX), (16,))
    policy = policies.make(dataclasses.replace(spec, temperature=temperature))
    state, n = policy.init(jax.random.key(0)), 20_000
    narrow = jnp.full(2, -40.0).at[1].set(0.0)  # of a std that no bound cuts off, and a wider one
    state = state._replace(params=state.params._replace(distribution=narrow))
    obs, goal = (jnp.zeros((n, *shape)) for shape in (spec.obs_shape, spec.goal_shape))
    chosen = policy.act(jax.random.split(jax.random.key(1), n), state, obs, goal)
    half = (np.array(BOX.high) - BOX.low) / 2
    std = np.exp(-4 + np.log1p(np.exp(np.asarray(narrow)))) * np.sqrt(temperature)
    np.testing.assert_allclose((np.asarray(chosen) / half).std(0), std, rtol=0.03, atol=1e-6)


def test_relative_goals_are_one_more_input(task, random_episodes):
    """The oracle is NumPy in doubles."""
    task = task._replace(obs_shape=(3,), goal_shape=(2,), action=BOX, achieved_at=(2, 0))
    spec = policies.spec_of(task, (16,), relative_goals=True)
    policy, rng = policies.make(spec), np.random.default_rng(0)
    state = policy.observe(policy.init(jax.random.key(0)), random_episodes(rng, task, [5] * N))
    obs, goal = (rng.normal(0, 3, (400, size)).astype(np.float32) for size in (3, 2))
    seen = inputs.network_inputs(spec.shapes, state.obs, state.goal, obs, goal)[0]
    plain = inputs.network_inputs(spec.shapes._replace(achieved_at=()), *state[1:], obs, goal)[0]
    std = np.sqrt(np.float64(state.goal.m2) / state.goal.seen)
    left = (goal - obs[:, [2, 0]].astype(np.float64)) / std
    assert (np.abs(left) > 5).any()
    expected = np.concatenate([plain, left.clip(-5, 5)], axis=1)
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(
        policy.outputs(state, obs, goal),
        networks.MLP((16,), policy.outputs(state, obs, goal).shape[-1]).apply(
            state.params.network, seen
        ),
    )


@pytest.mark.parametrize("obs_shape", [(3,), PICTURE])
def test_goals_are_not_relative_to_what_no_observation_holds(task, obs_shape):
    task = task._replace(obs_shape=obs_shape, goal_shape=(2,), achieved_at=())
    with pytest.raises(UserError, match="leave out --relative-goals"):
        policies.spec_of(task, (16,), relative_goals=True)


def test_actions_and_likelihoods_have_the_declared_shapes(acting):
    policy, state, obs, goal, action, keys = acting
    kind = policy.spec.action
    for chosen in (policy.greedy(state, obs, goal), policy.explore(keys, state, obs, goal, HOW)):
        assert chosen.shape == (N, *kind.shape)
        assert chosen.dtype == kind.dtype
        if isinstance(kind, Discrete):
            assert ((chosen >= 0) & (chosen < kind.n)).all()
        else:
            assert ((chosen >= np.float32(kind.low)) & (chosen <= np.float32(kind.high))).all()
    log_prob = policy.log_prob(state, obs, goal, action)
    assert log_prob.shape == (N,)
    assert log_prob.dtype == jnp.float32


def test_a_row_depends_on_its_own_inputs_and_key_only(acting):
    policy, state, obs, goal, action, keys = acting
    alone = [
        (
            policy.greedy(state, obs[[i]], goal[[i]]),
            policy.explore(keys[i : i + 1], state, obs[[i]], goal[[i]], HOW),
            policy.log_prob(state, obs[[i]], goal[[i]], action[[i]]),
        )
        for i in range(N)
    ]
    together = (
        policy.greedy(state, obs, goal),
        policy.explore(keys, state, obs, goal, HOW),
        policy.log_prob(state, obs, goal, action),
    )
    rows = jax.tree.map(lambda *x: np.concatenate(x), *alone)
    tolerance = 0 if isinstance(policy.spec.action, Discrete) else 1e-5
    for one, other in zip(rows[:2], together[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)
    np.testing.assert_allclose(rows[2], together[2], atol=1e-4)


def test_observation_and_goal_and_key_all_matter(acting):
    policy, state, obs, goal, action, keys = acting
    log_prob = policy.log_prob(state, obs, goal, action)
    assert (log_prob != policy.log_prob(state, obs + 1, goal, action)).any()
    assert (log_prob != policy.log_prob(state, obs, 1 - goal, action)).any()
    same = jnp.broadcast_to(jnp.asarray(obs[:1]), (100, *obs.shape[1:]))
    goals = jnp.broadcast_to(jnp.asarray(goal[:1]), (100, *goal.shape[1:]))
    drawn = policy.explore(jax.random.split(keys[0], 100), state, same, goals, HOW)
    assert len(np.unique(drawn, axis=0)) > 1


def test_statistics_are_of_visited_frames_and_of_desired_and_achieved_goals(task, random_episodes):
    policy = policies.make(policies.spec_of(task, (4,)))
    state = policy.init(jax.random.key(0))
    rng, lengths = np.random.default_rng(0), [5, 1, 2]
    frames, goals = [], []
    for _ in range(2):
        episodes = random_episodes(rng, task, lengths)
        state = policy.observe(state, episodes)
        for row, steps in enumerate(lengths):
            frames.extend(episodes.obs[row, : steps + 1])
            goals.extend(episodes.achieved[row, : steps + 1])
            goals.extend([episodes.goal[row]] * steps)
    for stats, seen in ((state.obs, frames), (state.goal, goals)):
        assert stats.seen == len(seen)
        np.testing.assert_allclose(stats.mean, np.mean(seen, axis=0), rtol=1e-5)
        np.testing.assert_allclose(stats.m2 / stats.seen, np.var(seen, axis=0), rtol=1e-4)


def test_desired_goals_far_from_anything_achieved_are_told_apart(task, random_episodes):
    """As where an object has not moved yet: none may lie beyond what normalized inputs can say."""
    policy = policies.make(policies.spec_of(task, (4,)))
    rng, n = np.random.default_rng(0), 200
    episodes = random_episodes(rng, task, [task.horizon] * n)
    at_rest = rng.normal(1.3, 0.02, (n, 1, *task.goal_shape)) + 0 * episodes.achieved
    goal = rng.uniform(1.3, 1.9, (n, *task.goal_shape)).astype(np.float32)
    state = policy.init(jax.random.key(0))
    state = policy.observe(state, episodes._replace(achieved=np.float32(at_rest), goal=goal))
    assert np.abs(normalizer.normalize(state.goal, goal)).max() < normalizer.CLIP


def test_an_episode_to_be_dropped_leaves_no_trace(task, random_episodes):
    policy = policies.make(policies.spec_of(task, (4,)))
    state = policy.init(jax.random.key(0))
    episodes = random_episodes(np.random.default_rng(0), task, [0, 0])
    jax.tree.map(np.testing.assert_array_equal, policy.observe(state, episodes), state)


def test_what_lies_past_an_episode_s_length_is_never_read(task, random_episodes):
    policy = policies.make(policies.spec_of(task, (4,)))
    state = policy.init(jax.random.key(0))
    lengths = [5, 1, 3]
    one = random_episodes(np.random.default_rng(0), task, lengths)
    other = jax.tree.map(np.copy, one)
    for row, steps in enumerate(lengths):
        other.obs[row, steps + 1 :] = 1e9
        other.achieved[row, steps + 1 :] = -100
        other.action[row, steps:] = 2
    jax.tree.map(
        np.testing.assert_array_equal, policy.observe(state, one), policy.observe(state, other)
    )


def test_equal_keys_make_equal_policies_and_others_do_not(task):
    policy = policies.make(policies.spec_of(task, (4,)))
    one, again, other = (jax.tree.leaves(policy.init(jax.random.key(k))) for k in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_the_network_is_given_the_latest_frame_then_earlier_ones_then_the_goal(task):
    image = (32, 32, 1)
    task = task._replace(obs_shape=image, goal_shape=(2,), image_goals=True, frames=2, action=BOX)
    policy = policies.make(policies.spec_of(task, (8,)))
    earlier, later, goal = np.random.default_rng(0).integers(0, 256, (3, N, *image), np.uint8)
    state = policy.init(jax.random.key(0))
    network = ImageMLP((8,), 2)
    expected = network.apply(state.params.network, [later, earlier, goal], np.zeros((N, 0)))
    middle, half = np.add(BOX.low, BOX.high) / 2, np.subtract(BOX.high, BOX.low) / 2
    obs = np.concatenate([earlier, later], axis=-1)
    greedy = np.asarray(policy.greedy(state, obs, goal))
    wanted = np.clip(middle + half * np.asarray(expected), BOX.low, BOX.high)
    np.testing.assert_allclose(greedy, wanted, rtol=1e-5, atol=1e-5)
