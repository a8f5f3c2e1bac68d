"""The loop: it repeats, goes on where it was, counts, evaluates when due, and stops at a NaN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.algorithms import hem
from hem.envs import flip_bit, navigation
from hem.errors import EnvError, UserError
from hem.hindsight import future
from hem.runs import seeds
from hem.runs.experiment import make_experiment
from hem.training import learning, loop
from hem.training.loop import Step
from hem.training.rollout import Interrupted
from hem.training.schedule import Counters, RunConfig

CONFIG = RunConfig(
    seed=0,
    env_steps=150,
    episodes_per_iteration=8,
    updates_per_iteration=3,
    buffer_episodes=100,
    eval_interval=60,
    eval_episodes=5,
)
TIMES = ("wall_s", "collect_s", "train_s", "eval_s")
WORLD = navigation.make(navigation.Config(dim=1, threshold=0.3, horizon=5))


def learner_of(env):
    config = hem.Config(hidden_dims=(8,), batch_size=16)
    return hem.make(config, env.task, future.make(future.Config()))


ALGORITHM = learner_of(WORLD)


def start(config: RunConfig, env=WORLD, algorithm=ALGORITHM):
    return learning.init_state(env.task, algorithm, config.seed, config.buffer_episodes)


def run(config=CONFIG, env=WORLD, algorithm=ALGORITHM, state=None, counters=None, **options):
    """The steps of a run, each state copied before it is given up."""
    state = jax.tree.map(jnp.array, state) if state else start(config, env, algorithm)
    stream = loop.iterations(env, algorithm, config, state, counters or Counters(), **options)
    for step in stream:
        yield step._replace(state=jax.tree.map(np.array, step.state))


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return list(run())


def same(one: Step, other: Step) -> bool:
    """Equal bit for bit in all but the time they took."""

    def numbers(step: Step) -> dict:
        return {name: value for name, value in step.row.items() if name not in TIMES}

    pairs = zip(jax.tree.leaves(one.state), jax.tree.leaves(other.state), strict=True)
    return numbers(one) == numbers(other) and all(np.array_equal(a, b) for a, b in pairs)


def test_equal_seeds_agree_bit_for_bit(steps):
    again = list(run())
    assert len(steps) == len(again) >= 4
    assert all(same(one, other) for one, other in zip(steps, again, strict=True))


def test_different_seeds_differ_in_everything_random(steps):
    other = next(run(replace(CONFIG, seed=1)))
    differ = jax.tree.map(lambda a, b: not np.array_equal(a, b), steps[0].state, other.state)
    assert all(jax.tree.leaves(differ.agent_state.policy.params.network))
    assert differ.replay.data.obs
    assert differ.replay.data.goal
    assert differ.replay.data.action
    assert steps[0].row["train/loss"] != other.row["train/loss"]


def test_a_run_goes_on_exactly_where_it_was(steps):
    rest = list(run(state=steps[1].state, counters=steps[1].counters))
    assert all(same(one, other) for one, other in zip(steps[2:], rest, strict=True))
    last = steps[1].counters
    assert all(getattr(rest[-1].counters, name) > getattr(last, name) for name in TIMES)


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """An entry for each program that has been compiled since."""
    programs = []

    def listen(event: str, seconds: float, **named: str) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            programs.append(named.get("fun_name", ""))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield programs
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("stored", [False, True], ids=["new", "resumed"])
@pytest.mark.parametrize("host", [False, True], ids=["jax", "batched"])
@pytest.mark.parametrize("env", [WORLD, flip_bit.make(flip_bit.Config(bits=3))])
def test_all_is_compiled_in_the_first_iteration(env, host, stored, as_batched_env, compiled):
    # Whole episodes, because this batched environment is compiled for each number of rows.
    env = env._replace(task=env.task._replace(terminates_on_success=False))
    algorithm, config = learner_of(env), replace(CONFIG, eval_interval=1)
    state = start(config, env, algorithm)
    state = jax.tree.map(np.array, state) if stored else state
    env = as_batched_env(env) if host else env
    stream = loop.iterations(env, algorithm, config, state, Counters())
    next(stream)
    assert compiled
    del compiled[:]
    assert len(list(stream)) >= 3
    assert compiled == []


def test_counters_count(steps):
    for number, (state, counters, row) in enumerate(steps, 1):
        stored = state.replay.data.length  # all of them: the capacity suffices
        assert counters.iteration == state.iteration == number
        assert counters.episodes == state.replay.size == number * CONFIG.episodes_per_iteration
        assert counters.updates == number * CONFIG.updates_per_iteration
        assert counters.env_steps == stored.sum()
        assert state.agent_state.opt_state[0].count == counters.updates
        assert {name: row[name] for name in ("iteration", "env_steps", "episodes", "updates")} == {
            name: getattr(counters, name)
            for name in ("iteration", "env_steps", "episodes", "updates")
        }
        new = slice(
            (number - 1) * CONFIG.episodes_per_iteration, number * CONFIG.episodes_per_iteration
        )
        assert row["rollout/ep_len_mean"] == stored[new].mean()
        reached = WORLD.task.success(state.replay.data.achieved, state.replay.data.goal[:, None])
        after = np.arange(1, WORLD.task.horizon + 1) <= stored[:, None]
        assert row["rollout/success_rate"] == (reached[:, 1:] & after)[new].any(axis=1).mean()
        assert row["rollout/failure_rate"] == 0
        assert counters.wall_s >= counters.collect_s + counters.train_s + counters.eval_s
        assert counters.collect_s > 0 < counters.train_s
        evaluated = counters.evaluated == counters.env_steps
        assert evaluated == ("eval/success_rate" in row)
        assert (counters.eval_s > 0) == (counters.evaluated > 0)
    assert len(set(stored[stored > 0])) > 1


def test_every_update_has_randomness_of_its_own():
    def e_step(key, state, replay):
        batch = ALGORITHM.e_step(key, state, replay)
        return batch._replace(weight=jax.random.uniform(key, batch.weight.shape))

    def m_step(key, state, batch):
        u = jax.random.uniform(key)
        return state, {"m": u, "e": batch.weight[0], "m2": u**2}

    rows = [step.row for step in run(algorithm=ALGORITHM._replace(e_step=e_step, m_step=m_step))]
    assert len({row["train/m"] for row in rows} | {row["train/e"] for row in rows}) == 2 * len(rows)
    # Metrics are means over updates, and these have a variance.
    assert all(row["train/m2"] > row["train/m"] ** 2 + 1e-4 for row in rows)


def test_it_stops_when_the_budget_is_spent(steps):
    assert steps[-2].counters.env_steps < CONFIG.env_steps <= steps[-1].counters.env_steps
    assert list(run(counters=steps[-1].counters, state=steps[-1].state)) == []


def test_statistics_have_seen_every_frame(steps):
    stored = steps[-1].state.replay
    frames = stored.data.length.sum() + stored.size
    assert steps[-1].state.agent_state.policy.obs.seen == frames


def test_evaluations_are_due_at_every_multiple_and_at_the_end(steps):
    before = 0
    for step in steps:
        after = step.counters.env_steps
        multiples = [m for m in range(before + 1, after + 1) if m % CONFIG.eval_interval == 0]
        due = bool(multiples) or after >= CONFIG.env_steps
        assert ("eval/success_rate" in step.row) == due
        before = after
    assert not multiples  # so the last one was due for being the last
    rates = [step.row.get("eval/success_rate") for step in steps]
    assert None in rates
    assert steps[-1].counters.best == max(rate for rate in rates if rate is not None)


def test_no_episode_is_run_twice_in_training_or_evaluation(as_batched_env):
    keys = []
    batched_env = as_batched_env(WORLD)

    def reset(data):
        keys.extend(map(tuple, data.tolist()))
        return batched_env.reset(data)

    simulated = list(run(env=batched_env._replace(reset=reset)))
    evaluations = sum("eval/success_rate" in step.row for step in simulated)
    assert (
        len(keys)
        == len(simulated) * CONFIG.episodes_per_iteration + evaluations * CONFIG.eval_episodes
    )
    assert len(set(keys)) == len(keys)
    assert evaluations >= 2


def test_fixed_evaluations_are_of_the_same_episodes_and_change_no_training(as_batched_env):
    keys = []
    batched_env = as_batched_env(WORLD)

    def reset(data):
        keys.append(tuple(map(tuple, data.tolist())))
        return batched_env.reset(data)

    config = replace(CONFIG, eval_fixed=True)
    simulated = list(run(config, batched_env._replace(reset=reset)))
    evaluations = sum("eval/success_rate" in step.row for step in simulated)
    assert evaluations >= 2
    assert len(set(keys)) == len(keys) - evaluations + 1
    assert [s.row["rollout/success_rate"] for s in simulated] == [
        step.row["rollout/success_rate"] for step in run(CONFIG, batched_env)
    ]


def test_a_simulator_does_what_the_same_world_in_jax_does(steps, as_batched_env):
    for simulated, step in zip(run(env=as_batched_env(WORLD)), steps[:2], strict=False):
        assert simulated.counters.env_steps == step.counters.env_steps
        # Only what lies past the episodes' ends is different, and rounding.
        for one, other in zip(
            jax.tree.leaves(simulated.state.agent_state),
            jax.tree.leaves(step.state.agent_state),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_request_to_stop_interrupts_a_simulation(as_batched_env):
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) > 8  # in the second iteration

    stream = run(env=as_batched_env(WORLD), should_stop=should_stop)
    next(stream)
    with pytest.raises(Interrupted):
        next(stream)


def test_a_nan_in_observations_stops_before_anything_is_yielded():
    def observe(state):
        return jnp.where(state > 0.5, jnp.nan, state), state

    with pytest.raises(UserError, match="in the observation array of Navigation in iteration 0"):
        next(run(env=WORLD._replace(observe=observe)))


def test_a_nan_in_the_loss_stops_before_its_iteration_is_yielded():
    def m_step(key, state, batch):
        state, metrics = ALGORITHM.m_step(key, state, batch)
        late = state.opt_state[0].count > 2 * CONFIG.updates_per_iteration
        return state, {"loss": jnp.where(late, jnp.nan, metrics["loss"])}

    stream = run(algorithm=ALGORITHM._replace(m_step=m_step))
    good = [next(stream), next(stream)]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(good[-1].state.agent_state))
    with pytest.raises(UserError, match="in the train/loss array of Navigation in iteration 2"):
        next(stream)


@pytest.mark.parametrize("host", [False, True], ids=["jax", "batched"])
def test_a_nan_in_an_evaluation_stops_after_what_was_learnt_is_yielded(host, as_batched_env):
    def act(keys, state, obs, goal, explore):
        action = ALGORITHM.act(keys, state, obs, goal, explore)
        return action if explore else jnp.nan * action

    env = as_batched_env(WORLD) if host else WORLD
    stream = run(replace(CONFIG, eval_interval=1), env, ALGORITHM._replace(act=act))
    assert "eval/success_rate" not in next(stream).row
    with pytest.raises(EnvError, match="array of Navigation in episodes"):
        next(stream)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"seed": 2**32},
        *(
            {name: 0}
            for name in (
                "env_steps",
                "episodes_per_iteration",
                "updates_per_iteration",
                "eval_interval",
            )
        ),
        {"eval_episodes": 0},
        {"buffer_episodes": 7},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)).replace("_", "-")):
        replace(CONFIG, **wrong)


FLIPS = {
    "strategy": "future",
    "bits": 4,
    "random_eps": 0.3,
    "relative_goals": False,
    "batch_size": 64,
    "hidden_dims": (32,),
    "learning_rate": 3e-3,
    "episodes_per_iteration": 16,
    "updates_per_iteration": 40,
    "env_steps": 595,  # where one seed has got a little further than the other
    "eval_interval": 256,
    "eval_episodes": 50,
}


@pytest.fixture(scope="module")
def curves() -> seeds.SeedCurves:
    return seeds.train_seeds("FlipBit", [3, 8], **FLIPS)


@pytest.mark.parametrize("row", [0, 1])
def test_seeds_side_by_side_do_what_each_does_alone(curves, row):
    seed = (3, 8)[row]
    experiment = make_experiment("FlipBit", seed=seed, **FLIPS)
    env, algorithm = experiment.build()
    every = 256 // (16 * 4)  # iterations between evaluations
    alone = [step.row for step in run(experiment.run, env, algorithm)]
    steps = np.array([step["env_steps"] for step in alone][every - 1 :: every])
    assert curves.env_steps[row, 0] == steps[0]  # then rounding may have led to another action
    shared = min(len(steps), curves.env_steps.shape[1])
    np.testing.assert_allclose(curves.env_steps[row, :shared], steps[:shared], rtol=0.1)
    assert curves.env_steps.shape == curves.success_rate.shape == (2, curves.env_steps.shape[1])


def test_seeds_side_by_side_differ_and_learn_until_each_is_done(curves):
    np.testing.assert_array_equal(curves.seeds, [3, 8])
    assert (curves.env_steps[:, -1] >= FLIPS["env_steps"]).all()
    assert (curves.env_steps[:, -2] < FLIPS["env_steps"]).any()
    assert (curves.env_steps[0] != curves.env_steps[1]).any()
    assert (curves.success_rate[:, -1] > 0.9).all()
    assert (curves.success_rate[:, 0] < curves.success_rate[:, -1]).all()
    kernel = curves.agent_state.policy.params.network["params"]["Dense_0"]["kernel"]
    assert kernel.shape == (2, 8, 32)
    assert (kernel[0] != kernel[1]).any()


@pytest.mark.parametrize(
    ("env", "algo"), [("FlipBit", "hem"), ("FlipBit", "her"), ("Navigation", "hem")]
)
def test_seeds_that_diverge_are_named(env, algo):
    few = {
        "hidden_dims": (8,),
        "episodes_per_iteration": 4,
        "updates_per_iteration": 5,
        "eval_interval": 400,
        "env_steps": 2000,
    }
    with pytest.raises(UserError, match=r"with seed 3, 8, first in the .* in iteration 0"):
        seeds.train_seeds(env, [3, 8], algo, learning_rate=1e30, **few)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "at least one seed"),
        ({"seeds": [1], "seed": 2}, "seeds instead of seed"),
        ({"seeds": [1], "bitz": 2}, "no setting bitz"),
    ],
)
def test_seeds_refuse_what_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        seeds.train_seeds("FlipBit", **arguments)
