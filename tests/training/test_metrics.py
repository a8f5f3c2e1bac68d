"""Metrics: what is read has what every reader needs, and can be written again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hem.errors import UserError
from hem.training import metrics
from hem.training.metrics import Recorder, progress_of

ROW = {"iteration": 1, "env_steps": 20, "wall_s": 0.5, "updates": 3, "train/loss": 1.5}
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**400), 2**53, 1e300])


def written(folder: Path, row: dict[str, Any]) -> Path:
    file = folder / "metrics.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return file


@pytest.mark.parametrize("missing", ["iteration", "env_steps", "wall_s"])
def test_a_row_without_what_every_row_has_is_damaged(tmp_path, missing):
    file = written(tmp_path, {name: value for name, value in ROW.items() if name != missing})
    with pytest.raises(UserError, match=rf"line 1 of .* is damaged: .*`{missing}`"):
        metrics.read(file)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(["train/loss", "x/y", "wall_s"]), NUMBERS))
def test_whatever_is_read_is_finite_and_can_be_written(tmp_path_factory, changed):
    folder = tmp_path_factory.mktemp("run")
    file = written(folder, ROW | changed)
    try:
        rows = metrics.read(file)
    except UserError:
        return
    for row in rows:
        assert all(math.isfinite(value) for value in row.values())
        assert progress_of(row) >= 0
    last = rows[-1]["iteration"] if rows else 0
    with Recorder(folder, last):
        assert metrics.read(file) == rows
