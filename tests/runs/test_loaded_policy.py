"""A policy out of its file speaks the language of its environment."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from generated import HORIZON, Anything, acted, seen
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import assume, example, given, settings
from unlearnt import task_of, unlearnt

import hem
from hem import registry
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.env_slots import InProcessEnvs
from hem.envs.spaces.codec import encode, value_of
from hem.errors import UserError
from hem.models import policy as policies
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.policy_file import load_policy, save_policy

ROWS = 3
CELL = spaces.Discrete(8)


def policy_for(folder, stage: InProcessEnvs) -> LoadedPolicy:
    """A policy that has learned nothing, through its file."""
    task = task_of(stage.forms)
    policy = policies.make(policies.spec_of(task, (4,)))
    save_policy(folder, policy, unlearnt(policy), task)
    return load_policy(folder)


def same(one, other) -> None:
    """Equal, up to how sums are rounded in another shape."""
    assert one.dtype == other.dtype
    np.testing.assert_allclose(np.asarray(one), other, rtol=2e-3, atol=2e-3)


@settings(max_examples=10)
@given(observation=seen, goal=seen, action=acted)
@example(CELL, CELL, spaces.Discrete(3, start=-1))
@example(CELL, spaces.Dict(z=spaces.Box(-1, 1, (), np.float16)), spaces.Discrete(2))
@example(CELL, spaces.MultiDiscrete([2, 4]), spaces.Box(-1, 1, (2, 2), np.float64))
@example(spaces.Box(0, 1, (2, 4)), CELL, spaces.Box(0, 1, ()))
@example(
    spaces.Dict(pos=spaces.Box(0, 1, (2,)), extra=spaces.Dict(odd=spaces.Discrete(2))),
    spaces.Tuple([CELL, spaces.MultiBinary(3)]),
    spaces.Discrete(2),
)
@example(spaces.Box(0, 255, (3, 9, 8), np.uint8), CELL, spaces.Discrete(2))
def test_what_an_environment_returns_goes_in_and_what_it_takes_comes_out(
    tmp_path_factory, observation, goal, action
):
    def make() -> Anything:
        return Anything(observation, goal, action)

    env = make()
    stage = InProcessEnvs(EnvSpec(EnvId("file", "any.py", "Anything"), (), HORIZON), env)
    shapes = {form.shape for form in stage.forms[:2] if form.dtype == np.uint8}
    assume(len(shapes) < 2)  # no network sees images of different shapes
    policy = policy_for(tmp_path_factory.mktemp("policy"), stage)
    vector = SyncVectorEnv([make] * ROWS, autoreset_mode=AutoresetMode.DISABLED)
    batch, _ = vector.reset(seed=5)
    together, _ = policy.predict(batch)
    vector.step(together)
    for row in range(ROWS):
        obs, _ = make().reset(seed=5 + row)
        one, _ = policy.predict(obs)
        assert action.contains(one)
        frames = stage.reset([0], [5 + row])
        stage.step([0], policy.greedy(frames.obs, frames.goal))
        same(one, env.taken[-1])  # as an evaluation has it
        same(one, together[row])
        same(one, vector.envs[row].taken[-1])
    sample, _ = policy.predict(batch, deterministic=False, seed=1)
    vector.step(sample)  # which looks whether it is in its space


@pytest.mark.parametrize("name", registry.entries("environment"))
def test_hem_s_own_environments_are_spoken_to_likewise(tmp_path, name):
    module = registry.load("environment", name)
    env = gymnasium.make(f"hem/{name}" if "-v" in name else f"hem/{name}-v0")
    task = module.make(module.Config()).task
    policy = policies.make(policies.spec_of(task, (4,)))
    save_policy(tmp_path, policy, unlearnt(policy), task)
    action, _ = load_policy(tmp_path).predict(env.reset(seed=0)[0])
    assert env.action_space.contains(action)
    env.step(action)
    env.close()


def test_neither_the_environment_nor_its_physics_are_needed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from gymnasium import spaces\nfrom generated import Anything\n\n\n"
        "def make():\n    return Anything(spaces.Discrete(4), spaces.Discrete(4), "
        "spaces.Discrete(2, start=5))\n"
    )
    run = tmp_path / "run"
    tiny = {
        "hidden_dims": (4,),
        "episodes_per_iteration": 2,
        "buffer_episodes": 4,
        "updates_per_iteration": 1,
        "eval_episodes": 1,
    }
    hem.train(
        f"{file}:make", run_dir=run, env_steps=1, horizon=3, env_workers=0, threshold=0.5, **tiny
    )
    file.unlink()
    script = (
        "import sys, hem, numpy\n"
        f"policy = hem.load_policy({str(run)!r})\n"
        "seen = {'observation': 3, 'achieved_goal': 2, 'desired_goal': numpy.int64(1)}\n"
        "print(policy.predict(seen)[0], {'mujoco', 'mine', 'generated'} & set(sys.modules))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() in ("5 set()", "6 set()")


GOOD = {
    "observation": {"pos": np.zeros(2, np.float32), "at": (1, 0)},
    "achieved_goal": 2,
    "desired_goal": 3,
}
EMPTY = {"pos": np.zeros((0, 2)), "at": ([], [])}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> LoadedPolicy:
    parts = {"pos": spaces.Box(0, 1, (2,)), "at": spaces.Tuple([spaces.Discrete(2)] * 2)}
    env = Anything(spaces.Dict(parts), CELL, spaces.Discrete(2))
    stage = InProcessEnvs(EnvSpec(EnvId("file", "any.py", "Anything"), (), HORIZON), env)
    return policy_for(tmp_path_factory.mktemp("policy"), stage)


def test_what_only_the_achieved_goal_tells_is_seen(mixed):
    def logits(observation):
        seen = (encode(form, value_of(form, observation))[None] for form in mixed.forms[:2])
        return np.asarray(mixed.policy.outputs(mixed.state, *seen))

    assert not np.allclose(logits(GOOD), logits(GOOD | {"achieved_goal": 5}))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (3, "takes a dict"),
        ({"observation": GOOD["observation"]}, "'achieved_goal' is missing"),
        (GOOD | {"achieved_goal": [2, 2]}, "one of each"),
        ({k: v for k, v in GOOD.items() if k != "desired_goal"}, "'desired_goal' is missing"),
        (GOOD | {"desired_goal": 8}, "desired_goal 8 is not in its space"),
        (GOOD | {"desired_goal": "x"}, "desired_goal x is not in its space"),
        (GOOD | {"desired_goal": [[1]]}, r"desired_goal has shape \(1, 1\), but its space has"),
        (GOOD | {"desired_goal": [[1], [1, 2]]}, "desired_goal is not an array"),
        (GOOD | {"desired_goal": [3, 3]}, "one of each"),
        (GOOD | {"desired_goal": []}, "one of each"),
        ({"observation": EMPTY, "achieved_goal": [], "desired_goal": []}, "per row"),
        (GOOD | {"observation": {"pos": np.zeros(2, np.float32)}}, "must be a dict with at, pos"),
        (GOOD | {"observation": {"pos": np.zeros(2), "at": (1,)}}, "must be a tuple of 2"),
        (GOOD | {"observation": {"pos": np.zeros(3), "at": (1, 0)}}, "not in its space"),
        (GOOD | {"observation": {"pos": np.zeros((2, 2)), "at": (1, 0)}}, "one of each"),
    ],
    ids=range(15),
)
def test_a_value_of_another_language_is_refused_in_a_line(mixed, broken, message):
    with pytest.raises(UserError, match=message) as refused:
        mixed.predict(broken)
    assert "\n" not in str(refused.value)
