"""Any goal environment is one of hem's: the forms of its values, its errors, its names."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import toys

from hem import registry
from hem.envs.adapters import vector_env
from hem.envs.adapters.adapter import Config
from hem.envs.adapters.arguments import read_kwargs
from hem.envs.adapters.user_module import digest
from hem.envs.gym_env import GoalEnv
from hem.errors import EnvError, UserError
from hem.types import Box, Discrete

TOYS = toys.__file__


def same(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_an_episode_is_what_the_environment_does(open_world, run):
    built = open_world("Reach")
    episodes = run(built, 3)
    assert episodes.length.tolist() == [8] * 3
    env = toys.Reach()
    state, goal = built.reset(np.arange(6, dtype=np.uint32).reshape(3, 2))
    for slot in range(3):
        seen, _ = env.reset(seed=(2 * slot + 1) >> 1)
        both = np.concatenate([seen["achieved_goal"], seen["observation"]])
        np.testing.assert_array_equal(state.obs[slot], both.astype(np.float32))
        np.testing.assert_array_equal(goal[slot], seen["desired_goal"].astype(np.float32))
        state_now = state
        for action in ([0.1, -0.2], [0.2, 0.05]):
            seen, *_ = env.step(np.float32(action))
            row = type(state)(*(x[slot : slot + 1] for x in state_now))
            state_now = built.step(row, np.float32([action]))
            both = np.concatenate([seen["achieved_goal"], seen["observation"]])
            np.testing.assert_allclose(state_now.obs[0], both, atol=1e-6)
            state_now = type(state)(*(np.repeat(x, slot + 1, axis=0) for x in state_now))


@pytest.mark.parametrize("workers", [1, 2])
def test_however_many_processes_run_them_episodes_are_the_same(open_world, run, workers):
    settings = {"env_kwargs": {"ends": True}, "slots": 5}
    here = run(open_world("Reach", **settings), 12, first=7)
    assert len(set(here.length)) > 2
    there = run(open_world("Reach", env_workers=workers, **settings), 12, first=7)
    same(here, there)
    assert here.length.dtype == there.length.dtype


def test_an_episode_depends_on_its_number_only(open_world, run):
    built = open_world("Reach", slots=4, env_kwargs={"ends": True})
    eight = run(built, 8)
    same(run(built, 3, first=4), jax.tree.map(lambda x: x[4:7], eight))
    same(run(open_world("Reach", slots=3, env_kwargs={"ends": True}), 8), eight)


@pytest.mark.parametrize(
    ("n", "slots", "workers"),
    [(5, 2, 0), (8, 4, 0), (9, 4, 0), (3, 16, 0), (17, 16, 0), (9, 4, 2), (3, 16, 2)],
)
def test_no_episode_is_run_and_thrown_away(open_world, run, n, slots, workers):
    settings = {"env_kwargs": {"ends": True}, "env_workers": workers}
    built, begun, taken = open_world("Reach", slots=slots, **settings), [], []

    def reset(keys):
        begun.extend(keys.tolist())
        return built.reset(keys)

    def step(state, action):
        taken.extend(state.slot.tolist())
        return built.step(state, action)

    episodes = run(built._replace(reset=reset, step=step), n)
    assert len(begun) == n
    assert len(taken) == episodes.length.sum()
    same(run(open_world("Reach", slots=1, **settings), n), episodes)


@pytest.mark.parametrize("ends", [True, False])
def test_the_environment_may_end_an_episode(open_world, run, ends):
    episodes = run(open_world("limited", horizon=0), 6, ends=ends)
    assert episodes.obs.shape[1] == 6 + 1  # the limit that it has
    assert episodes.length.min() < 6
    built = open_world("limited", horizon=3)
    assert run(built, 6).length.max() == 3


@pytest.mark.parametrize(
    ("name", "settings", "obs", "goal", "action"),
    [
        ("Reach", {}, (2 + 2,), (2,), Box((-np.float32(0.2),) * 2, (np.float32(0.2),) * 2)),
        ("Grid", {}, (2 + 16,), (2,), Discrete(4)),
        ("Grid", {"one_hot": True}, (8 + 16,), (8,), Discrete(4)),
        ("Nested", {}, (2 + 19,), (2,), Discrete(4)),
        ("Image", {}, (12, 16, 3), (2,), None),
        ("Image", {"channels_first": True}, (12, 16, 3), (2,), None),
    ],
)
def test_spaces_have_forms(open_world, run, name, settings, obs, goal, action):
    built = open_world(name, env_kwargs=settings)
    task = built.task
    assert (task.obs_shape, task.goal_shape) == (obs, goal)
    assert action is None or task.action == action
    episodes = run(built, 4)
    assert episodes.obs.dtype == task.obs_dtype
    assert episodes.goal.dtype == task.goal_dtype
    bits = np.int8 if settings.get("one_hot") else np.float32
    assert task.obs_dtype == (np.uint8 if name == "Image" else bits)
    if name == "Grid" and not settings:
        cells = episodes.obs[..., 2:].argmax(-1)
        np.testing.assert_array_equal(cells // 4, episodes.achieved[..., 0])
        np.testing.assert_array_equal(cells % 4, episodes.achieved[..., 1])
        assert (cells[:, 1:] != cells[:, :-1]).all()
    assert task.achieved_at == (() if name == "Image" else tuple(range(goal[0])))
    if task.achieved_at:
        np.testing.assert_array_equal(episodes.obs[..., task.achieved_at], episodes.achieved)
    if name == "Image":
        x, y = np.unravel_index(episodes.obs[..., 2].reshape(4, 9, -1).argmax(-1), (12, 16))
        np.testing.assert_array_equal(x, (5 * episodes.achieved[..., 0]).astype(int) + 5)
        np.testing.assert_array_equal(y, (7 * episodes.achieved[..., 1]).astype(int) + 7)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_vector_environments_run_the_same_episodes_in_every_autoreset_mode(open_world, run, mode):
    single = run(open_world("Reach", slots=4, env_kwargs={"ends": True}), 10)
    assert 1 <= single.length.min() < 5
    built = open_world("vector", env_kwargs={"mode": mode})
    assert built.max_num_envs == 4
    same(run(built, 10), single)
    assert run(built, 10, ends=True).length.max() <= 8


def test_slots_of_what_has_its_own_are_refused(open_world):
    with pytest.raises(UserError, match=r"^slots has no effect with .*:vector, .* 4 episodes at"):
        open_world("vector", slots=8)


def test_an_asynchronous_vector_environment_in_a_process_of_its_own(open_world, run):
    single = run(open_world("Reach", slots=2, env_kwargs={"ends": True}), 4)
    settings = {"mode": "SameStep", "rows": 2, "kind": "async"}
    built = open_world("vector", env_workers=1, env_kwargs=settings)
    same(run(built, 4), single)


def test_an_environment_ends_its_own_episode_in_hems_gymnasium_too(open_world):
    built = open_world("limited", horizon=20, env_kwargs={"steps": 4})
    env = GoalEnv(built._replace(task=built.task._replace(horizon=20)))
    for seed in range(10):
        env.reset(seed=seed)
        steps = 0
        ended = False
        while not ended:
            _, _, terminated, truncated, _ = env.step(np.zeros(2))
            ended, steps = terminated or truncated, steps + 1
        assert steps <= 4


FAULTS = [
    ("raise", "constructor", r"in its constructor: ValueError: the arm is off \(toys.py:\d+\)"),
    ("raise", "reset", r"in reset\(seed=\d+\): ValueError: the arm is off \(toys.py:\d+\)"),
    ("raise", 3, r"in step 3 after reset\(seed=\d+\): ValueError: the arm is off"),
    ("nan", 2, r"step 2 after reset\(seed=\d+\): observation contains NaN"),
    ("shape", 2, r"observation has shape \(3,\), but its space has \(2,\)"),
    ("lacks", 2, "must be a dict with observation, achieved_goal"),
]


@pytest.mark.parametrize(
    ("fault", "when", "says", "workers"),
    # What other processes tell comes from a call that raises, or from a look at what it returns.
    [*((*fault, 0) for fault in FAULTS), *((*fault, 2) for fault in FAULTS[:4])],
)
def test_what_goes_wrong_in_an_environment_is_told_in_a_line(
    open_world, run, fault, when, says, workers
):
    settings = {"threshold": 0.1, "env_kwargs": {"fault": fault, "when": when}}
    with pytest.raises(EnvError, match=says) as caught:
        run(open_world("Faulty", env_workers=workers, **settings), 4)
    assert "\n" not in str(caught.value)
    assert "toys.py:Faulty" in str(caught.value)
    assert "hem check toys.py:Faulty" in str(caught.value)


def test_numbers_outside_their_bounds_are_let_pass(open_world, run):
    built = open_world("Faulty", env_kwargs={"fault": "outside", "when": 2})
    np.testing.assert_array_equal(run(built, 2).obs[:, 2, 2:], [[0, 7]] * 2)


def test_a_call_of_exit_in_an_environment_does_not_end_hem(open_world, run):
    with pytest.raises(EnvError, match="SystemExit"):
        run(open_world("Faulty", threshold=0.1, env_kwargs={"fault": "exit"}), 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (f"{TOYS}:Nothing", "has no 'Nothing': it has .*Reach"),
        (f"{TOYS}:no_environment", "returned int, which is not a gymnasium.Env"),
        ("CartPole-v1", r"cannot be used: its observation space is Box"),
        ("nothing_here:Some-v0", "there is no module nothing_here"),
        ("gymnasium_robotics:Nothing-v0", "no environment 'Nothing-v0' is registered"),
        ("Pendulum-v1", "a goal environment needs a Dict"),
    ],
)
def test_what_cannot_be_a_world_is_refused(open_world, name, says):
    with pytest.raises(UserError, match=says) as caught:
        registry.load("environment", name).make(Config())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no/such/file.py:MyEnv", "there is no file .*no/such/file.py"),
        (TOYS, r"add the name of a class or function in it, as in toys.py:MyEnv"),
        ("FlipBot", "did you mean FlipBit"),
        ("PointMaze_UMaze", "did you mean PointMaze_UMaze-v3"),
        ("zzzzz", "my_env.py:MyEnv"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name, says):
    with pytest.raises(UserError, match=says):
        registry.load("environment", name)


def test_a_file_that_fails_is_told_in_a_line(tmp_path, open_world):
    for code, says in (("1 / 0\n", "ZeroDivisionError.*bad.py:1"), ("def f(:\n", "SyntaxError")):
        (tmp_path / "bad.py").write_text(code)
        with pytest.raises(EnvError, match=says) as caught:
            open_world(f"{tmp_path / 'bad.py'}:Env")
        assert "\n" not in str(caught.value)


def test_a_changed_file_is_read_again(tmp_path, open_world):
    file, name = tmp_path / "changing.py", f"{tmp_path / 'changing.py'}:Mine"
    lines = ["import sys", f"sys.path.append({str(Path(TOYS).parent)!r})", "import toys"]
    sizes = []
    for size in (1.0, 3.0):
        made = f"def Mine(): return toys.Reach({size})"
        file.write_text("\n".join([*lines, made]))
        built = open_world(name)
        sizes.append((built.task.version_hash, built.reset(np.zeros((1, 2), np.uint32))[1]))
    assert sizes[0][0] != sizes[1][0]
    np.testing.assert_allclose(3 * sizes[0][1], sizes[1][1], rtol=1e-6)


def test_names_are_whole_and_short():
    door = registry.load("environment", os.path.relpath(TOYS) + ":Reach")
    assert door.NAME == TOYS + ":Reach"
    assert "Reach" in door.summary
    assert registry.load("environment", "PointMaze_UMaze-v3").NAME == "PointMaze_UMaze-v3"
    assert registry.load("environment", "FetchReach-v4").__name__.startswith("hem.envs.mujoco")
    assert registry.load("environment", "gymnasium_robotics:FetchReach-v4").NAME == (
        "gymnasium_robotics:FetchReach-v4"
    )


def test_a_horizon_is_needed(open_world):
    with pytest.raises(UserError, match="--horizon"):
        open_world("Reach", horizon=0)
    module = registry.load("environment", "PointMaze_UMaze-v3")
    assert module.make(Config()).task.horizon == 300
    assert module.make(Config(horizon=20)).task.horizon == 20


def test_fingerprints_tell_versions(open_world):
    made = registry.load("environment", "PointMaze_UMaze-v3").make(Config()).task.version_hash
    assert "gymnasium-robotics 1.4.2" in made
    assert "mujoco 3" in made
    one, other = open_world("Reach"), open_world("Reach", env_kwargs={"size": 2})
    assert digest(TOYS) in one.task.version_hash
    assert one.task.version_hash != other.task.version_hash


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"horizon": -1}, "horizon"),
        ({"slots": 0}, "slots"),
        ({"env_workers": -2}, "env-workers"),
        ({"patience": 0}, "patience"),
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.0, "success": "a.py:b"}, "not both"),
        ({"success": "a.py"}, "FILE.py:FUNCTION"),
        ({"env_kwargs": ("a",)}, "name=value"),
        ({"env_kwargs": {"a": object()}}, "plain data"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(UserError, match=says):
        Config(**settings)


def test_arguments_of_the_constructor_are_read():
    pairs = ("a=1", "b=false", "c=False", "d=text", 'e="text"', "f=[1, 2]", "g=None")
    assert read_kwargs(pairs) == {
        "a": 1, "b": False, "c": False, "d": "text", "e": "text", "f": [1, 2], "g": None,
    }  # fmt: skip
    kwargs = {"a": 1, "b": "x=y", "c": None}
    assert read_kwargs(Config(env_kwargs=kwargs).env_kwargs) == kwargs


def test_environments_draw_themselves(open_world):
    built = open_world("Reach", film=True)
    state, goal = built.reset(np.zeros((2, 2), np.uint32) + 5)
    image = built.render(jax.tree.map(lambda x: x[0], state), goal[0])
    assert image.shape == (32, 32, 3)
    assert image.any()
    rows = open_world("vector", film=True)
    state, goal = rows.reset(np.zeros((2, 2), np.uint32) + 5)
    same(rows.render(jax.tree.map(lambda x: x[1], state), goal[1]), image)
    grid = open_world("Grid", film=True)
    state, goal = grid.reset(np.zeros((1, 2), np.uint32))
    with pytest.raises(EnvError, match=r"in render|cannot be rendered"):
        grid.render(jax.tree.map(lambda x: x[0], state), goal[0])


def test_time_goes_forward_only(open_world):
    built = open_world("Reach")
    state, _ = built.reset(np.zeros((1, 2), np.uint32))
    built.step(state, np.zeros((1, 2), np.float32))
    with pytest.raises(AssertionError, match="forward"):
        built.step(state, np.zeros((1, 2), np.float32))


def test_without_envpool_the_line_says_how_to_get_it(open_world, monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(UserError, match=r"pip install .*envpool"):
        open_world("envpool:FetchReach-v4")


@pytest.mark.filterwarnings("ignore")
def test_envpool_runs_episodes(open_world, run):
    pytest.importorskip("envpool")
    built = open_world("envpool:FetchReach-v4", env_workers=0, slots=4, horizon=5)
    assert built.task.success(np.zeros(3, np.float32), np.float32([0, 0, 0.049]))
    episodes = run(built, 8)
    assert episodes.length.tolist() == [5] * 8
    assert len(np.unique(episodes.goal, axis=0)) == 8
    moved = np.diff(episodes.achieved, axis=1)
    assert (np.abs(moved).max(axis=(1, 2)) < 0.2).all()  # no reset in between
    with pytest.raises(UserError, match=r"EnvPool has no FetchRaech-v4: it has .*FetchReach-v4"):
        open_world("envpool:FetchRaech-v4")
    assert "seeds" in vector_env.VectorEnv.__doc__


def test_a_worker_imports_no_jax_and_is_of_one_thread(open_world, run):
    episodes = run(open_world("Imports", env_workers=1), 2)
    assert (episodes.obs[..., 2:] == 0).all()


def test_worker_processes_end_when_their_parent_is_killed(tmp_path):
    code = f"""
import numpy as np, json, sys, time
from hem import registry
m = registry.load("environment", {TOYS + ":Faulty"!r})
w = m.make(m.Config(horizon=8, env_workers=2, threshold=.1, env_kwargs={{"fault": "none"}}))
state, _ = w.reset(np.zeros((4, 2), np.uint32))
import psutil
print(json.dumps([c.pid for c in psutil.Process().children()]), flush=True)
time.sleep(100)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline())
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)
