"""Objects of a user's program, for the processes that the program starts. No JAX here.

They are sent by value, even a class or lambda from a script or notebook. Only what a process's own
parent has packed is ever unpacked; no file is.
"""

from __future__ import annotations

import functools
import pickle
from typing import Any

import cloudpickle

from hem.errors import UserError


class UserObject:
    """A reference to an object. It can be sent, and is equal only to itself."""

    def __init__(self, name: str, value: Any = None, packed: bytes | None = None) -> None:
        """Refer to an object.

        Args:
            name: its display name.
            value: the object.
            packed: instead of it, what another process has packed; unpacked when first used.
        """
        self.name, self._value, self._packed = name, value, packed

    def get(self) -> Any:
        """The object.

        Raises:
            UserError: it needs something that this process cannot import.
        """
        if self._packed is not None:
            try:
                self._value = pickle.loads(self._packed)
            except Exception as error:  # unpacking may import anything
                raise UserError(
                    f"worker processes cannot load {self.name} ({type(error).__name__}: {error}): "
                    "define it in a module or a file that they can import"
                ) from error
            self._packed = None
        return self._value

    def pack(self) -> bytes:
        """The object, pickled for another process.

        Raises:
            UserError: it cannot be sent.
        """
        try:
            return cloudpickle.dumps(self.get())
        except UserError:
            raise
        except Exception as error:  # an object may contain anything
            what = f"{type(error).__name__}: {error}"
            raise UserError(
                f"{self.name} cannot be sent to worker processes ({what}): keep it in this one, "
                "with env_workers=0 and workers=1"
            ) from error

    @property
    def can_be_sent(self) -> bool:
        """Whether another process can have it."""
        try:
            self.pack()
        except UserError:
            return False
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.name, self.pack())


@functools.cache  # equal objects that are sent twice are one object here, as they were there
def _received(name: str, packed: bytes) -> UserObject:
    return UserObject(name, packed=packed)
