"""Ids that the user's program has registered, for its worker processes. No JAX here.

Workers are fresh processes that do not run the program's code. What it registered is sent to them,
even a class or lambda from a script or notebook.
"""

from __future__ import annotations

import pickle

import cloudpickle
import gymnasium

from hem.errors import UserError

_known = {b""}  # registered by this process, or taken over


def pack(name: str) -> bytes:
    """An id's registration, pickled for another process; empty if the id is unknown.

    Raises:
        UserError: it cannot be sent.
    """
    if name not in gymnasium.registry:
        return b""
    try:
        packed = cloudpickle.dumps(gymnasium.registry[name])
    except Exception as error:  # a registration may contain anything
        raise UserError(
            f"the registration of {name} cannot be sent to worker processes "
            f"({type(error).__name__}: {error}): {_remedy(name)}"
        ) from error
    _known.add(packed)
    return packed


def take_over(name: str, packed: bytes) -> None:
    """Register an id that another process has packed.

    Raises:
        UserError: it needs something that this process cannot import.
    """
    if packed in _known:
        return
    try:
        gymnasium.registry[name] = pickle.loads(packed)
    except Exception as error:
        raise UserError(
            f"worker processes cannot load the registration of {name} "
            f"({type(error).__name__}: {error}): {_remedy(name)}"
        ) from error
    _known.add(packed)


def _remedy(name: str) -> str:
    return (
        f"use --env-workers 0, or register it in a module and name that too, as in my_module:{name}"
    )
