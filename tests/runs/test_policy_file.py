import dataclasses
import json

import jax
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

import hem
from hem.errors import UserError
from hem.models import policy as policies
from hem.models.policy import Policy, PolicyState
from hem.registry import load
from hem.runs.loaded_policy import LoadedPolicy
from hem.runs.policy_file import SCHEMA, load_policy, save_policy
from hem.types import Task

WORLDS = ["FlipBit", "Navigation"]  # a discrete and a continuous action


def fresh(env: str) -> tuple[Task, Policy, PolicyState]:
    module = load("environment", env)
    task = module.make(module.Config()).task
    policy = policies.make(policies.spec_of(task, (8,)))
    return task, policy, policy.init(jax.random.key(3))


def observations(task: Task, n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "observation": rng.integers(0, 2, (n, *task.obs_shape)).astype(task.obs_dtype),
        "achieved_goal": np.zeros((n, *task.goal_shape)),
        "desired_goal": rng.integers(0, 2, (n, *task.goal_shape)).astype(task.goal_dtype),
    }


def saved(tmp_path, env: str) -> tuple[Task, Policy, PolicyState, LoadedPolicy]:
    task, policy, state = fresh(env)
    save_policy(tmp_path, policy, state, task)
    return task, policy, state, load_policy(tmp_path)


@pytest.mark.parametrize("env", WORLDS)
def test_a_loaded_policy_acts_as_the_saved_one(tmp_path, env):
    task, policy, state, loaded = saved(tmp_path, env)
    obs = observations(task, 5)
    action, memory = loaded.predict(obs, state="kept", episode_start=np.ones(5, bool))
    assert memory == "kept"
    expected = policy.greedy(state, obs["observation"], obs["desired_goal"])
    np.testing.assert_array_equal(action, expected)


@pytest.mark.parametrize("env", WORLDS)
def test_one_observation_gives_the_action_that_it_has_in_a_batch(tmp_path, env):
    task, _, _, loaded = saved(tmp_path, env)
    obs = observations(task, 3)
    batch, _ = loaded.predict(obs)
    one, _ = loaded.predict({key: value[1] for key, value in obs.items()})
    assert one.shape == task.action.shape
    np.testing.assert_allclose(one, batch[1], rtol=1e-5, atol=1e-6)


def test_samples_follow_their_seed(tmp_path):
    task, _, _, loaded = saved(tmp_path, "Navigation")
    obs = observations(task, 4)
    first, _ = loaded.predict(obs, deterministic=False, seed=1)
    again, _ = loaded.predict(obs, deterministic=False, seed=1)
    other, _ = loaded.predict(obs, deterministic=False, seed=2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("env", WORLDS)
def test_a_policy_that_acts_by_samples_does_so_from_its_file(tmp_path, env):
    task, policy, state = fresh(env)
    policy = policies.make(dataclasses.replace(policy.spec, temperature=0.5))
    save_policy(tmp_path, policy, state, task)
    loaded, obs = load_policy(tmp_path), observations(task, 64)
    keys = jax.random.split(jax.random.key(3), 64)
    expected = policy.act(keys, state, obs["observation"], obs["desired_goal"])
    np.testing.assert_allclose(loaded.predict(obs, seed=3)[0], expected, atol=1e-6)
    surest, _ = loaded.predict(obs, deterministic=True)
    greedy = policy.greedy(state, obs["observation"], obs["desired_goal"])
    np.testing.assert_allclose(surest, greedy, atol=1e-6)
    plain, _ = loaded.predict(obs, seed=3, deterministic=False)  # at temperature 1
    for one, other in ((expected, surest), (expected, plain), (surest, plain)):
        assert not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("env", WORLDS)
@pytest.mark.parametrize("temperature", [0, 0.5, 2])
def test_a_policy_from_a_file_can_act_at_another_temperature(tmp_path, env, temperature):
    task, policy, state = fresh(env)
    save_policy(
        tmp_path, policies.make(dataclasses.replace(policy.spec, temperature=1.0)), state, task
    )
    loaded, obs = load_policy(tmp_path), observations(task, 64)
    other = loaded.at_temperature(temperature)
    wanted = policies.make(dataclasses.replace(policy.spec, temperature=temperature))
    keys = jax.random.split(jax.random.key(3), 64)
    expected = wanted.act(keys, state, obs["observation"], obs["desired_goal"])
    np.testing.assert_allclose(other.predict(obs, seed=3)[0], expected, atol=1e-6)
    assert not np.allclose(loaded.predict(obs, seed=3)[0], expected, atol=1e-3)
    assert (loaded.described.network.temperature, other.described.network.temperature) == (
        1.0,
        temperature,
    )


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf"), "warm", None])
def test_no_policy_acts_at_an_impossible_temperature(tmp_path, temperature):
    loaded = saved(tmp_path, "FlipBit")[-1]
    with pytest.raises(UserError, match=r"acting-temperature[^\n]*$"):
        loaded.at_temperature(temperature)


def test_a_file_from_before_temperatures_and_relative_goals_is_read(tmp_path):
    task, policy, state, _ = saved(tmp_path, "FlipBit")
    redescribed(tmp_path, temperature=None, achieved_at=None)
    loaded, obs = load_policy(tmp_path), observations(task, 5)
    expected = policy.greedy(state, obs["observation"], obs["desired_goal"])
    np.testing.assert_array_equal(loaded.predict(obs)[0], expected)


@pytest.mark.parametrize("env", WORLDS)
def test_a_policy_that_sees_relative_goals_does_so_from_its_file(tmp_path, env):
    task, policy, _ = fresh(env)
    relative = policies.make(policies.spec_of(task, (8,), relative_goals=True))
    save_policy(tmp_path, relative, relative.init(jax.random.key(3)), task)
    loaded, obs = load_policy(tmp_path), observations(task, 64)
    assert loaded.policy.spec.achieved_at == task.achieved_at != policy.spec.achieved_at
    expected = relative.greedy(loaded.state, obs["observation"], obs["desired_goal"])
    np.testing.assert_allclose(loaded.predict(obs, deterministic=True)[0], expected, atol=1e-6)


@pytest.mark.parametrize("env", WORLDS)
def test_without_a_seed_each_sample_is_a_new_one(tmp_path, env):
    task, _, _, loaded = saved(tmp_path, env)
    obs = observations(task, 1)
    draws = [loaded.predict(obs, deterministic=False)[0] for _ in range(40)]
    assert len(np.unique(draws, axis=0)) > 1


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda obs: {"observation": obs["observation"]}, "desired_goal"),
        (lambda obs: obs["observation"], "dict"),
        (lambda obs: obs | {"observation": obs["observation"][:, :-1]}, "shape"),
        (lambda obs: obs | {"desired_goal": obs["desired_goal"] * np.nan}, "NaN"),
        (lambda obs: obs | {"desired_goal": obs["desired_goal"][0]}, "one of each"),
    ],
)
def test_a_bad_observation_is_refused_in_a_line(tmp_path, broken, message):
    task, _, _, loaded = saved(tmp_path, "Navigation")
    with pytest.raises(UserError, match=message):
        loaded.predict(broken(observations(task, 2)))


