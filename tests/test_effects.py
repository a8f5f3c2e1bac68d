"""No setting is taken that does nothing: each changes the program that runs, or is refused."""

import dataclasses
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jax
import numpy as np
import pytest

import hem
from hem import registry
from hem.cli.flags import parse_train
from hem.errors import UserError
from hem.models.networks import ENCODERS
from hem.replay import buffer as ring
from hem.runs.experiment import Experiment, make_experiment
from hem.types import Box, Discrete

ACTIONS = {"discrete": Discrete(3), "continuous": Box((-1.0, 0.0), (1.0, 3.0))}
NAMES = registry.entries("algorithm")
# Each algorithm, and settings or tasks in which some of its settings could do nothing.
CASES = [
    *((name, kind, {}, {}) for name in NAMES for kind in ACTIONS),
    ("her", "continuous", {"relabel_ratio": 0.0}, {}),
    ("hem-her", "continuous", {"relabel_ratio": 0.0}, {}),
    ("hem-her", "continuous", {"eta": 0.0}, {}),
    ("hem", "continuous", {"action_bins": 3}, {}),
    ("mpo", "continuous", {"temperature": 0.5}, {}),
    ("hpg", "discrete", {}, {"terminates_on_success": False}),
]
WITHOUT = ["gcsl", "hpg", "reinforce"]  # a strategy


def another(hint: Any, value: Any) -> Any:
    """A value of a setting that is not its default."""
    if get_origin(hint) is tuple:
        return (5,)
    if get_origin(hint) is Literal:
        return next(word for word in get_args(hint)[::-1] if word != value)
    if hint is bool:
        return not value
    return (3 if value == 2 else 2) if hint is int else 0.37


def program(module: Any, config: Any, task: Any, episodes: Any) -> str:
    """All that an algorithm computes, as text, with the numbers in it."""
    strategy = registry.load("strategy", "future")
    algorithm = module.make(config, task, strategy.make(strategy.Config()))
    replay = ring.add(ring.init(task, 4), episodes)

    def all_of_it() -> tuple:
        key = jax.random.key(0)
        state = algorithm.observe(algorithm.init(key), episodes)
        keys = jax.random.split(key, 3)
        seen = state, episodes.obs[:, 0], episodes.goal
        acts = [algorithm.act(keys, *seen, explore) for explore in (True, False)]
        batch = algorithm.e_step(key, state, replay)
        return acts, batch, algorithm.m_step(key, state, batch)

    traced = jax.make_jaxpr(all_of_it)()
    numbers = [np.asarray(constant).tolist() for constant in traced.consts]
    return f"{re.sub('0x[0-9a-f]+', '', str(traced))} {numbers}"


@pytest.mark.parametrize(("name", "kind", "settings", "of_task"), CASES)
def test_a_setting_of_an_algorithm_changes_what_it_computes_or_is_refused(
    name, kind, settings, of_task, task, random_episodes
):
    module = registry.load("algorithm", name)
    hints = get_type_hints(module.Config)
    task = task._replace(action=ACTIONS[kind], achieved_at=(2, 0), **of_task)
    episodes = random_episodes(np.random.default_rng(0), task, [5, 2, 4])
    standard = module.Config(**settings)
    before = program(module, standard, task, episodes)
    assert program(module, standard, task, episodes) == before
    for field in hints.keys() - settings.keys():
        value = another(hints[field], getattr(standard, field))
        try:
            config = dataclasses.replace(standard, **{field: value})
            found = program(module, config, task, episodes)
        except UserError as error:
            found = str(error)
        flag = field.replace("_", "-")
        refused = re.fullmatch(rf"{flag} has no effect w.*: leave out --{flag}", found)
        assert refused or "{ lambda" in found
        assert found != before, f"{field} does nothing"


