"""Each setting takes what it is, whatever kind of number holds it, and refuses all else by name."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest
from running import FLIP

import hem
from hem import api, registry
from hem.envs.adapters.adapter import Config as Foreign
from hem.errors import UserError
from hem.runs.experiment import Experiment, make_experiment
from hem.system.conversion import checked, convert, fill, newer
from hem.training.schedule import RunConfig

NAN, INFINITE = float("nan"), float("inf")
CONFIGS = [
    *(
        pytest.param(registry.load(kind, name).Config, id=name)
        for kind in registry.PACKAGES
        for name in registry.entries(kind)
    ),
    pytest.param(RunConfig, id="run"),
    pytest.param(Foreign, id="foreign"),
]
NOTHING = (object(), object, b"1", {"a": 1}, {1}, NAN, INFINITE, -INFINITE, 1j, [[1]], [None])
WRONG = {
    int: (*NOTHING, "3", "", 2.5, True, [3], np.float32(2.5), np.array([1, 2]), 10**30, -(10**30)),
    float: (*NOTHING, "0.5", True, [0.5], np.nan, np.float32("inf"), 10**400),
    bool: (*NOTHING, 0, 1, 1.0, "True", "", [True]),
    str: (*NOTHING, 3, 2.5, True, Path("a"), ["a"]),
    tuple: (*NOTHING, 3, "ab", True),
}


class Line(gymnasium.Env):
    """An environment, as far as a caller could tell."""


def kind_of(hint: Any) -> Any:
    inner = [kind for kind in get_args(hint) if kind is not type(None)]
    if get_origin(hint) is tuple or not inner:
        return get_origin(hint) or hint
    return str if isinstance(inner[0], str) else inner[0]  # of a literal, or of what may be None


@pytest.mark.parametrize("config", CONFIGS)
def test_what_is_no_value_of_a_setting_is_refused_by_its_name(config):
    for name, hint in get_type_hints(config).items():
        takes_none = type(None) in get_args(hint)
        nothing = () if takes_none else (None,)
        for value in (*WRONG[kind_of(hint)], *nothing):
            if name == "env_kwargs" and isinstance(value, dict):
                continue  # which it takes as well
            with pytest.raises(UserError) as error:
                fill(config, {name: value})
            said = str(error.value)
            assert said.startswith(f"{name.replace('_', '-')} must be "), said
            assert "\n" not in said
            assert len(said) < 300


@pytest.mark.parametrize("config", CONFIGS)
def test_a_value_may_be_held_by_anything_that_is_equal(config):
    standard = config()
    for field in dataclasses.fields(config):
        value = getattr(standard, field.name)
        holders = [value, np.asarray(value), np.asarray(value).tolist()]
        if type(value) is int:
            holders += [float(value), np.float32(value), np.int64(value), jnp.int32(value)]
        if type(value) is float:
            holders += [np.float64(value)]
        if type(value) is tuple:
            holders += [list(value), [float(x) if type(x) is int else x for x in value]]
        for held in holders if value is not None else [None]:
            filled = fill(config, {field.name: held})
            assert filled == standard
            assert type(getattr(filled, field.name)) is type(value)


def test_all_fields_are_wanted_of_a_file_and_no_others():
    whole = dataclasses.asdict(RunConfig())
    assert fill(RunConfig, whole, complete=True) == RunConfig()
    with pytest.raises(UserError, match="missing: updates"):
        fill(
            RunConfig,
            {k: v for k, v in whole.items() if k != "updates_per_iteration"},
            complete=True,
        )
    with pytest.raises(UserError, match="unknown setting sped: use one of seed, "):
        fill(RunConfig, whole | {"sped": 1})


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "words"),
    [
        (str | Path, ["a", Path("a")], [3, None, b"a", "a\0b", ["a"]], "a path"),
        (str | Path | None, ["a", None], [3], "a path or None"),
        (int | None, [3, None, 3.0], ["3"], "an integer or None"),
        (Sequence[int], [(1, 2), np.arange(3), range(2)], [3, "12", [1.5]], "integers"),
        (dict[str, Any], [{"a": 1}], [{1: 1}, [], "a"], "a dict of settings"),
    ],
)
def test_arguments_that_are_no_settings(kind, right, wrong, words):
    for value in right:
        found = convert("it", value, kind)
        assert list(found) == list(value) if kind == Sequence[int] else found == value
    for value in wrong:
        with pytest.raises(UserError, match=f"^it must be {words.removesuffix(' or None')}"):
            convert("it", value, kind)


def test_what_nests_without_end_is_refused():
    endless: list = []
    endless.append(endless)
    for kind in (int, tuple[int, ...], str):
        with pytest.raises(UserError, match=r"^it must be"):
            convert("it", endless, kind)
    with pytest.raises(UserError, match=r"env_kwargs|env-kwargs"):
        Foreign(env_kwargs={"a": endless})
    with pytest.raises(UserError, match="env-kwargs"):
        Foreign(env_kwargs=("a=" + "[" * 100_000,))


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda run: hem.train("FlipBit", episodes_per_iteration=2.5), "episodes-per-iteration"),
        (lambda run: hem.train("FlipBit", bits="5"), "bits"),
        (lambda run: hem.train("FlipBit", hidden_dims=64), "hidden-dims"),
        (lambda run: hem.train("FlipBit", algo=3), "algo"),
        (lambda run: hem.train("FlipBit", strategy=["future"]), "strategy"),
        (lambda run: hem.train("FlipBit", obs=["state"]), "obs"),
        (lambda run: hem.train("FlipBit", run_dir=3), "run-dir"),
        (lambda run: hem.train("FlipBit", quiet="yes"), "quiet"),
        (lambda run: hem.train(3), "env"),
        (lambda run: hem.train(["FlipBit"]), "env"),
        (lambda run: hem.resume(run, env_steps="300"), "env-steps"),
        (lambda run: hem.resume(run, trust="no"), "trust"),
        (lambda run: hem.resume(None), "run-dir"),
        (lambda run: hem.evaluate(run, episodes=1.5), "episodes"),
        (lambda run: hem.evaluate(run, episodes=NAN), "episodes"),
        (lambda run: hem.evaluate(run, seed="0"), "seed"),
        (lambda run: hem.evaluate(3), "run-dir"),
        (lambda run: hem.read_metrics(3), "run-dir"),
        (lambda run: hem.Run(3), "folder"),
        (lambda run: hem.Run(run, trust=1), "trust"),
        (lambda run: hem.load_policy(3), "path"),
        (lambda run: hem.train_seeds("FlipBit", seeds=3), "seeds"),
        (lambda run: hem.train_seeds("FlipBit", seeds=["0"]), "seeds"),
        (lambda run: hem.train_seeds("FlipBit", seeds=[0.5]), "seeds"),
        (lambda run: registry.make_env("FlipBit", bits="5"), "bits"),
        (lambda run: registry.make_env(Line), "env"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_done(tmp_path, monkeypatch, call, names):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^{names} must be "):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_class_is_no_name():
    with pytest.raises(UserError, match=r"^env must be the name .* \(my_env\.py:MyEnv "):
        registry.make_env(Line)


def test_every_argument_of_what_a_program_calls_is_converted():
    for function in (api.train, api.resume, api.evaluate, api.read_metrics, hem.train_seeds):
        assert function.__wrapped__.__name__ == function.__name__  # by ``checked``


def test_whole_numbers_from_a_program_train(tmp_path):
    settings = FLIP | {
        "episodes_per_iteration": 4.0,
        "bits": np.int64(5),
        "hidden_dims": [np.float32(8)],
        "seed": 3e0,
    }
    run = hem.train("FlipBit", run_dir=tmp_path / "run", **settings)
    assert run.experiment == make_experiment("FlipBit", **FLIP | {"seed": 3})
    assert hem.evaluate(run.folder, episodes=1e1)["episodes"] == 10
    assert hem.Run(str(run.folder)).experiment == run.experiment


def test_configurations_are_not_believed():
    good = make_experiment("FlipBit").to_json()
    assert Experiment.from_json(good) == make_experiment("FlipBit")
    for name in good:
        for value in (None, 3, [], {}, "", {"bits": []}, [["bits", 3]]):
            with pytest.raises(UserError):
                Experiment.from_json(good | {name: value})
    with pytest.raises(UserError, match=r"hidden-dims must be integers, not 2\.5"):
        Experiment.from_json(good | {"algo_config": good["algo_config"] | {"hidden_dims": 2.5}})


def test_a_checked_function_is_the_same_function():
    @checked
    def add(n: int, other: int = 1, *, what: Any = None, **settings: Any) -> tuple:
        """Add."""
        return n + other, what, settings

    assert add(2.0, what="a", more="b") == (3, "a", {"more": "b"})
    assert add.__doc__ == "Add."
    with pytest.raises(TypeError, match="missing"):
        add()
    with pytest.raises(UserError, match=r"^other must be an integer, not 'x'"):
        add(1, "x")


@dataclasses.dataclass(frozen=True)
class Grown:
    """A configuration that got a setting after files of it had been written."""

    old: int = 1
    added: bool = newer(False)


def test_a_file_may_lack_a_setting_that_is_newer_and_no_other():
    assert fill(Grown, {"old": 2}, complete=True) == Grown(2, added=False)
    assert fill(Grown, {"old": 2, "added": True}, complete=True) == Grown(2, added=True)
    with pytest.raises(UserError, match="these settings are missing: old"):
        fill(Grown, {"added": True}, complete=True)
