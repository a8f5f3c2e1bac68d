import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from hem import registry

IDS = {
    "hem/FlipBit-v0": {"bits": 6},
    "hem/Navigation-v0": {"dim": 3},
    "hem/FourRooms-v0": {},
    "hem/FetchReach-v4": {},
}


@pytest.fixture(params=IDS, scope="module")
def env(request):
    env = gymnasium.make(request.param, **IDS[request.param], render_mode="rgb_array")
    yield env
    env.close()


def test_every_environment_is_registered():
    names = {spec.split("/")[1].rsplit("-v", 1)[0] for spec in gymnasium.registry if "hem/" in spec}
    assert names == {name.rsplit("-v", 1)[0] for name in registry.entries("environment")}


@pytest.mark.filterwarnings("ignore:.*infinity.*:UserWarning")
def test_gymnasiums_own_check_passes(env):
    check_env(env.unwrapped)


def test_the_reward_is_what_compute_reward_says_of_the_next_observation(env):
    obs, _ = env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(10):
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        again = env.unwrapped.compute_reward(obs["achieved_goal"], obs["desired_goal"], info)
        assert reward == again == float(info["is_success"])
        if terminated or truncated:
            obs, _ = env.reset()


def test_rewards_come_in_batches(env):
    obs, _ = env.reset(seed=0)
    goal = obs["achieved_goal"]
    far = goal + 1
    rewards = env.unwrapped.compute_reward(np.stack([goal, far]), np.stack([goal, goal]), {})
    np.testing.assert_array_equal(rewards, [1.0, 0.0])


def test_reaching_the_goal_ends_the_episode_with_reward_1():
    env = gymnasium.make("hem/FlipBit-v0", bits=6)
    obs, _ = env.reset(seed=3)
    wrong = np.flatnonzero(obs["observation"] != obs["desired_goal"])
    assert len(wrong) > 1
    ends = []
    for bit in wrong:
        obs, reward, terminated, truncated, _ = env.step(bit)
        ends.append((reward, terminated, truncated))
    assert ends == [(0.0, False, False)] * (len(wrong) - 1) + [(1.0, True, False)]


def test_ending_at_success_can_be_turned_off():
    env = gymnasium.make("hem/FlipBit-v0", bits=1, horizon=3, terminates_on_success=False)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_equal_seeds_give_equal_episodes_and_different_ones_differ():
    def states(seed):
        env = gymnasium.make("hem/Navigation-v0")
        obs, _ = env.reset(seed=seed)
        return np.concatenate([obs["observation"], obs["desired_goal"]])

    np.testing.assert_array_equal(states(1), states(1))
    assert not np.array_equal(states(1), states(2))
