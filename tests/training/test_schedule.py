import pytest

from hem.errors import UserError
from hem.training.schedule import Counters, RunConfig, is_due

CONFIG = RunConfig(env_steps=100, eval_interval=30)


@pytest.mark.parametrize(
    ("env_steps", "evaluated", "due"),
    [
        (0, 0, False),
        (29, 0, False),
        (30, 0, True),
        (59, 31, False),
        (61, 31, True),
        (95, 31, True),  # two at once are one
        (99, 95, False),
        (100, 95, True),  # the budget is spent
        (104, 104, False),
        (104, 31, True),
    ],
)
def test_an_evaluation_is_due_as_often_as_asked_and_at_the_end(env_steps, evaluated, due):
    assert is_due(Counters(env_steps=env_steps, evaluated=evaluated), CONFIG) == due


def test_without_environment_steps_it_is_updates_that_count():
    config = RunConfig(env_steps=100, eval_interval=30, offline="push/demo-v0", updates=50)
    assert (config.budget, config.unit) == (50, "updates")
    now = {"env_steps": 0, "evaluated": 0}
    assert [is_due(Counters(updates=n, **now), config) for n in (0, 29, 30)] == [False, False, True]
    assert is_due(Counters(updates=50, evaluated=30), config)
    assert not is_due(Counters(updates=59, evaluated=50), RunConfig(offline="x", eval_interval=30))
    assert RunConfig(offline="push/demo-v0").budget == 100_000
    assert (CONFIG.budget, CONFIG.unit) == (100, "environment steps")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"demos": "a-v0", "offline": "b-v0"}, "give --demos or --offline, not both"),
        ({"updates": 5}, "updates has no effect without --offline"),
        ({"updates": 5, "demos": "a-v0"}, "updates has no effect without --offline"),
        ({"updates": 0, "offline": "a-v0"}, "updates must be at least 1"),
    ],
)
def test_settings_of_data_that_contradict_one_another_are_refused(wrong, said):
    with pytest.raises(UserError, match=f"^{said}"):
        RunConfig(**wrong)
