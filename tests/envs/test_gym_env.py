import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from hem import registry
from hem.errors import UserError

IDS = {
    "hem/FlipBit-v0": {"bits": 6},
    "hem/Navigation-v0": {"dim": 3},
    "hem/FourRooms-v0": {},
    "hem/FetchReach-v4": {},
    "hem/PointMass-v0": {"obs": "image"},
}
PICTURES = {"obs": "image", "goal": "image", "image_size": 32}


@pytest.fixture(params=IDS, scope="module")
def env(request):
    env = gymnasium.make(request.param, **IDS[request.param], render_mode="rgb_array")
    yield env
    env.close()


@pytest.fixture(scope="module")
def pictured():
    """An environment whose observations and goals are images."""
    env = gymnasium.make("hem/PointMass-v0", **PICTURES, render_mode="rgb_array")
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


def test_gymnasiums_own_check_passes_with_goals_in_pictures(pictured):
    check_env(pictured.unwrapped)


def test_a_goal_in_pictures_is_told_by_how_it_looks_and_achieved_by_what_is_seen(pictured):
    obs, _ = pictured.reset(seed=0)
    space = gymnasium.spaces.Box(0, 255, (32, 32, 3), np.uint8)
    assert all(pictured.observation_space[key] == space for key in obs)
    env, goal = pictured.unwrapped.env, pictured.unwrapped._goal
    np.testing.assert_array_equal(obs["desired_goal"], env.render_goal(goal)[0])
    after, *_ = pictured.step(np.ones(2, np.float32))
    np.testing.assert_array_equal(after["achieved_goal"], after["observation"])
    np.testing.assert_array_equal(after["desired_goal"], obs["desired_goal"])
    assert not np.array_equal(after["observation"], obs["observation"])


def test_rewards_stay_true_with_goals_in_pictures_though_pictures_do_not_tell_them(pictured):
    plain = gymnasium.make("hem/PointMass-v0")
    rewards = set()
    for seed in range(20):  # some of these episodes begin near their goal
        obs, _ = plain.reset(seed=seed)
        pictured.reset(seed=seed)
        for _ in range(6):
            action = np.clip(4 * (obs["desired_goal"] - obs["achieved_goal"]), -1, 1)
            obs, *known = plain.step(action)
            seen, *said = pictured.step(action)
            assert said == known
            rewards.add(said[0])
            if said[1]:
                break
    assert rewards == {0.0, 1.0}
    with pytest.raises(UserError, match="success cannot be computed from images"):
        pictured.unwrapped.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})