@pytest.mark.parametrize("name", NAMES)
def test_with_images_an_encoder_sees_other_features(name, task, random_episodes):
    module = registry.load("algorithm", name)
    image = {"obs_shape": (32, 32, 3), "obs_dtype": np.dtype(np.uint8)}
    task = task._replace(action=ACTIONS["continuous"], **image)
    episodes = random_episodes(np.random.default_rng(0), task, [5, 2, 4])
    programs = [program(module, module.Config(encoder=x), task, episodes) for x in ENCODERS]
    assert len(set(programs)) == len(ENCODERS)
    with pytest.raises(UserError, match=r"encoder must be one of cnn, .*, not 'vit'"):
        program(module, module.Config(encoder="vit"), task, episodes)


@pytest.mark.parametrize("name", WITHOUT)
def test_a_strategy_that_is_never_used_is_refused_and_not_recorded(name):
    experiment = make_experiment("FlipBit", name)
    assert experiment.strategy is experiment.strategy_config is None
    assert Experiment.from_json(experiment.to_json()) == experiment
    experiment.build()
    with pytest.raises(UserError, match=rf"^{name} uses no hindsight strategy"):
        make_experiment("FlipBit", name, "future")
    with pytest.raises(UserError, match="no setting distance_discount"):
        make_experiment("FlipBit", name, distance_discount=0.5)
    with pytest.raises(UserError, match=r"^strategy must be None, not 'future'"):
        Experiment.from_json(experiment.to_json() | {"strategy": "future"})


@pytest.mark.parametrize(
    ("name", "settings", "uses"),
    [
        ("hem", {}, True),
        *((name, {"relabel_ratio": 0.5}, True) for name in ("her", "hem-her", "mpo")),
        *((name, {"relabel_ratio": 0.0}, False) for name in ("her", "hem-her", "mpo")),
    ],
)
def test_a_strategy_is_refused_with_settings_that_do_not_use_it(name, settings, uses):
    make_experiment("FlipBit", name, **settings).build()  # the one that it has by default
    experiment = make_experiment("FlipBit", name, "final", **settings)
    if uses:
        experiment.build()
    else:
        with pytest.raises(UserError, match="leave out --strategy"):
            experiment.build()


def test_every_algorithm_says_which_strategies_it_uses():
    uses = [registry.load("algorithm", name).Config.uses_strategy for name in NAMES]
    assert [name for name, use in zip(NAMES, uses, strict=True) if use is False] == WITHOUT


@pytest.mark.parametrize("name", WITHOUT)
def test_the_command_line_refuses_a_strategy_that_does_nothing(name):
    for flags in (["--strategy", "geometric"], ["--distance-discount", "0.5"]):
        with pytest.raises(UserError, match=r"strategy|distance-discount"):
            parse_train("FlipBit", ["--algo", name, *flags])
    assert parse_train("FlipBit", ["--algo", name]).experiment == make_experiment("FlipBit", name)


@pytest.mark.parametrize("env", ["FlipBit", "FourRooms", "Navigation"])
def test_a_setting_of_a_world_in_jax_changes_the_world(env):
    module = registry.load("environment", env)

    def described(**settings) -> str:
        built = module.make(module.Config(**settings))
        task = built.task

        def episode(key):
            state, goal = built.reset(key)
            after = built.step(key, state, np.zeros(task.action.shape, task.action.dtype))
            obs, achieved = built.observe(after)
            return obs, task.success(achieved, goal)

        return f"{task._replace(success=None)} {jax.make_jaxpr(episode)(jax.random.key(0))}"

    standard = described()
    assert described() == standard
    for field, hint in get_type_hints(module.Config).items():
        value = another(hint, getattr(module.Config, field))
        assert described(**{field: value}) != standard, field


@pytest.mark.parametrize("env", ["Reacher", "FetchPush-v4"])
@pytest.mark.parametrize(("setting", "value"), [("image_size", 64), ("camera", "top")])
def test_settings_of_pictures_want_pictures(env, setting, value, tmp_path, monkeypatch):
    flag = setting.replace("_", "-")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^{flag} has no effect with --obs state: leave out"):
        hem.train(env, **{setting: value})
    assert not list(tmp_path.iterdir())
    make_experiment(env, obs="image", **{setting: value})
