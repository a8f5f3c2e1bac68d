"""An environment so small that its episodes can be listed; exact gradients by finite differences.

All of it is NumPy in double precision, apart from the algorithm that is asked for its gradient.
"""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

from hem.envs import flip_bit
from hem.models.policy import PolicyState
from hem.types import Algorithm, Episodes, JaxEnv, Replay

STEPS = 3
BITS = np.array(list(itertools.product([0, 1], repeat=2)), np.int8)  # every state, and goal
ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


def two_bits(terminates: bool) -> JaxEnv:
    """Four states, four goals, two actions, three steps."""
    config = flip_bit.Config(bits=2, horizon=STEPS, terminates_on_success=terminates)
    return flip_bit.make(config)


def all_episodes(env: JaxEnv) -> Episodes:
    """Every episode there is, once; what was not done has action 0."""
    rows = []
    for start, goal, actions in itertools.product(
        BITS, BITS, itertools.product([0, 1], repeat=STEPS)
    ):
        frames = [start]
        for action in actions:
            frames.append(frames[-1] ^ (np.arange(2) == action))
        reached = [i for i in range(1, STEPS + 1) if (frames[i] == goal).all()]
        length = reached[0] if reached and env.task.terminates_on_success else STEPS
        if any(actions[length:]):
            continue  # the same episode as with 0 there
        seen = np.array(frames, np.int8)
        rows.append((seen, seen, goal, np.array(actions, np.int32), np.int32(length)))
    obs, achieved, goal, action, length = (np.stack(x) for x in zip(*rows, strict=True))
    return Episodes(obs, achieved, goal, action, length, np.zeros(len(length), bool))


def outputs(
    policy: PolicyState, activation: str, obs: Any, goal: Any, network: Any = None
) -> np.ndarray:
    """What a network [N, n] with one hidden layer says, the policy's own unless one is given."""

    def normalized(stats: Any, x: np.ndarray) -> np.ndarray:
        seen, mean, m2 = (np.asarray(part, np.float64) for part in stats)
        std = np.maximum(np.sqrt(m2 / seen), 0.01) if seen else 1.0
        return np.clip((x - mean) / std, -5, 5)

    parameters = (network or policy.params.network)["params"]
    first, last = (
        {k: np.asarray(v, np.float64) for k, v in parameters[name].items()}
        for name in ("Dense_0", "Dense_1")
    )
    x = np.concatenate([normalized(policy.obs, obs), normalized(policy.goal, goal)], axis=-1)
    x = ACTIVATIONS[activation](x @ first["kernel"] + first["bias"])
    return x @ last["kernel"] + last["bias"]


def log_probs(
    policy: PolicyState, activation: str, obs: Any, goal: Any, network: Any = None
) -> np.ndarray:
    """log pi(. | s, g) [N, n] of a policy with one hidden layer."""
    return log_softmax(outputs(policy, activation, obs, goal, network), axis=-1)


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.asarray(x, np.float64).ravel() for x in jax.tree.leaves(tree)])


def unflat(vector: np.ndarray, like: Any) -> Any:
    leaves, structure = jax.tree.flatten(like)
    parts = np.split(vector, np.cumsum([leaf.size for leaf in leaves])[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)


def exact_gradient(
    env: JaxEnv,
    policy: PolicyState,
    activation: str,
    hindsight: bool = False,
    steps_left: bool = False,
) -> np.ndarray:
    """The gradient of J, the mean over starts and goals of the return, by backward recursion.

    Args:
        env: from ``two_bits``.
        policy: of the method; a small network.
        activation: between its layers.
        hindsight: sum over all goals g' instead the return for g' of acting for g', where episodes
            that end at success end at the goal g that was desired, too.
        steps_left: success that ends an episode is worth the steps left, this one included.
    """
    ends = env.task.terminates_on_success

    def value(network: Any, goal_input: int, desired: int) -> float:
        """The return for goal ``goal_input``, of acting for it, from a uniform start."""
        pi = np.exp(
            log_probs(policy, activation, BITS, np.repeat(BITS[goal_input][None], 4, 0), network)
        )
        following = np.zeros(4)
        for t in reversed(range(STEPS)):
            now = np.zeros(4)
            for state, action in itertools.product(range(4), range(2)):
                reached = state ^ (2, 1)[action]  # the number whose digits are the bits
                worth = STEPS - t if steps_left and ends else 1
                over = ends and reached in (goal_input, desired)
                rest = 0 if over else following[reached]
                now[state] += pi[state, action] * (worth * (reached == goal_input) + rest)
            following = now
        return following.mean()

    def total(theta: np.ndarray) -> float:
        network = unflat(theta, policy.params.network)
        if not hindsight:
            return np.mean([value(network, goal, goal) for goal in range(4)])
        return np.sum([value(network, *goals) for goals in np.ndindex(4, 4)]) / 4

    theta, step = flat(policy.params.network), 1e-5
    around = [(total(theta + step * e) - total(theta - step * e)) for e in np.eye(len(theta))]
    return np.array(around) / (2 * step)


def expected_ascent(
    algorithm: Algorithm, state: Any, env: JaxEnv, acting: PolicyState, activation: str
) -> np.ndarray:
    """The direction in which the algorithm moves, on average over all episodes of a policy."""
    episodes = all_episodes(env)

    def ascent_of(episode: Episodes) -> Any:
        alone = jax.tree.map(lambda x: x[None], episode)
        batch = algorithm.e_step(
            jax.random.key(0), state._replace(fresh=jnp.int32(1)), Replay(alone, 0, 1)
        )
        after, _ = algorithm.m_step(jax.random.key(0), state, batch)
        # Adam's first moment: mu' = 0.9 mu + 0.1 times the gradient of the loss.
        old, new = (s.opt_state[0].mu[0] for s in (state, after))
        return jax.tree.map(lambda a, b: (0.9 * a - b) / 0.1, old, new)

    ascents = jax.jit(jax.vmap(ascent_of))(jax.tree.map(jnp.asarray, episodes))
    total = 0.0
    for row in range(len(episodes.length)):
        steps = range(episodes.length[row])
        goal = np.repeat(episodes.goal[row][None], STEPS + 1, 0)
        log_p = log_probs(acting, activation, episodes.obs[row], goal)
        chance = np.exp(sum(log_p[t, episodes.action[row, t]] for t in steps)) / 16
        total = total + chance * flat(jax.tree.map(lambda x, row=row: x[row], ascents))
    return np.asarray(total)
