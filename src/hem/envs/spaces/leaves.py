"""The parts of dicts and tuples by name, for programs that know arrays only. No JAX here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from hem.errors import require


class Leaf(NamedTuple):
    """A space of arrays within another space."""

    name: str  # its path, such as observation/arm/0; a / in a key is ~1, and a ~ is ~0
    space: spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary


def leaves_of(space: gymnasium.Space, name: str) -> list[Leaf]:
    """The leaves of a space called ``name``, in the order in which ``encode`` concatenates them.

    Raises:
        UserError: a part has no array form, since the kind of its values varies.
    """
    parts = _parts(space)
    if parts is None:
        found = isinstance(
            space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
        )
        require(
            found,
            f"{name} is a {type(space).__name__}, whose values differ in kind: use a Dict of all "
            "kinds, which can be given as arrays",
        )
        return [Leaf(name, space)]  # pyright: ignore[reportArgumentType]
    return [leaf for key, part in parts.items() for leaf in leaves_of(part, _path(name, key))]


def nested(space: gymnasium.Space, name: str, values: Mapping[str, np.ndarray]) -> Any:
    """The value, or batch of values, of a space called ``name``, from its leaves by their names."""
    parts = _parts(space)
    if parts is None:
        return values[name]
    inner = {key: nested(part, _path(name, key), values) for key, part in parts.items()}
    return inner if isinstance(space, spaces.Dict) else tuple(inner.values())


def _parts(space: gymnasium.Space) -> dict[str, gymnasium.Space] | None:
    if isinstance(space, spaces.Dict):
        return dict(space.spaces)
    if isinstance(space, spaces.Tuple):
        return {str(i): part for i, part in enumerate(space.spaces)}
    return None


def _path(name: str, key: str) -> str:
    """As in a JSON pointer, so that two leaves never have the same path."""
    return f"{name}/{key.replace('~', '~0').replace('/', '~1')}"
