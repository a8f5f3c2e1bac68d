"""Images as observations and goals, whatever the task."""

import jax
import numpy as np
import pytest

from hem import registry
from hem.envs.mujoco import fetch_reach
from hem.envs.mujoco.engine.task import MujocoOptions
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.training.rollout import collector

KEYS = np.arange(6, dtype=np.uint32).reshape(3, 2)
TASKS = [
    name for name, entry in registry.entries("environment").items() if ".mujoco." in entry.module
]


def made(name, **settings):
    module = registry.load("environment", name)
    return module.make(module.Config(**settings))


@pytest.mark.parametrize("name", TASKS)
def test_pictures_take_the_place_of_numbers_and_of_nothing_else(name):
    plain, pictured = made(name), made(name, obs="image", image_size=32)
    assert pictured.task.obs_shape == (32, 32, 3)
    assert pictured.task.obs_dtype == np.uint8
    assert pictured.task.achieved_at == ()
    alike = {"obs_shape": 0, "obs_dtype": 0, "success": 0, "achieved_at": 0}
    assert pictured.task._replace(**alike) == plain.task._replace(**alike)
    (state, goal), (same, same_goal) = plain.reset(KEYS), pictured.reset(KEYS)
    jax.tree.map(np.testing.assert_array_equal, (state, goal), (same, same_goal))
    images, achieved = pictured.observe(same)
    assert (images.shape, images.dtype) == ((3, 32, 32, 3), np.uint8)
    assert images.std() > 10
    np.testing.assert_array_equal(achieved, plain.observe(state)[1])


@pytest.mark.parametrize("name", TASKS)
def test_a_picture_tells_nothing_of_the_goal_and_something_of_the_agent(name):
    env = made(name, obs="image")
    state, _ = env.reset(np.tile(KEYS[:1], (2, 1)))
    _, other_goal = env.reset(KEYS)
    assert len(np.unique(other_goal, axis=0)) > 1
    first, again = env.observe(state)[0]
    np.testing.assert_array_equal(first, again)
    size = len(env.task.action.low)
    for _ in range(5):
        state = env.step(state, np.stack([np.ones(size), -np.ones(size)]).astype(np.float32))
    one, other = env.observe(state)[0].astype(int)
    assert (abs(one - other).max(axis=-1) > 40).sum() >= 10  # pixels


def test_a_goal_is_shown_as_the_frame_in_which_it_is_achieved():
    env = made("PointMass", obs="image", goal="image", image_size=40)
    assert env.task.image_goals
    assert env.task.goal_input_shape == (40, 40, 3)
    _, goal = env.reset(KEYS)
    shown = env.render_goal(goal)
    assert (shown.shape, shown.dtype) == ((3, 40, 40, 3), np.uint8)
    assert (shown[0] != shown[1]).any()


def test_episodes_with_shown_goals_are_collected_evaluated_and_learnt_from():
    settings = {
        "horizon": 4,
        "image_size": 32,
        "hidden_dims": (8,),
        "batch_size": 4,
        "buffer_episodes": 8,
    }
    experiment = make_experiment(
        "PointMass",
        obs="image",
        goal="image",
        episodes_per_iteration=3,
        updates_per_iteration=2,
        **settings,
    )
    env, algorithm = experiment.build()
    agent_state = algorithm.init(jax.random.key(0))
    episodes = collector(env, algorithm.act, 3, True, True)(jax.random.key(0), agent_state, 0)
    np.testing.assert_array_equal(episodes.goal_obs, env.render_goal(episodes.goal))
    assert episodes.obs.dtype == np.uint8


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"image_size": 0}, "image-size must be 16 to 512 pixels, not 0"),
        ({"image_size": 5000}, "not 5000"),
        ({"obs": "images"}, "obs must be state or image"),
        ({"goal": "image"}, "add --obs image"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_impossible_options_are_refused(settings, complaint):
    with pytest.raises(UserError, match=complaint):
        MujocoOptions(**settings)


def test_a_camera_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(UserError, match=r"no camera 'nose': .*external_camera_0"):
        fetch_reach.make(fetch_reach.Config(obs="image", camera="nose"))
    named = fetch_reach.make(fetch_reach.Config(obs="image", camera="external_camera_0"))
    own = fetch_reach.make(fetch_reach.Config(obs="image"))
    state, _ = named.reset(KEYS)
    assert (named.observe(state)[0] != own.observe(state)[0]).any()


def test_a_task_that_cannot_pose_its_goals_says_so():
    with pytest.raises(UserError, match="FetchPush-v4 does not support image goals"):
        made("FetchPush-v4", obs="image", goal="image")
