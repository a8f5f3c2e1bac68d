"""Compiled programs are kept on disk, so that the second start of a run takes no compilation."""

from __future__ import annotations

import os
from pathlib import Path

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
