"""The latest observations, put together in order, the first one repeated at the start."""

import jax
import jax.numpy as jnp
import numpy as np

from hem.envs.gym_env import GoalEnv
from hem.models.frame_stack import Recent, latest
from hem.replay import buffer as ring
from hem.replay import estep
from hem.runs.experiment import make_experiment
from hem.training.rollout import collector
from hem.types import Index

OBS = np.arange(2 * 5 * 3).reshape(2, 5, 3)  # [N, T+1, C]


def test_the_latest_come_oldest_first_and_the_first_is_repeated():
    seen = [np.asarray(latest(lambda t: OBS[:, t], t, 3)) for t in range(5)]
    np.testing.assert_array_equal(seen[0], np.concatenate([OBS[:, 0]] * 3, axis=-1))
    np.testing.assert_array_equal(
        seen[1], np.concatenate([OBS[:, 0], OBS[:, 0], OBS[:, 1]], axis=-1)
    )
    np.testing.assert_array_equal(
        seen[4], np.concatenate([OBS[:, 2], OBS[:, 3], OBS[:, 4]], axis=-1)
    )


def test_each_row_may_have_its_own_moment():
    t = jnp.array([3, 0])
    rows = jnp.arange(2)
    seen = latest(lambda t: jnp.asarray(OBS)[rows, t], t, 2)
    np.testing.assert_array_equal(seen, [[*OBS[0, 2], *OBS[0, 3]], [*OBS[1, 0], *OBS[1, 0]]])


def test_one_frame_is_the_observation_itself():
    assert latest(lambda t: OBS[:, t], 2, 1) is not None
    np.testing.assert_array_equal(latest(lambda t: OBS[:, t], 2, 1), OBS[:, 2])


def test_what_is_run_step_by_step_sees_the_same():
    recent = Recent(3, OBS[:, 0])
    for t in range(5):
        if t > 0:
            recent.add(OBS[:, t])
        np.testing.assert_array_equal(recent.seen, latest(lambda t: OBS[:, t], t, 3))


def test_policies_see_in_training_what_they_see_when_they_act():
    """The collector, the E-step and the Gymnasium environment put the same frames together."""
    experiment = make_experiment(
        "PointMass", obs="image", image_size=32, frames=2, horizon=4, hidden_dims=(8,)
    )
    built, algorithm = experiment.build()
    assert algorithm.policy.spec.obs_shape == (32, 32, 6)
    acted = []

    def act(keys, agent_state, obs, goal, explore):
        jax.debug.callback(lambda x: acted.append(np.asarray(x)), obs)
        return jnp.tile(jnp.array([1.0, -0.5]), (2, 1))

    episodes = collector(built, act, 2, explore=True, ends=False)(jax.random.key(0), None, 0)
    jax.effects_barrier()
    replay = ring.add(ring.init(built.task, 2), episodes)
    for t in range(4):
        index = Index(jnp.array([0, 1]), jnp.array([t, t]))
        goal = estep.achieved_goal(replay, index, index.step)
        batch = estep.transitions(replay, built.task, index, goal, index.step)
        np.testing.assert_array_equal(batch.obs, acted[t])
        np.testing.assert_array_equal(batch.obs[..., 3:], episodes.obs[:, t])
        np.testing.assert_array_equal(batch.next_obs[..., :3], episodes.obs[:, t])
        np.testing.assert_array_equal(batch.next_obs[..., 3:], episodes.obs[:, t + 1])
    assert (acted[2][..., :3] != acted[2][..., 3:]).any()  # it moved

    env = GoalEnv(built)
    first = env.reset(seed=0)[0]["observation"]
    second = env.step(np.array([1.0, -0.5], np.float32))[0]["observation"]
    assert env.observation_space["observation"].shape == second.shape == (32, 32, 6)
    np.testing.assert_array_equal(first[..., :3], first[..., 3:])
    np.testing.assert_array_equal(second[..., :3], first[..., 3:])
