"""An experiment: everything that is needed to run it and to reproduce it."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hem import registry
from hem.errors import UserError, require
from hem.registry import Component
from hem.registry.user_code import PROGRAM
from hem.runs.manifest import CONFIGS
from hem.runs.presets import preset, suitable_algorithm, suitable_strategy
from hem.system import validation
from hem.system.conversion import convert, fill
from hem.training.schedule import RunConfig
from hem.types import Algorithm, BatchedEnv, JaxEnv

NONE: Mapping[str, Any] = types.MappingProxyType({})
KINDS = {"env": "environment", "algo": "algorithm", "strategy": "strategy"}


@dataclass(frozen=True)
class Experiment:
    """Names and configurations, which are plain data, and objects if a program gave them."""

    env: str
    algo: str
    strategy: str | None  # hindsight strategy; None if the algorithm never uses one
    env_config: Any
    algo_config: Any
    run: RunConfig
    strategy_config: Any = None
    objects: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The modules of those that this program gave or registered, by field: env, algo, strategy."""

    @property
    def unnamed(self) -> dict[str, Any]:
        """Those of ``objects`` that another process does not find by their names."""
        named = {part: getattr(self, part) for part in self.objects}
        return {
            part: self.objects[part]
            for part, name in named.items()
            if not registry.is_code(KINDS[part], name)
        }

    @property
    def settings(self) -> dict[str, Any]:
        """The fields of all its configurations, by name."""
        configs = [config for part in CONFIGS if (config := getattr(self, part)) is not None]
        return {f.name: getattr(config, f.name) for config in configs for f in fields(config)}

    def module(self, part: str) -> Any:
        """The module, with ``make``, of its env, algo or strategy."""
        return _found(part, getattr(self, part), self.objects).module

    def make_env(self) -> JaxEnv | BatchedEnv:
        """The environment."""
        return self.module("env").make(self.env_config)

    def build(self) -> tuple[JaxEnv | BatchedEnv, Algorithm]:
        """The environment, and the algorithm with one worker's share of each batch."""
        self._require_off_policy()
        env = self.make_env()
        algorithm, config = self.module("algo"), self._share()
        if self.strategy is None:
            return env, algorithm.make(config, env.task, None)
        obs = getattr(self.env_config, "obs", "state")
        require(
            self.algo_config.uses_strategy
            or self.strategy == suitable_strategy(self.algo, self.env, obs),
            f"with these settings {self.algo} does not relabel goals: leave out --strategy",
        )
        strategy = self.module("strategy").make(self.strategy_config)
        return env, algorithm.make(config, env.task, strategy)

    def _require_off_policy(self) -> None:
        given = [name for name in ("demos", "offline") if getattr(self.run, name) is not None]
        require(
            not given or not getattr(self.algo_config, "on_policy", False),
            f"{self.algo} learns only from episodes that its own policy has just collected: leave "
            f"out --{' '.join(given)}, or use another --algo",
        )

    def _share(self) -> Any:
        """The algorithm's configuration for one of the run's workers."""
        workers, batches = self.run.workers, ("batch_size", "batch_episodes")
        names = [name for name in batches if hasattr(self.algo_config, name)]
        validation.shared(workers, self.algo_config, *names)
        shares = {name: getattr(self.algo_config, name) // workers for name in names}
        return dataclasses.replace(self.algo_config, **shares)

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``from_json`` reads back, with the same objects."""
        data = dataclasses.asdict(dataclasses.replace(self, objects={}))
        return {name: value for name, value in data.items() if name != "objects"}

    @classmethod
    def from_json(cls, data: dict[str, Any], objects: Mapping[str, Any] = NONE) -> Experiment:
        """Read back what ``to_json`` wrote; unknown or missing fields are errors.

        Args:
            data: the fields.
            objects: modules that replace those that are named, by field.
        """
        try:
            env, algo = (
                _found(part, convert(part, data[part], str), objects) for part in ("env", "algo")
            )
            named = str if takes_strategy(algo) else type(None)
            strategy = convert("strategy", data["strategy"], named)
            strategy = None if strategy is None else _found("strategy", strategy, objects)
            classes = config_classes(env, algo, strategy)
            configs = {
                part: fill(kind, convert(part, data[part], dict[str, Any]), complete=True)
                for part, kind in classes.items()
            }
        except (KeyError, TypeError) as error:
            raise UserError(f"this is not a hem configuration ({error!r})") from error
        return assembled(env, algo, strategy, configs)


def assembled(
    env: Component, algo: Component, strategy: Component | None, configs: Mapping[str, Any]
) -> Experiment:
    """The experiment of these, with configurations by field."""
    parts = {"env": env, "algo": algo, "strategy": strategy}
    names = {part: found and found.name for part, found in parts.items()}
    objects = {part: found.module for part, found in parts.items() if found and found.is_object}
    return Experiment(**names, **configs, objects=objects)


def config_classes(env: Component, algo: Component, strategy: Component | None) -> dict[str, type]:
    """The configuration dataclasses of an experiment, by field of ``Experiment``."""
    classes = {"env_config": env.module.Config, "algo_config": algo.module.Config}
    if strategy is not None:
        classes["strategy_config"] = strategy.module.Config
    return classes | {"run": RunConfig}


def chosen_algorithm(env: Component, asked: Any) -> Component:
    """The algorithm of an experiment: the requested or a suitable one."""
    return registry.find("algorithm", suitable_algorithm(env.name) if asked is None else asked)


def chosen_strategy(env: Component, algo: Component, obs: str, asked: Any) -> Component | None:
    """The hindsight strategy of an experiment: the requested or a suitable one; None if unused.

    Raises:
        UserError: a strategy was requested, but the algorithm uses none.
    """
    if takes_strategy(algo):
        suitable = suitable_strategy(algo.name, env.name, obs)
        return registry.find("strategy", suitable if asked is None else asked)
    require(asked is None, f"{algo.name} uses no hindsight strategy: leave out --strategy")
    return None


def takes_strategy(algo: Component) -> bool:
    """Whether an algorithm uses a hindsight strategy with any settings."""
    return algo.module.Config.uses_strategy is not False


def defaults(
    env: Component,
    algo: Component,
    strategy: Component | None,
    obs: str = "state",
    settings: Mapping[str, Any] = NONE,
) -> dict[str, Any]:
    """Configurations of an experiment, by field of ``Experiment``: presets, and these settings.

    Raises:
        UserError: an unknown setting, or an invalid value.
    """
    classes = config_classes(env, algo, strategy)
    known = {f.name for cls in classes.values() for f in fields(cls)}
    unknown = sorted(set(settings) - known)
    require(
        not unknown,
        f"{env.name} with {algo.name} has no setting {', '.join(unknown)}: use one of "
        f"{', '.join(sorted(known))}",
    )
    seen = {"obs": obs} if "obs" in known else {}
    values = preset(algo.name, env.name, obs) | seen | dict(settings)
    return {part: _make(cls, values) for part, cls in classes.items()}


def make_experiment(
    env: Any, algo: Any = None, strategy: Any = None, **settings: Any
) -> Experiment:
    """An experiment from names and settings, which may be fields of any of its configurations.

    Args:
        env: a name, or an object in place of one, as for ``hem.train``.
        algo: likewise; None for one that suits the environment.
        strategy: likewise.
        **settings: by name.

    Raises:
        UserError: an unknown name or setting, an unsuitable object, or an invalid value.
    """
    env = registry.find("environment", env)
    algo = chosen_algorithm(env, algo)
    obs = convert("obs", settings.get("obs", "state"), str)
    strategy = chosen_strategy(env, algo, obs, strategy)
    return assembled(env, algo, strategy, defaults(env, algo, strategy, obs, settings))


def modules_of(objects: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The modules of objects that a program gives in place of what a configuration names.

    Raises:
        UserError: an object is of no suitable type, or one that is needed is missing.
    """
    given = {part: found for part, found in objects.items() if found is not None}
    for part, kind in KINDS.items():
        if part not in given and isinstance(config[part], str):
            registry.require_name(kind, config[part])
    return {part: registry.find(KINDS[part], found).module for part, found in given.items()}


def code_named(config: Mapping[str, Any], objects: Mapping[str, Any]) -> str | None:
    """The file or module that finding what a configuration names would run; None if none."""
    for part, kind in KINDS.items():
        name = config[part]
        if part not in objects and isinstance(name, str) and registry.is_code(kind, name):
            return name
    return None


def short_name(name: str) -> str:
    """A name without its folders, for folders and other services: my_env.py-MyEnv."""
    named = name.removeprefix(f"{PROGRAM}:").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", named).strip("-")


def _found(part: str, name: str, objects: Mapping[str, Any]) -> Component:
    if part in objects:
        return Component(name, objects[part], is_object=True)
    return registry.find(KINDS[part], name)


def _make(cls: type, values: dict[str, Any]) -> Any:
    return fill(cls, {f.name: values[f.name] for f in fields(cls) if f.name in values})
