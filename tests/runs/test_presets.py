import dataclasses
import tomllib
from pathlib import Path

import pytest

from hem import registry
from hem.cli.flags import parse_train
from hem.runs import presets
from hem.runs.experiment import make_experiment
from hem.runs.presets import preset
from hem.training.schedule import RunConfig

TABLE = tomllib.loads(Path(presets.__file__).with_name("presets.toml").read_text(encoding="utf-8"))
RUN = {field.name for field in dataclasses.fields(RunConfig)}
NAMES = [
    (algorithm, env, obs)
    for algorithm, environments in TABLE.items()
    for env, values in environments.items()
    if isinstance(values, dict) and env != "defaults"
    for obs in ("state", *(key for key, value in values.items() if isinstance(value, dict)))
]


@pytest.mark.parametrize(("algorithm", "env", "obs"), NAMES)
def test_a_preset_is_what_the_experiment_has(algorithm, env, obs):
    asked = {"obs": obs} if obs != "state" else {}
    experiment = make_experiment(env, algorithm, **asked)
    fields = [
        vars(part) for part in (experiment.env_config, experiment.algo_config, experiment.run)
    ]
    fields += [vars(experiment.strategy_config)] if experiment.strategy else []
    fields += [{"strategy": experiment.strategy}]
    known = {name: value for part in fields for name, value in part.items()}
    values = preset(algorithm, env, obs)
    assert values
    assert {name: known[name] for name in values} == values


@pytest.mark.parametrize(("algorithm", "env", "obs"), NAMES)
def test_flags_take_a_preset_as_python_does(algorithm, env, obs):
    asked = {"obs": obs} if obs != "state" else {}
    words = ["--algo", algorithm, *(f"--{name}={value}" for name, value in asked.items())]
    assert parse_train(env, words).experiment == make_experiment(env, algorithm, **asked)


def test_an_algorithm_like_another_has_its_settings():
    assert preset("hem-her", "FetchSlide-v4") == preset("her", "FetchSlide-v4") != {}
    pushing = preset("hem-her", "FetchPush-v4")
    assert pushing["polyak"] == preset("her", "FetchPush-v4")["polyak"] == 0.95
    assert pushing["skip_achieved"]
    assert "skip_achieved" not in preset("her", "FetchPush-v4")


@pytest.mark.parametrize("algorithm", ["reinforce", "hpg"])
@pytest.mark.parametrize("env", registry.entries("environment"))
def test_what_learns_from_its_own_actions_makes_one_update_an_iteration(algorithm, env):
    assert make_experiment(env, algorithm).run.updates_per_iteration == 1


def test_an_environment_is_trained_by_the_algorithm_that_suits_it():
    named = {env: make_experiment(env).algo for env in registry.entries("environment")}
    critics = {"FetchPush-v4": "hem-her", "FetchPickAndPlace-v4": "her", "FetchSlide-v4": "her"}
    assert named == {env: critics.get(env, "hem") for env in named}
    assert make_experiment("FetchPush-v4", "hem").algo == "hem"


def test_an_unknown_name_has_no_preset():
    assert preset("hem", "nothing") == preset("nothing", "FlipBit") == {}


@pytest.mark.parametrize("algorithm", registry.entries("algorithm"))
def test_a_run_is_evaluated_at_most_twenty_times(algorithm):
    foreign = {env for _, env, _ in NAMES} - set(registry.entries("environment"))
    for env in (*registry.entries("environment"), *foreign):
        for obs in ("state", "image"):
            values = preset(algorithm, env, obs)
            run = RunConfig(**{name: values[name] for name in RUN & set(values)})
            assert run.env_steps <= 20 * run.eval_interval, (env, obs)
