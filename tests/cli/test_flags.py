"""Flags make what files and Python make, or are refused in the same words."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from hem import registry
from hem.cli.flags import parse_check, parse_train
from hem.errors import UserError
from hem.training.schedule import RunConfig

WORLDS = ("FlipBit", "Navigation")  # discrete and continuous actions
ENVS = (*registry.own("environment"), "docs/my_env.py:MyEnv")


def integers(config: type) -> list[str]:
    """The flags of the settings that are integers."""
    kinds = get_type_hints(config)
    names = [name for name, kind in kinds.items() if kind in (int, int | None)]
    return [f"--{name.replace('_', '-')}" for name in names]


OF_ENVS = [
    ([env], flag) for env in ENVS for flag in integers(registry.load("environment", env).Config)
]
OF_ALGORITHMS = [
    ([env, "--algo", algo], flag)
    for env in WORLDS
    for algo in registry.own("algorithm")
    for flag in integers(registry.load("algorithm", algo).Config)
]
OF_RUNS = [(["FlipBit", "--offline", "a-v0"], flag) for flag in integers(RunConfig)]


@pytest.mark.parametrize(("words", "flag"), [*OF_ENVS, *OF_ALGORITHMS, *OF_RUNS])
def test_a_number_that_no_array_can_hold_is_refused(words, flag):
    with pytest.raises(UserError, match=f"^{flag[2:]} must be "):
        parse_train(words[0], [*words[1:], flag, str(10**25)])


@pytest.mark.parametrize(("words", "flag"), OF_ENVS)
def test_so_it_is_by_a_check(words, flag):
    with pytest.raises(UserError, match=f"^{flag[2:]} must be "):
        parse_check(words[0], [flag, str(10**25)])


@pytest.mark.parametrize("words", [
    ["--algo", "her", "--algo", "gcsl", "--bits", "6", "--bits", "5"],
    ["--algo=her", "--bits=6", "--algo", "gcsl", "--bits", "5"],
    ["--algo", "her", "--bits", "6", "--bits=5", "--algo=gcsl"],
])  # fmt: skip
def test_of_a_flag_given_twice_the_last_counts_whatever_the_flag(words):
    experiment = parse_train("FlipBit", words).experiment
    assert (experiment.algo, experiment.env_config.bits) == ("gcsl", 5)


@pytest.mark.parametrize(("algo", "flag"), [("hem", "--action-bins"), ("gcsl", "--bins")])
def test_a_grid_that_no_program_can_index_is_refused(algo, flag):
    with pytest.raises(UserError, match=f"^{flag[2:]} must be .* below 2\\^31, not 3000000000"):
        parse_train("Navigation", ["--algo", algo, flag, "3000000000"])
