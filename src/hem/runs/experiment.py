"""An experiment: everything that is needed to run it and to reproduce it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from hem import registry
from hem.errors import UserError, require
from hem.registry import EnvName
from hem.runs.presets import preset
from hem.system import validation
from hem.system.conversion import convert, fill
from hem.training.schedule import RunConfig
from hem.types import Algorithm, BatchedEnv, JaxEnv


@dataclass(frozen=True)
class Experiment:
    """Names and configurations; plain data."""

    env: str
    algo: str
    strategy: str | None  # hindsight strategy; None if the algorithm never uses one
    env_config: Any
    algo_config: Any
    run: RunConfig
    strategy_config: Any = None

    def build(self) -> tuple[JaxEnv | BatchedEnv, Algorithm]:
        """The environment, and the algorithm with one worker's share of each batch."""
        env = registry.load("environment", self.env).make(self.env_config)
        algorithm, config = registry.load("algorithm", self.algo), self._share()
        if self.strategy is None:
            return env, algorithm.make(config, env.task, None)
        obs = getattr(self.env_config, "obs", "state")
        require(
            self.algo_config.uses_strategy or self.strategy == _suitable(self.env, self.algo, obs),
            f"with these settings {self.algo} does not relabel goals: leave out --strategy",
        )
        strategy = registry.load("strategy", self.strategy).make(self.strategy_config)
        return env, algorithm.make(config, env.task, strategy)

    def _share(self) -> Any:
        """The algorithm's configuration for one of the run's workers."""
        workers, batches = self.run.workers, ("batch_size", "batch_episodes")
        names = [name for name in batches if hasattr(self.algo_config, name)]
        validation.shared(workers, self.algo_config, *names)
        shares = {name: getattr(self.algo_config, name) // workers for name in names}
        return dataclasses.replace(self.algo_config, **shares)

    def to_json(self) -> dict[str, Any]:
        """Plain data that ``from_json`` reads back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Experiment:
        """Read back what ``to_json`` wrote; unknown or missing fields are errors."""
        try:
            env, algo = (convert(kind, data[kind], str) for kind in ("env", "algo"))
            named = str if takes_strategy(algo) else type(None)
            strategy = convert("strategy", data["strategy"], named)
            classes = config_classes(env, algo, strategy)
            configs = {
                part: fill(kind, convert(part, data[part], dict[str, Any]), complete=True)
                for part, kind in classes.items()
            }
        except (KeyError, TypeError) as error:
            raise UserError(f"this is not a hem configuration ({error!r})") from error
        return cls(env, algo, strategy, **configs)


def config_classes(env: str, algo: str, strategy: str | None) -> dict[str, type]:
    """The configuration dataclasses of an experiment, by field of ``Experiment``."""
    classes = {
        "env_config": registry.load("environment", env).Config,
        "algo_config": registry.load("algorithm", algo).Config,
    }
    if strategy is not None:
        classes["strategy_config"] = registry.load("strategy", strategy).Config
    return classes | {"run": RunConfig}


def chosen_strategy(env: str, algo: str, obs: str, asked: str | None) -> str | None:
    """The hindsight strategy of an experiment: the requested or a suitable one; None if unused.

    Raises:
        UserError: a strategy was requested, but the algorithm uses none.
    """
    if takes_strategy(algo):
        return asked or _suitable(env, algo, obs)
    require(asked is None, f"{algo} uses no hindsight strategy: leave out --strategy")
    return None


def takes_strategy(algo: str) -> bool:
    """Whether an algorithm uses a hindsight strategy with any settings."""
    return registry.load("algorithm", algo).Config.uses_strategy is not False


def defaults(env: str, algo: str, strategy: str | None, obs: str = "state") -> dict[str, Any]:
    """Default configurations of an experiment, presets included, by field of ``Experiment``."""
    values = preset(algo, env, obs)
    classes = config_classes(env, algo, strategy)
    return {part: _make(cls, values) for part, cls in classes.items()}


def make_experiment(
    env: EnvName, algo: str = "hem", strategy: str | None = None, **settings: Any
) -> Experiment:
    """An experiment from names and settings, which may be fields of any of its configurations.

    Raises:
        UserError: an unknown name or setting, or an invalid value.
    """
    algo, strategy = convert("algo", algo, str), convert("strategy", strategy, str | None)
    env = registry.load("environment", convert("env", env, EnvName)).NAME
    obs = convert("obs", settings.get("obs", "state"), str)
    strategy = chosen_strategy(env, algo, obs, strategy)
    classes = config_classes(env, algo, strategy)
    known = {f.name for cls in classes.values() for f in dataclasses.fields(cls)}
    unknown = sorted(set(settings) - known)
    require(
        not unknown,
        f"{env} with {algo} has no setting {', '.join(unknown)}: use one of "
        f"{', '.join(sorted(known))}",
    )
    values = preset(algo, env, obs) | settings
    configs = {part: _make(cls, values) for part, cls in classes.items()}
    return Experiment(env, algo, strategy, **configs)


def _suitable(env: str, algo: str, obs: str) -> str:
    return preset(algo, env, obs).get("strategy", "future")


def _make(cls: type, values: dict[str, Any]) -> Any:
    return fill(cls, {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values})
