"""Forms: how hem holds an environment's observations, goals and actions. No JAX here.

| space | inside hem |
|---|---|
| Box of bytes [H, W, C] or [C, H, W] | an image u8[H, W, C] |
| Box of integers 0 and 1 | i8[n] |
| any other Box | f32[n] |
| Discrete, MultiDiscrete | one-hot, i8[n] |
| MultiBinary | i8[n] |
| Dict, Tuple | their parts, concatenated |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces import utils

from hem.envs.spaces.plain_data import SpaceError, describe
from hem.errors import UserError, require

KEYS = ("observation", "achieved_goal", "desired_goal")


class Form(NamedTuple):
    """The encoding of a space's values inside hem."""

    what: str  # "observation" or "achieved_goal", for messages
    space: gymnasium.Space
    shape: tuple[int, ...]
    dtype: np.dtype
    channels_first: bool = False  # an image that is [C, H, W] in the environment
    parts: tuple[Form, ...] = ()  # of the policy's observation: what is concatenated in it

    @property
    def each(self) -> tuple[Form, ...]:
        """The parts, or itself if it has none."""
        return self.parts or (self,)

    @property
    def own(self) -> Form:
        """Of a policy's observation: the environment's, without the achieved goal."""
        return self.each[-1]

    @property
    def is_real(self) -> bool:
        """Whether values are real numbers."""
        return isinstance(self.space, spaces.Box) and self.space.dtype.kind == "f"


class ActionForm(NamedTuple):
    """One of n discrete actions, or numbers within bounds."""

    space: gymnasium.Space
    n: int  # of discrete actions; 0 if continuous
    low: tuple[float, ...]
    high: tuple[float, ...]


class Forms(NamedTuple):
    """The three spaces of a goal environment, as the policy sees them."""

    obs: Form  # unless it is an image, with the achieved goal
    goal: Form
    action: ActionForm


def forms_of(observation_space: Any, action_space: Any) -> Forms:
    """The encodings for an environment with these spaces.

    Raises:
        UserError: it is not a goal environment, or has a space that hem does not support.
    """
    require(
        isinstance(observation_space, spaces.Dict),
        f"its observation space is {named(observation_space)}, but a goal environment needs a Dict "
        f"with {', '.join(KEYS)}",
    )
    lacking = [key for key in KEYS if key not in observation_space.spaces]
    require(not lacking, f"its observation space lacks {' and '.join(lacking)}")
    obs, achieved, desired = (form_of(observation_space[key], key) for key in KEYS)
    require(
        (achieved.shape, achieved.dtype) == (desired.shape, desired.dtype),
        f"achieved_goal is {named(achieved.space)} and desired_goal {named(desired.space)}: they "
        "must have the same shape and type",
    )
    return Forms(with_achieved(obs, achieved), achieved, action_form(action_space))


def with_achieved(obs: Form, achieved: Form) -> Form:
    """What a policy sees of the state: the achieved goal and the observation.

    Many environments leave out of their observation what is in the achieved goal, such as where a
    robot is. An observation that is an image remains alone, since it has no room for numbers.
    """
    if len(obs.shape) != 1 or len(achieved.shape) != 1:
        return obs
    space = spaces.Dict({part.what: part.space for part in (achieved, obs)})
    shape = (achieved.shape[0] + obs.shape[0],)
    dtype = np.result_type(achieved.dtype, obs.dtype)
    return Form(obs.what, space, shape, dtype, parts=(achieved, obs))


def form_of(space: Any, what: str) -> Form:
    """The encoding of values of ``space``."""
    _usable(space, f"its {what} is")
    if isinstance(space, spaces.Box):
        require(0 not in space.shape, f"its {what} is {named(space)}, which is empty")
        if space.dtype == np.uint8 and len(space.shape) == 3:
            first = space.shape[0] < min(space.shape[1:])
            c, h, w = space.shape if first else (space.shape[2], *space.shape[:2])
            return Form(what, space, (h, w, c), np.dtype(np.uint8), first)
        return Form(what, space, (int(np.prod(space.shape)),), _vector_dtype(space))
    flat = utils.flatten_space(space)
    assert isinstance(flat, spaces.Box)
    return Form(what, space, flat.shape, _vector_dtype(flat))


def action_form(space: Any) -> ActionForm:
    """The form of the actions that hem's policies choose.

    Raises:
        UserError: they are neither discrete nor numbers within bounds.
    """
    _usable(space, "its actions are")
    if isinstance(space, spaces.Discrete):
        return ActionForm(space, int(space.n), (), ())
    require(
        isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.shape != (0,),
        f"its actions are {named(space)}, but hem supports Discrete and bounded floating-point Box "
        "spaces: convert them in a gymnasium.ActionWrapper",
    )
    low, high = (np.float32(bound).ravel() for bound in (space.low, space.high))
    require(
        bool(np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()),
        f"its actions are {named(space)}, but hem needs finite bounds with low < high: "
        "give the Box such bounds, or wrap it in gymnasium.wrappers.TransformAction",
    )
    return ActionForm(space, 0, tuple(map(float, low)), tuple(map(float, high)))


def named(thing: Any) -> str:
    """A short one-line description of a space or a value."""
    text = " ".join(str(thing).split())
    return text if len(text) <= 100 else f"{type(thing).__name__} {text[:60]} ..."


def _usable(space: Any, what: str) -> None:
    try:
        describe(space)
    except SpaceError as error:
        raise UserError(f"{what} {named(space)}, which {error}") from error


def _vector_dtype(space: spaces.Box) -> np.dtype:
    whole = space.dtype.kind in "biu"
    small = whole and bool((space.low >= 0).all() and (space.high <= 1).all())
    return np.dtype(np.int8 if small else np.float32)
