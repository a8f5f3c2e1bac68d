"""The spaces of a task's policy: observations, goals and actions."""

from __future__ import annotations

import gymnasium
import numpy as np
from gymnasium import spaces

from hem.envs.spaces.forms import Form, Forms, action_form, form_of, with_achieved
from hem.types import Box, Discrete, Spaces, Task


def spaces_of(task: Task) -> Spaces:
    """The environment's own spaces, or hem's for one of hem's environments."""
    return task.spaces or inner_spaces(task)


def forms_of(outer: Spaces) -> Forms:
    """The encodings of these spaces inside hem."""
    goal = form_of(outer.goal, "desired_goal")
    return Forms(_observed(outer.observation), goal, action_form(outer.action))


def _observed(space: gymnasium.Space) -> Form:
    """The form of what a policy sees, as ``with_achieved`` made it."""
    if isinstance(space, spaces.Dict) and set(space) == {"achieved_goal", "observation"}:
        achieved, obs = (form_of(space[key], key) for key in ("achieved_goal", "observation"))
        return with_achieved(obs, achieved)
    return form_of(space, "observation")


def inner_spaces(task: Task) -> Spaces:
    """The spaces of the task's values inside hem."""
    goal_dtype = task.obs_dtype if task.image_goals else task.goal_dtype
    return Spaces(
        _space(task.policy_obs_shape, task.obs_dtype),
        _space(task.goal_input_shape, goal_dtype),
        _action(task),
    )


def _space(shape: tuple[int, ...], dtype: np.dtype) -> spaces.Box:
    if dtype == np.int8:
        return spaces.Box(0, 1, shape, np.int8)
    if dtype == np.uint8:
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _action(task: Task) -> spaces.Space:
    if isinstance(task.action, Discrete):
        return spaces.Discrete(task.action.n)
    assert isinstance(task.action, Box)
    low, high = (np.array(bound, np.float32) for bound in task.action)
    return spaces.Box(low, high, dtype=np.float32)
