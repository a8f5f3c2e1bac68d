"""Numbers that are not numbers are found, and named in the order in which data flow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hem.errors import EnvError, UserError
from hem.training import finite
from hem.types import Box

LEARNER = {"weights": jnp.ones(3), "count": jnp.int32(2)}


@pytest.fixture
def episodes(task, random_episodes):
    """All arrays floating, so that each could be wrong."""
    task = task._replace(goal_dtype=np.dtype(np.float32), action=Box((-1.0,), (1.0,)))
    return random_episodes(np.random.default_rng(0), task, [5, 5])


def found(episodes, agent_state=LEARNER, loss: float = 1.0) -> dict:
    """As the loop does it: found in compiled code, and read outside."""
    return jax.jit(finite.non_finite)(episodes, agent_state, {"train/loss": jnp.float32(loss)})


def with_nan(x, value: float = np.nan):
    x = np.array(x)
    x.flat[-1] = value
    return x


def test_finite_arrays_pass(episodes):
    report = found(episodes)
    assert not any(np.asarray(bad) for bad in report.values())
    finite.check(report, "World", 0)


def test_integers_are_not_asked(task, random_episodes):
    names = set(found(random_episodes(np.random.default_rng(0), task, [5])))
    assert names == {"observation", "learner['weights']", "train/loss"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("obs", "observation"),
        ("achieved", "achieved goal"),
        ("goal", "desired goal"),
        ("action", "action"),
    ],
)
def test_an_array_of_the_episodes_is_named(episodes, field, name, value):
    bad = episodes._replace(**{field: with_nan(getattr(episodes, field), value)})
    with pytest.raises(UserError, match=rf"in the {name} array of World in iteration 7\b"):
        finite.check(found(bad), "World", 7)


def test_an_array_of_the_learner_is_named(episodes):
    agent_state = LEARNER | {"weights": with_nan(LEARNER["weights"])}
    with pytest.raises(UserError, match=r"in the learner\['weights'\] array"):
        finite.check(found(episodes, agent_state), "World", 0)


def test_a_metric_is_named(episodes):
    with pytest.raises(UserError, match="in the train/loss array"):
        finite.check(found(episodes, loss=np.inf), "World", 0)


def test_the_first_in_the_order_of_the_data_is_named(episodes):
    """Where the NaN came from: what follows from it is bad as well."""
    agent_state = LEARNER | {"weights": with_nan(LEARNER["weights"])}
    with pytest.raises(UserError, match="in the train/loss array"):
        finite.check(found(episodes, agent_state, np.nan), "World", 0)
    for field, name in [("action", "action"), ("goal", "desired goal"), ("obs", "observation")]:
        episodes = episodes._replace(**{field: with_nan(getattr(episodes, field))})
        with pytest.raises(UserError, match=f"in the {name} array"):
            finite.check(found(episodes, agent_state, np.nan), "World", 0)


def test_an_evaluation_is_not_made_of_numbers_that_are_none(episodes):
    finite.check_episodes(found(episodes), "World")
    with pytest.raises(EnvError, match="in the achieved goal array of World in episodes that"):
        finite.check_episodes(found(episodes._replace(achieved=with_nan(episodes.obs))), "World")


def test_seeds_that_diverge_are_named_and_the_others_are_not():
    flags = {"learner": np.zeros((3, 4), bool), "train/loss": np.zeros((3, 4), bool)}
    finite.check_seeds(flags, "World", [5, 6, 70], 8)
    flags["learner"][1, 2:] = flags["train/loss"][1, 2:] = flags["learner"][2, 0] = True
    said = r"with seed 6, 70, first in the train/loss array of World in iteration 10\. Lower"
    with pytest.raises(UserError, match=said):
        finite.check_seeds(flags, "World", [5, 6, 70], 8)
