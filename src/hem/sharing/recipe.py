"""How to train a run again: its command, and the settings that it does not have by default."""

from __future__ import annotations

import re
import shlex
from typing import Any, NamedTuple

from hem.registry import Component
from hem.runs.experiment import Experiment, chosen_algorithm, chosen_strategy, defaults
from hem.runs.manifest import NAMES
from hem.runs.suites.execute import flag


class Recipe(NamedTuple):
    """What a card says about how a run was trained."""

    command: str | None  # None: an object of a program takes part, which no name finds
    changed: dict[str, tuple[Any, Any]]  # setting -> its value and its default


def recipe(experiment: Experiment) -> Recipe:
    """The recipe of an experiment. The command is as short as it can be."""
    env, algo, strategy = (_component(experiment, part) for part in NAMES)
    assert env is not None
    assert algo is not None
    obs = getattr(experiment.env_config, "obs", "state")
    changed = {}
    for part, standard in defaults(env, algo, strategy, obs).items():
        for name, value in vars(getattr(experiment, part)).items():
            if value != getattr(standard, name):
                changed[name] = (value, getattr(standard, name))
    if experiment.unnamed:
        return Recipe(None, changed)
    words = ["hem", "train", without_folder(env.name)]
    if algo != chosen_algorithm(env, None):
        words += ["--algo", without_folder(algo.name)]
    if strategy is not None and strategy != chosen_strategy(env, algo, obs, None):
        words += ["--strategy", without_folder(strategy.name)]
    words += [word for name, (value, _) in changed.items() for word in flag(name, value)]
    return Recipe(shlex.join(words), changed)


def _component(experiment: Experiment, part: str) -> Component | None:
    name = getattr(experiment, part)
    return None if name is None else Component(name, experiment.module(part))


def without_folder(name: str) -> str:
    """The name of a component without the folder of its file, which is nobody's business."""
    return re.sub(r"^.*[/\\](?=[^/\\]+\.py(:\w+)?$)", "", name)
