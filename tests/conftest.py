"""What several test files share."""

from __future__ import annotations

import os

# For child processes too, and before JAX is imported: tests compile more than they compute.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS",  # these make compiling three times as fast
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import jax
import numpy as np
import pytest
from running import training_here, without_ray

from hem.system.compile_cache import keep_compiled
from hem.types import BatchedEnv, Discrete, Episodes, JaxEnv, Task

# Neither the clock nor chance decides whether a test passes.
hypothesis.settings.register_profile("hem", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("hem")

# Tracing makes many objects, few of them garbage: looking for it takes a fourteenth of the time.
gc.set_threshold(100_000)

GARBAGE = 99  # in what lies past an episode's length


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory) -> Iterator[None]:
    """No program is compiled twice, here or in a child process, and none is left behind."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # one for all processes
        patch.setenv("HEM_CACHE_DIR", str(base / "compiled"))
        keep_compiled()
        yield


@pytest.fixture(scope="session")
def datasets(tmp_path_factory) -> Iterator[Path]:
    """The folder of Minari's datasets, here and in child processes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("datasets")
        patch.setenv("MINARI_DATASETS_PATH", str(folder))
        yield folder


@pytest.fixture
def in_turn(monkeypatch) -> None:
    """In this process, Ray is not found: the runs of a suite follow one another."""
    without_ray(monkeypatch)


@pytest.fixture
def trained_here(monkeypatch) -> None:
    """They are trained in this process too, where what starts their own does not matter."""
    training_here(monkeypatch)


@pytest.fixture(scope="session")
def task() -> Task:
    """A task of three actions and five steps; ``task._replace`` makes others of it."""
    return Task(
        name="Tiny",
        obs_shape=(3,),
        obs_dtype=np.dtype(np.float32),
        goal_shape=(2,),
        goal_dtype=np.dtype(np.int8),
        action=Discrete(3),
        horizon=5,
        success=lambda achieved, goal: (achieved == goal).all(-1),
        terminates_on_success=True,
        version_hash="Tiny-v0",
    )


@pytest.fixture(scope="session")
def random_episodes() -> Callable[..., Episodes]:
    """``make(rng, task, length[N])``: episodes of these lengths, in NumPy, padded with garbage."""

    def make(rng: np.random.Generator, task: Task, length: list[int]) -> Episodes:
        n, frames = len(length), task.horizon + 1
        obs = rng.normal(3, 2, (n, frames, *task.obs_shape)).astype(task.obs_dtype)
        achieved = rng.integers(0, 2, (n, frames, *task.goal_shape)).astype(task.goal_dtype)
        if isinstance(task.action, Discrete):
            action = rng.integers(0, task.action.n, (n, task.horizon), np.int32)
        else:
            action = rng.uniform(*task.action, (n, task.horizon, *task.action.shape))
        for row, steps in enumerate(length):
            obs[row, steps + 1 :] = achieved[row, steps + 1 :] = action[row, steps:] = GARBAGE
        return Episodes(
            obs=obs,
            achieved=achieved,
            goal=rng.integers(0, 2, (n, *task.goal_shape)).astype(task.goal_dtype),
            action=action.astype(task.action.dtype),
            length=np.array(length, np.int32),
            failed=np.zeros(n, bool),
        )

    return make


@pytest.fixture(scope="session")
def as_batched_env() -> Callable[[JaxEnv], BatchedEnv]:
    """``wrap(env)``: an environment without noise behind host code, as those on MuJoCo are."""

    def wrap(env: JaxEnv) -> BatchedEnv:
        def host(function: Callable) -> Callable:
            mapped = jax.jit(jax.vmap(function))
            return lambda *args: jax.tree.map(np.asarray, mapped(*args))

        unused = jax.random.key(0)
        return BatchedEnv(
            task=env.task,
            reset=host(lambda data: env.reset(jax.random.wrap_key_data(data))),
            step=host(lambda state, action: env.step(unused, state, action)),
            observe=host(env.observe),
            render=env.render,
        )

    return wrap
