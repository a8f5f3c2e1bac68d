"""Records: what is kept of runs, and the tables and pictures that are made of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic import record, run

from hem.errors import UserError
from hem.paper import records
from hem.paper.picture import curve, draw
from hem.paper.records import SCHEMA, Group, Record
from hem.paper.table import table, when


def rising(*_) -> float:
    return 0.8


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    kept, file = record("fig-11a", rising), tmp_path / "fig-11a.json"
    records.write(kept, file)
    assert records.read(file) == kept
    assert json.loads(file.read_text())["schema"] == SCHEMA
    assert len(file.read_text().splitlines()) >= sum(len(group.runs) for group in kept.groups)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"schema": 1', '"schema": 2', "newer hem"),
        ('"seed"', '"sede"', "damaged"),
        ('"success":[', '"success":[0.5,', "differ in length"),
        ('"versions":0', '"versions":1', "lacks the versions"),
        ('"versions":0', '"versions":-1', "lacks the versions"),
        ('"config": {"env"', '"config": {"game"', "configuration of hEM is not whole"),
        ('"run": {}', '"run": []', "configuration of hEM is not whole"),
        ("{", "", "damaged"),
    ],
)
def test_a_damaged_record_is_refused_in_one_line(tmp_path, old, new, said):
    file = tmp_path / "fig-11a.json"
    records.write(record("fig-11a", rising), file)
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=said) as caught:
        records.read(file)
    assert "\n" not in str(caught.value)


def test_a_line_without_runs_is_refused(tmp_path):
    kept = record("fig-11a", rising)
    kept.groups[0].runs.clear()
    records.write(kept, tmp_path / "fig-11a.json")
    with pytest.raises(UserError, match="hEM has no runs"):
        records.read(tmp_path / "fig-11a.json")


def test_the_table_says_what_runs_reached():
    runs = [run(seed, 1.0, spread=0) for seed in range(4)]
    kept = Record(SCHEMA, "mine", "quick", 4, [], [Group("", "hEM", None, {}, runs)])
    # At 0.8 for the first of two times after 4 of 20 evaluations.
    assert when(runs, "env_steps", 0.8) == pytest.approx([200] * 4)
    cells = table(kept, "env_steps", 0.8).splitlines()[-1].strip("| ").split(" | ")
    once = "1.00 (1.00 to 1.00)"
    assert cells == ["hEM", "4", once, "0.50 (0.50 to 0.50)", "1,000", "200", "4", "20"]
    runs[0].success[5:] = [0.92] + 14 * [0.3]  # so that it was at 0.95 once only
    assert "3 of 4 runs" not in table(kept, "env_steps", 0.9)
    assert "3 of 4 runs" in table(kept, "env_steps", 0.95)


def test_the_table_has_a_column_for_what_is_along_x_and_for_panels():
    head, *_ = table(record("fig-3c", rising), "dim", 0.95).splitlines()
    assert head.startswith("|  | dim |  | runs |")


def test_a_curve_is_the_interquartile_mean_of_runs():
    runs = [run(seed, final, spread=0) for seed, final in enumerate((0.0, 0.4, 0.6, 1.0))]
    x, found = curve(runs, "success", "train_s")
    assert x[-1] == pytest.approx(20)
    assert found.mean[-1] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("name", "x"), [("fig-11a", "env_steps"), ("fig-3c", "dim"), ("fig-1", "env")]
)
def test_equal_records_give_equal_pictures(tmp_path, name, x):
    for file in ("one.png", "other.png"):
        draw(record(name, rising), x, ["success"], tmp_path / file)
    one, other = (tmp_path / file for file in ("one.png", "other.png"))
    assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(b"\x89PNG")
    assert one.stat().st_size < 300_000


def test_the_bound_is_drawn_where_it_was_logged(tmp_path):
    kept = record("fig-11a", rising)
    for each in kept.groups[0].runs:
        each.elbo = list(np.linspace(-9, -1, len(each.success)))
    draw(kept, "env_steps", ["success", "elbo"], tmp_path / "bound.png")
    assert (tmp_path / "bound.png").exists()
