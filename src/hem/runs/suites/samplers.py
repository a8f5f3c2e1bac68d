"""Where the settings of a sweep's trials come from: at random, or from Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hem.errors import require
from hem.runs.suites.sweep_file import Choices, Range, Space
from hem.system.packages import is_installed

OPTUNA = "Optuna is not installed: run `pip install 'hindsight-em[optuna]'`"


class Random:
    """Independent draws; a trial's settings follow from the seed and its number."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed

    def ask(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Settings for the trials of these numbers."""
        return [self._drawn(number) for number in numbers]

    def tell(self, settings: Mapping[str, Any], success: float) -> None:
        """Nothing is learned from a trial."""

    def _drawn(self, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self._seed, number])
        return {name: _value(part, rng.uniform()) for name, part in self._space.items()}


class Optuna:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011)."""

    def __init__(self, space: Space, seed: int) -> None:
        require(is_installed("optuna"), OPTUNA)
        import optuna  # noqa: PLC0415  a second, which only this pays

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._space = {name: _distribution(part) for name, part in space.items()}
        self._choices = {n: part.values for n, part in space.items() if isinstance(part, Choices)}

    def ask(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Settings for the trials of these numbers, from what was told."""
        drawn = [self._study.ask(self._space).params for _ in numbers]
        return [{n: self._choice(n, value) for n, value in params.items()} for params in drawn]

    def tell(self, settings: Mapping[str, Any], success: float) -> None:
        """A trial's success."""
        from optuna.trial import create_trial  # noqa: PLC0415

        params = {
            name: self._choices[name].index(value) if name in self._choices else value
            for name, value in settings.items()
        }
        trial = create_trial(params=params, distributions=self._space, value=success)
        self._study.add_trial(trial)

    def _choice(self, name: str, value: Any) -> Any:
        return self._choices[name][value] if name in self._choices else value


SAMPLERS = {"random": Random, "optuna": Optuna}


def _value(part: Range | Choices, u: float) -> Any:
    """The value at the quantile ``u`` in [0, 1)."""
    if isinstance(part, Choices):
        return part.values[int(u * len(part.values))]
    low, high = part.low, part.high
    if part.is_integer:
        high += 1
    scaled = (
        math.exp(math.log(low) + u * math.log(high / low)) if part.log else low + u * (high - low)
    )
    value = int(scaled) if part.is_integer else float(scaled)
    return min(max(value, part.low), part.high)  # where rounding has left the range


def _distribution(part: Range | Choices) -> Any:
    from optuna import distributions as d  # noqa: PLC0415

    if isinstance(part, Choices):
        return d.IntDistribution(0, len(part.values) - 1)
    if part.is_integer:
        return d.IntDistribution(int(part.low), int(part.high), log=part.log)
    return d.FloatDistribution(part.low, part.high, log=part.log)