def test_the_description_for_people_says_what_the_header_says(tmp_path):
    _, _, _, loaded = saved(tmp_path, "FlipBit")
    said = json.loads((tmp_path / "policy.json").read_text())
    assert said == msgspec.json.decode(msgspec.json.encode(loaded.described))
    assert said["schema"] == SCHEMA


@pytest.mark.parametrize("content", [b"", b"not a policy", b"\x80\x04K\x01."])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "policy.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="not a hem policy"):
        hem.load_policy(tmp_path)


def test_a_missing_policy_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no policy at"):
        hem.load_policy(tmp_path / "nothing.safetensors")


def box(shape, **more) -> dict:
    return {"space": "box", "shape": shape, "dtype": "float32", "low": None, "high": None} | more


def redescribed(folder, **changes) -> None:
    """Write the policy again with other words about it; None takes a word away."""
    file = folder / "policy.safetensors"
    with safe_open(file, framework="numpy") as stored:
        header = json.loads(stored.metadata()["hem"])
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  no dict
    for part in ("network", "spaces"):
        words = header[part] | {name: changes[name] for name in header[part].keys() & changes}
        header[part] = {name: word for name, word in words.items() if word is not None}
    header |= {name: changes[name] for name in header.keys() & changes}
    save_file(arrays, file, {"hem": json.dumps(header)})


