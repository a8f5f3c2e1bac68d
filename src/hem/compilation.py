"""Compiled programs: in single precision, and kept on disk.

A second start of a run takes no compilation, and a run is the same in any program.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


def keep_compiled() -> None:
    """Keep what JAX compiles in ``$HEM_CACHE_DIR``, by default ``~/.cache/hem``.

    For the command line; a program that imports the library decides for itself.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    jax.config.update(
        "jax_compilation_cache_dir", os.environ.get("HEM_CACHE_DIR") or str(home / "hem")
    )
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``jax.jit``, in 32 bits whatever the program has set ``jax_enable_x64`` to.

    So the arrays of a run, a checkpoint and a policy have one type each, and the same numbers.
    """
    compiled = jax.jit(function, **options)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.enable_x64(False):
            return compiled(*args, **kwargs)

    return call
