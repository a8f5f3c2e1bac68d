"""An environment that ends an episode by failing: told from truncation, and learned from."""

from __future__ import annotations

import numpy as np
import pytest
import toys

from hem.replay import buffer as ring
from hem.replay import estep
from hem.runs.experiment import make_experiment
from hem.training.learning import init_state
from hem.training.loop import Counters, iterations
from hem.types import Index

HORIZON = 8


def replayed(make, seed: int, actions: np.ndarray) -> tuple[bool, bool, bool]:
    """How the environment itself ends an episode: success, terminated, truncated."""
    env = make()
    env.reset(seed=seed)
    for action in actions:
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return info["is_success"], terminated, truncated
    return info["is_success"], False, False


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize(
    ("name", "make", "settings"),
    [
        ("Reach", lambda: toys.Reach(ends=True), {"env_kwargs": {"ends": True}}),
        ("Reach", lambda: toys.Reach(ends=True), {"env_kwargs": {"ends": True}, "env_workers": 2}),
        ("limited", toys.limited, {}),
        *(
            ("vector", lambda: toys.Reach(ends=True), {"env_kwargs": {"mode": mode, "kind": kind}})
            for mode in ("NextStep", "SameStep", "Disabled")
            for kind in ("sync", "async")
        ),
    ],
)
def test_a_failure_is_what_the_environment_terminated_without_success(
    open_world, run, name, make, settings, ends
):
    env, seeds = open_world(name, horizon=HORIZON, threshold=toys.THRESHOLD, **settings), []

    def reset(keys):
        seeds.extend(int(key[-1] >> 1) for key in keys)
        return env.reset(keys)

    episodes = run(env._replace(reset=reset), 40, ends=ends)
    said = [
        replayed(make, seed, actions[:steps])
        for seed, actions, steps in zip(seeds, episodes.action, episodes.length, strict=False)
    ]
    success, terminated, truncated = np.array(said).T
    early = episodes.length < HORIZON  # at the horizon, it may only mean that time is up
    np.testing.assert_array_equal(episodes.failed, terminated & ~success & early)
    assert 5 < episodes.failed.sum() < 35
    assert (~episodes.failed).any()
    if name == "limited":
        assert truncated.sum() > 5


def test_critics_hold_a_failure_for_good_and_go_on_past_a_truncation(open_world, run):
    env = open_world("limited", horizon=HORIZON, threshold=toys.THRESHOLD)
    episodes = run(env, 60)
    replay = ring.add(ring.init(env.task, 60), episodes)
    last = Index(np.arange(60), episodes.length - 1)
    batch = estep.transitions(
        replay, env.task, last, estep.desired_goal(replay, last.episode), last.step, gamma=0.9
    )
    missed = np.asarray(batch.reward) == 0
    truncated = missed & ~episodes.failed
    assert truncated.any()
    np.testing.assert_array_equal(batch.failed, episodes.failed)
    np.testing.assert_allclose(batch.discount[truncated], 0.9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algo", "settings"),
    [("her", {}), ("her", {"reward_scheme": "0/1"}), ("hem-her", {}), ("hem", {})],
    ids=["her", "her 0/1", "hem-her", "hem"],
)
def test_a_river_of_lava_is_crossed_by_its_bridge(algo, settings):
    loop = {
        "env_steps": 30_000,
        "eval_interval": 3000,
        "eval_episodes": 48,
        "episodes_per_iteration": 16,
    }
    small = {"hidden_dims": (64, 64), "updates_per_iteration": 60, "env_workers": 0}
    experiment = make_experiment(f"{toys.__file__}:Lava", algo, **loop, **small, **settings)
    env, algorithm = experiment.build()
    state = init_state(env.task, algorithm, 0, experiment.run.buffer_episodes)
    steps = iterations(env, algorithm, experiment.run, state, Counters())
    # 0 to the end where failures are bootstrapped
    assert any(step.row.get("eval/success_rate", 0) > 0.8 for step in steps)
