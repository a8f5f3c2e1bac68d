import pytest

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
