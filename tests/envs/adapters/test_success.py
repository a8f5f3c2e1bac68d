"""Success functions: found where there is a threshold, and equal to the environment's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys
from gymnasium import spaces

from hem import registry
from hem.envs.adapters.env_id import EnvId, EnvSpec
from hem.envs.adapters.open_slots import make_env_slots
from hem.envs.adapters.probe import judge_of, look
from hem.envs.adapters.success import from_file, within
from hem.envs.spaces.forms import form_of
from hem.errors import UserError

TOYS = toys.__file__


def looked(name, threshold=None, spec="", kwargs=()):
    return look(EnvSpec(EnvId("file", TOYS, name), kwargs, 10), threshold, spec).verdict


def registered(name):
    plan = EnvSpec(EnvId("gymnasium", "", name), (), 0)
    compute = judge_of(plan.origin, make_env_slots(plan))[1]
    return look(plan, None, "").verdict, compute


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("Reach", "found by search"),
        ("Attribute", "its distance_threshold"),
        ("Misleading", "found by search"),
    ],
)
def test_a_threshold_is_found(name, how):
    verdict = looked(name)
    assert verdict.threshold == toys.THRESHOLD
    assert how in verdict.how
    assert not verdict.on_host


@pytest.mark.parametrize(
    ("name", "threshold"), [("FetchReach-v4", 0.05), ("PointMaze_UMaze-v3", 0.45)]
)
def test_the_thresholds_of_known_environments_are_found_and_agree(name, threshold):
    verdict, compute = registered(name)
    assert verdict.threshold == threshold
    rng = np.random.default_rng(1)
    goal = rng.uniform(-2, 2, (300, 3 if "Fetch" in name else 2))
    way = rng.normal(size=goal.shape)
    way *= threshold * rng.uniform(0.5, 1.5, (300, 1)) / np.linalg.norm(way, axis=1, keepdims=True)
    reward = np.array([compute(a, g, {}) for a, g in zip(goal + way, goal, strict=True)])
    said = verdict.success(np.float32(goal + way), np.float32(goal))
    np.testing.assert_array_equal(said, reward == max(reward))
    assert 0.3 < said.mean() < 0.7


def test_without_a_threshold_the_environment_is_asked_even_inside_a_compiled_program():
    verdict = looked("Manhattan")
    assert verdict.on_host
    assert "own compute_reward" in verdict.how
    rng = np.random.default_rng(0)
    achieved, goal = rng.uniform(-0.5, 0.5, (2, 20, 7, 2)).astype(np.float32)
    expected = np.abs(achieved - goal[:, :1]).sum(-1) < 2 * toys.THRESHOLD
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(verdict.success(achieved, goal[:, :1]), expected)
    np.testing.assert_array_equal(jax.jit(verdict.success)(achieved, goal[:, :1]), expected)
    mapped = jax.vmap(verdict.success, in_axes=(0, 0))(jnp.asarray(achieved), goal[:, :1])
    np.testing.assert_array_equal(mapped, expected)
    one = verdict.success(achieved[0, 0], goal[0, 0])
    assert one.shape == ()
    assert one == expected[0, 0]


def test_a_result_that_nobody_looks_at_is_not_asked_for():
    asked = []

    def reward(achieved, goal):
        asked.append(1)
        return 0.0

    from hem.envs.adapters.success import on_host

    success = on_host(reward, 0.0, -1.0, 1)

    @jax.jit
    def steps(x):
        def step(x, _):
            batch = {"reward": success(x, x), "obs": x + 1}
            return batch["obs"], None

        return jax.lax.scan(step, x, length=3)[0]

    steps(jnp.zeros((4, 2))).block_until_ready()
    assert not asked


@pytest.mark.parametrize("one_hot", ["false", "true"])
def test_whole_numbered_goals_are_achieved_where_they_are_equal(one_hot):
    verdict = looked("Grid", kwargs=(f"one_hot={one_hot}",))
    assert verdict.threshold is not None
    form = form_of(spaces.MultiDiscrete([4, 4]), "goal")
    cells = np.stack([[i, j] for i in range(4) for j in range(4)])
    if one_hot == "true":
        cells = np.stack([spaces.utils.flatten(form.space, cell) for cell in cells])
    said = verdict.success(np.int8(cells[:, None]), np.int8(cells))
    np.testing.assert_array_equal(said, np.eye(16, dtype=bool))


@pytest.mark.parametrize(
    ("name", "says"), [("Graded", "compute_reward returns"), ("Silent", "has no compute_reward")]
)
def test_where_success_cannot_be_known_it_has_to_be_given(name, says):
    with pytest.raises(UserError, match=rf"{says}.*--threshold .* or --success"):
        looked(name)
    verdict = looked(name, threshold=0.2)
    np.testing.assert_array_equal(
        verdict.success(np.float32([[0, 0], [0, 0]]), np.float32([[0, 0.1], [0, 0.3]])),
        [True, False],
    )
    assert looked(name, spec=f"{TOYS}:close").success is not None


def test_bytes_do_not_wrap_and_pictures_are_goals():
    success = within(2.0, 3)
    dark, light = np.zeros((2, 1, 1, 4), np.uint8), np.full((2, 1, 1, 4), 255, np.uint8)
    near = np.full((2, 1, 1, 4), 1, np.uint8)
    assert not success(dark, light).any()
    assert success(dark, near).tolist() == [True, True]
    assert jax.jit(success)(dark, near).all()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("only_numpy", "only_numpy fails: .*NumPy and JAX"),
        ("of_one_pair", r"returns bool\[\] for 3 pairs"),
        ("nothing", "has no 'nothing'"),
    ],
)
def test_a_success_function_that_does_not_work_is_refused(name, says):
    with pytest.raises(UserError, match=says):
        from_file(f"{TOYS}:{name}", form_of(spaces.Box(-1, 1, (2,)), "goal"))


def test_a_compute_reward_that_fails_is_told_in_a_line(tmp_path):
    file = tmp_path / "bad.py"
    file.write_text(
        f"import sys; sys.path.append({str(toys.__file__.rpartition('/')[0])!r})\n"
        "import toys\n"
        "class Bad(toys.Reach):\n"
        "    def compute_reward(self, a, g, info): return info['nothing']\n"
        "    def step(self, action): return self.observation(), 0., False, False, {}\n"
    )
    with pytest.raises(UserError, match=r"bad.py:Bad failed in compute_reward: KeyError.*bad.py:4"):
        look(EnvSpec(EnvId("file", str(file), "Bad"), (), 10), None, "")


def test_the_world_has_the_success_that_was_found():
    module = registry.load("environment", f"{TOYS}:Manhattan")
    env = module.make(module.Config(horizon=5, env_workers=0))
    assert bool(env.task.success(np.zeros(2), np.zeros(2)))
    assert not bool(env.task.success(np.zeros(2), np.ones(2)))
