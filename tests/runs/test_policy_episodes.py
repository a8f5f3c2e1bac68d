"""Fresh episodes of a policy, and at which temperature it acts in them."""

import pytest

import hem
from hem.runs.policy_episodes import policy_episodes
from hem.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> hem.Run:
    folder = tmp_path_factory.mktemp("runs") / "flips"
    return hem.train("FlipBit", bits=6, env_steps=6000, run_dir=folder, acting_temperature=0.1)


def test_a_policy_is_evaluated_at_the_temperature_asked_for(run):
    def success(temperature: float | None) -> float:
        report = hem.evaluate(run.folder, episodes=400, acting_temperature=temperature)
        return report["success_rate"]

    assert success(None) == success(0.1) > 0.9
    assert success(1e6) < 0.3  # nearly uniform actions
    with pytest.raises(hem.UserError, match="acting-temperature must be at least 0"):
        success(-1)


def test_episodes_are_those_of_the_seed_at_every_temperature(run):
    opened = Run(run.folder)
    policies = [opened.policy.at_temperature(t) for t in (0, 3)]
    cold, hot = (
        next(policy_episodes(opened.with_policy(policy), 5, seed=1)).episodes for policy in policies
    )
    assert (cold.obs[:, 0] == hot.obs[:, 0]).all()
    assert (cold.goal == hot.goal).all()
    assert (cold.action != hot.action).any()
