"""What is computed is the same in any program."""

import os
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from running import FLIP, TINY, final_bits, without_clock

import hem
from hem import registry
from hem.system.compile_cache import jit, keep_compiled, trim
from hem.types import Box, Discrete

ACTIONS = {"discrete": Discrete(3), "box": Box((-1.0, 0.0), (1.0, 3.0))}
WALK = TINY | {"horizon": 6, "eval_interval": 48, "eval_episodes": 2, "env_steps": 96}
RUNS = {
    "hem": ("FlipBit", "hem", FLIP | {"env_steps": 80}),
    "gcsl": ("Navigation", "gcsl", WALK),
    "her": ("PointMass", "her", WALK),
}


def wide():
    """A program that computes in 64 bits."""
    return jax.enable_x64(True)


def test_the_oldest_programs_are_forgotten_and_nothing_else(tmp_path):
    for age, name in enumerate(["d-cache", "c-cache", "thesis.txt", "b-cache", "a-cache"]):
        (tmp_path / name).write_bytes(bytes(10))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    trim(tmp_path, 40)
    assert len(list(tmp_path.iterdir())) == 5
    trim(tmp_path, 25)
    assert {path.name for path in tmp_path.iterdir()} == {"d-cache", "c-cache", "thesis.txt"}
    trim(tmp_path, 0)
    trim(tmp_path / "none", 0)
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.txt"}


def test_a_program_that_was_cut_off_is_compiled_again(tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("HEM_CACHE_DIR", str(tmp_path))
    try:
        keep_compiled()
        compilation_cache.reset_cache()
        program = jax.jit(lambda x: jnp.sin(x) * 3)
        whole = program(0.5)
        (file,) = tmp_path.glob("*-cache")
        file.write_bytes(file.read_bytes()[:100])
        program.clear_cache()
        jax.clear_caches()
        assert program(0.5) == whole
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        compilation_cache.reset_cache()


@pytest.mark.parametrize(
    ("known", "home", "folder"),
    [
        ({"HEM_CACHE_DIR": "a", "XDG_CACHE_HOME": "b"}, "c", Path("a")),
        ({"XDG_CACHE_HOME": "b"}, "c", Path("b", "hem")),
        ({}, "c", Path("c", ".cache", "hem")),
        ({"HEM_CACHE_DIR": "a"}, None, Path("a")),
        ({"XDG_CACHE_HOME": "b"}, None, Path("b", "hem")),
        ({}, None, None),
    ],
)
def test_programs_are_cached_where_there_is_a_place_for_them(monkeypatch, known, home, folder):
    def home_of_the_user() -> Path:
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return Path(home)

    for name in ("HEM_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    asked = {}
    monkeypatch.setattr(Path, "home", home_of_the_user)
    monkeypatch.setattr(jax.config, "update", asked.__setitem__)
    keep_compiled()
    assert asked.get("jax_compilation_cache_dir") == (folder and str(folder))


def test_a_compiled_function_computes_in_32_bits():
    def half(x):
        return x / 2 + jnp.arange(2), jnp.sum(jnp.arange(3))

    with wide():
        narrow = jit(half)(np.float64(0.1))
        assert [x.dtype for x in jax.jit(half)(np.float64(0.1))] == [jnp.float64, jnp.int64]
    assert [x.dtype for x in narrow] == [jnp.float32, jnp.int32]


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("name", registry.entries("algorithm"))
def test_a_learner_begins_with_arrays_of_one_type(task, name, kind):
    def types() -> list:
        strategy = registry.load("strategy", "future")
        module = registry.load("algorithm", name)
        agent_state = module.make(
            module.Config(hidden_dims=(4,)),
            task._replace(action=ACTIONS[kind]),
            strategy.make(strategy.Config()),
        )
        leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(agent_state.init, key))
        return [(jax.tree_util.keystr(path), leaf.dtype) for path, leaf in leaves]

    key = jax.random.key(0)
    narrow = types()
    with wide():
        assert types() == narrow


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_the_same_in_any_program(tmp_path, name):
    env, algo, settings = RUNS[name]
    here = hem.train(env, algo, run_dir=tmp_path / "here", **settings)
    said = hem.evaluate(here.folder, episodes=4)
    with wide():
        half = settings | {"env_steps": settings["env_steps"] // 2}
        there = hem.train(env, algo, run_dir=tmp_path / "there", **half)
    hem.resume(there.folder, env_steps=settings["env_steps"])
    assert final_bits(there.folder) == final_bits(here.folder)
    assert without_clock(there.folder)[-1] == without_clock(here.folder)[-1]
    with wide():
        assert hem.evaluate(there.folder, episodes=4) == said
        assert hem.resume(there.folder, env_steps=settings["env_steps"] + 1)


def test_seeds_side_by_side_are_the_same_in_any_program():
    narrow = hem.train_seeds("FlipBit", [0, 1], **FLIP)
    with wide():
        again = hem.train_seeds("FlipBit", [0, 1], **FLIP)
    jax.tree.map(np.testing.assert_array_equal, again, narrow)


def test_a_policy_acts_alike_in_any_program(tmp_path):
    run = hem.train("Navigation", run_dir=tmp_path / "run", **WALK)
    seen = {"observation": np.full(2, 0.3), "desired_goal": np.full(2, -0.1)}
    narrow = [run.policy.predict(seen, deterministic=d, seed=1)[0] for d in (True, False)]
    with wide():
        policy = hem.load_policy(run.folder)
        again = [policy.predict(seen, deterministic=d, seed=1)[0] for d in (True, False)]
        env = gymnasium.make("hem/Navigation-v0")
        obs, _ = env.reset(seed=3)
        assert obs in env.observation_space
        env.step(again[0])
    np.testing.assert_array_equal(again, narrow)