@pytest.mark.parametrize(
    ("schema", "message"),
    [(SCHEMA + 1, "upgrade hem"), (SCHEMA - 1, "older hem"), ("2", "no schema version")],
)
def test_a_policy_of_another_schema_is_refused_in_a_line(tmp_path, schema, message):
    saved(tmp_path, "FlipBit")
    redescribed(tmp_path, schema=schema)
    with pytest.raises(UserError, match=f"{message}[^\n]*$"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_dims": None},
        {"hidden_dims": 3},
        {"hidden_dims": [-1]},
        {"hidden_dims": ["a"]},
        {"hidden_dims": [2.5]},
        {"hidden_dims": [1] * 3000},
        {"hidden_dims": [10**12]},
        {"frames": 10**6},
        {"frames": 0},
        {"observation": box([-1])},
        {"observation": box("ab")},
        {"observation": box([10**12])},
        {"observation": {"space": "toe"}},
        {"observation": {"space": "discrete", "n": 10**9, "start": 0, "dtype": "int64"}},
        {"observation": {"space": "discrete", "n": 0, "start": 0, "dtype": "int64"}},
        {"desired_goal": {"space": "tuple", "parts": []}},
        {"desired_goal": {"space": "tuple", "parts": [box([1])] * 10**5}},
        {"task": 3},
        {"head": "toe"},
        {"head": "binned", "bins": 0},
        {"head": "binned", "bins": "x"},
        {"head": "binned", "bins": 10**9},
        {"achieved_at": [0]},
        {"achieved_at": [0, 2]},
        {"achieved_at": [0, -1]},
        {"achieved_at": [0, 1.5]},
        {"achieved_at": list(range(10**5))},
        {"achieved_at": "ab"},
        {"activation": "toe"},
        {"activation": "Dense"},  # a word that the library of networks knows
        {"activation": 3},
        {"encoder": "toe"},
        {"encoder": "SpatialSoftmax"},
        {"action": box([2], low=[-1.0], high=[1.0, 1.0])},
        {"action": box([2], low=[1.0, -1.0], high=[1.0, 1.0])},
        {"action": box([2], low=[float("nan")] * 2, high=[1.0, 1.0])},
        {"action": box([2], low="ab", high=[1.0, 1.0])},
        {"action": box([2])},
        {"action": box([10**6], low=-1, high=1)},
        {"action": {"space": "multi_binary", "n": 2}},
        {"action": []},
    ],
    ids=str,
)
def test_a_wrong_description_is_refused_in_a_line(tmp_path, wrong):
    saved(tmp_path, "Navigation")
    redescribed(tmp_path, **wrong)
    with pytest.raises(UserError, match=r"does not describe a policy|is damaged") as refused:
        load_policy(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "other",
    [
        {"hidden_dims": [9]},
        {"hidden_dims": [8, 8]},
        {"achieved_at": [0, 1]},
        {"observation": box([10**6])},
        {"observation": box([8, 8, 3])},
        {"observation": box([8, 8, 3], dtype="uint8", low=0, high=255)},
        {"desired_goal": box([2, 2, 2])},
        {"head": "binned", "bins": 3},
        {"action": {"space": "discrete", "n": 3, "start": 0, "dtype": "int64"}},
        {"action": box([1], low=-1.0, high=1.0)},
    ],
    ids=str,
)
def test_a_description_of_other_arrays_is_refused(tmp_path, other):
    saved(tmp_path, "Navigation")
    redescribed(tmp_path, **other)
    with pytest.raises(UserError, match="does not hold the arrays that it describes"):
        load_policy(tmp_path)


def test_a_policy_whose_variance_is_negative_is_refused(tmp_path):
    task, policy, state = fresh("FlipBit")
    damaged = state._replace(goal=state.goal._replace(m2=state.goal.m2 - 1))
    save_policy(tmp_path, policy, damaged, task)
    with pytest.raises(UserError, match="a negative variance"):
        load_policy(tmp_path)


def test_a_policy_that_is_no_number_is_refused(tmp_path):
    task, policy, state = fresh("FlipBit")
    save_policy(tmp_path, policy, jax.tree.map(lambda x: x * np.nan, state), task)
    with pytest.raises(UserError, match="NaN"):
        load_policy(tmp_path)


def is_fit_or_refused(file) -> bool:
    """Whether there is a policy, or one line that names the file."""
    try:
        load_policy(file)
    except UserError as error:
        said = str(error)
        return str(file) in said and "\n" not in said and len(said) < 1000
    return True


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    saved(folder, "Navigation")
    return (folder / "policy.safetensors").read_bytes()


@settings(max_examples=60)
@given(data=st.data())
def test_bytes_that_have_changed_are_survived(tmp_path_factory, whole, data):
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    file = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    file.write_bytes(damaged[:end])
    assert is_fit_or_refused(file)


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 3, 10**6, 10**12, 2**63, 10**40]),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(["uint8", "int8", "float16", "discrete", "tuple", "dict", "tanh", "binned"]),
    st.lists(st.sampled_from([0, 1, 8, 10**9]), max_size=4),
    st.builds(lambda: [1] * 3000),
    st.builds(dict),
)


def places(value, path=()):
    """Where there are values within a value."""
    yield path
    if isinstance(value, (dict, list)):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


@settings(max_examples=60)
@given(data=st.data())
def test_words_that_have_changed_are_survived(tmp_path_factory, whole, data):
    file = tmp_path_factory.getbasetemp() / "changed.safetensors"
    file.write_bytes(whole)
    with safe_open(file, framework="numpy") as stored:
        header = json.loads(stored.metadata()["hem"])
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  no dict
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from([p for p in places(header) if p]))
        inner = header
        for key in path:
            inner = inner[key]
        inner[last] = data.draw(odd)
    save_file(arrays, file, {"hem": json.dumps(header)})
    assert is_fit_or_refused(file)
