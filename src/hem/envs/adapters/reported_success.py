"""Success as reported by the environment itself. No JAX here."""

from __future__ import annotations

from typing import Any

import numpy as np

KEYS = ("is_success", "success")  # of info, as in Gymnasium-Robotics and others
UNSAID, NO, YES = -1, 0, 1


def number(value: Any) -> float:
    """A single number as a float; NaN for anything else."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        return np.nan


def of_info(info: Any) -> int:
    """Success according to the info of a step: YES, NO or UNSAID."""
    for key in KEYS:
        if isinstance(info, dict) and not np.isnan(value := number(info.get(key))):
            return YES if value else NO
    return UNSAID


def of_infos(info: Any, n: int) -> np.ndarray:
    """The same for the info of a vector environment with n rows, i8[n]."""
    for key in KEYS if isinstance(info, dict) else ():
        if key in info and np.shape(info[key]) == (n,):
            there = np.broadcast_to(info.get(f"_{key}", True), n)
            said = [of_info({key: value}) for value in info[key]]
            return np.where(there, said, UNSAID).astype(np.int8)
    return np.full(n, UNSAID, np.int8)
