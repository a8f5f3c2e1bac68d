"""Experiment trackers, one file each: they receive a run's metrics while it trains.

A file has ``NAME``, a callback for ``hem.train``, and ``make``, which ``--track NAME`` calls. A
tracker only watches: what a run learns, records and saves does not depend on it.
"""

from __future__ import annotations

import importlib

from hem.errors import require
from hem.registry.own_entries import defined_in
from hem.trackers.callback import TrackerCallback
from hem.trackers.mlflow import MlflowCallback
from hem.trackers.wandb import WandbCallback

__all__ = ["MlflowCallback", "TrackerCallback", "WandbCallback", "make"]


def make(name: str) -> TrackerCallback:
    """The callback of a tracker by its name.

    Raises:
        UserError: an unknown name, or its package is not installed.
    """
    known = defined_in("hem.trackers")
    require(name in known, f"unknown tracker {name!r}: use {' or '.join(known)}")
    return importlib.import_module(known[name].module).make()
