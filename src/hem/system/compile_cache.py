"""Compiled programs: in single precision, and cached on disk.

A second start of a run needs no compilation, and a run is the same in any program.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax

LARGEST = 2**29  # bytes of programs; the oldest are removed first


def keep_compiled() -> None:
    """Cache what JAX compiles in ``$HEM_CACHE_DIR``, by default ``~/.cache/hem``.

    For the command line; a program that imports the library decides for itself.
    """
    folder = _cache_folder()
    if folder is None:
        return
    with suppress(OSError):
        trim(folder, LARGEST)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # Of a full disk or a process that was killed while writing: it is compiled again.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def _cache_folder() -> Path | None:
    """Where the programs go; None for a user without a home, as in some containers."""
    if own := os.environ.get("HEM_CACHE_DIR"):
        return Path(own)
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches) / "hem"
    try:
        return Path.home() / ".cache" / "hem"
    except RuntimeError:
        return None


def trim(folder: Path, largest: int) -> None:
    """Remove the oldest programs until at most ``largest`` bytes are left.

    JAX's own limit, ``jax_compilation_cache_max_size``, stops caching programs once a process was
    killed while writing one.
    """
    files = [(file.stat(), file) for file in folder.glob("*-cache")]
    size = sum(stat.st_size for stat, _ in files)
    for stat, file in sorted(files, key=lambda entry: entry[0].st_mtime_ns):
        if size <= largest:
            break
        file.unlink(missing_ok=True)  # another process may be trimming
        size -= stat.st_size


def jit(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``jax.jit`` in 32 bits, whatever the program has set ``jax_enable_x64`` to.

    Thus the arrays of a run, a checkpoint and a policy always have the same types and numbers.
    """
    compiled = jax.jit(function, **options)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.enable_x64(False):
            return compiled(*args, **kwargs)

    return call
