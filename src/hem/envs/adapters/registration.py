"""An id that a program registered itself, for the processes that work for it. No JAX here.

They are fresh ones that run none of the program's lines. What it registered, a class or a lambda of
a script or a notebook included, is sent to them.
"""

from __future__ import annotations

import pickle

import cloudpickle
import gymnasium

from hem.errors import UserError

_known = {b""}  # what this process has registered itself, or taken over


def pack(name: str) -> bytes:
    """What an id stands for, as another process can take it over; nothing if it is unknown.

    Raises:
        UserError: it cannot be sent.
    """
    if name not in gymnasium.registry:
        return b""
    try:
        packed = cloudpickle.dumps(gymnasium.registry[name])
    except Exception as error:  # whatever is in what somebody registered
        raise UserError(
            f"what {name} is registered with cannot be sent to worker processes "
            f"({type(error).__name__}: {error}): {_remedy(name)}"
        ) from error
    _known.add(packed)
    return packed


def take_over(name: str, packed: bytes) -> None:
    """Register here what another process has packed.

    Raises:
        UserError: it needs something that this process cannot import.
    """
    if packed in _known:
        return
    try:
        gymnasium.registry[name] = pickle.loads(packed)
    except Exception as error:
        raise UserError(
            f"worker processes cannot load what {name} is registered with "
            f"({type(error).__name__}: {error}): {_remedy(name)}"
        ) from error
    _known.add(packed)


def _remedy(name: str) -> str:
    return f"give --workers 0, or register it in a module and name that too, as in my_module:{name}"
