"""A trained run, for the tests of what is shared of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import FLIP

import hem as library


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory) -> Path:
    """The folder of a run, not to be changed."""
    folder = tmp_path_factory.mktemp("shared") / "run"
    return library.train("FlipBit", run_dir=folder, **FLIP, seed=3).folder
