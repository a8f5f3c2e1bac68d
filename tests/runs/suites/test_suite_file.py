"""Suite files: which runs they ask for, and what is wrong with those that cannot be."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hem.cli.flags import parse_train
from hem.errors import UserError
from hem.runs.experiment import make_experiment
from hem.runs.suites.execute import command
from hem.runs.suites.suite_file import read_suite

BASE = '[base]\nenv = "FlipBit"\nenv_steps = 100\n'


def planned(tmp_path: Path, text: str) -> list:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return read_suite(file, tmp_path / "out")


def test_every_combination_is_run_with_every_seed(tmp_path):
    grid = '[grid]\nbits = [4, 5]\nalgo = ["hem", "her"]\n'
    runs = planned(tmp_path, f"seeds = [3, 7]\n{BASE}{grid}")
    found = {(run.algo, run.settings["bits"], run.settings["seed"]) for run in runs}
    assert found == {(a, b, s) for a in ("hem", "her") for b in (4, 5) for s in (3, 7)}
    assert len(runs) == 8
    assert all(run.settings["env_steps"] == 100 for run in runs)
    assert len({run.folder for run in runs}) == 8
    assert runs[0].folder == tmp_path / "out" / "bits=4-algo=hem" / "seed-3"


def test_variants_are_on_top_of_the_base_and_each_combination(tmp_path):
    variants = '[[variants]]\nname = "few"\nbits = 3\n[[variants]]\nalgo = "her"\nbits = 9\n'
    runs = planned(tmp_path, f"seeds = 2\n{BASE}{variants}")
    assert [run.variant for run in runs] == ["few", "few", "variant-2", "variant-2"]
    assert [run.settings["bits"] for run in runs] == [3, 3, 9, 9]
    assert [run.algo for run in runs] == ["hem", "hem", "her", "her"]


def test_lists_are_settings_of_several_numbers(tmp_path):
    (run,) = planned(tmp_path, f"{BASE}hidden_dims = [8, 8]\n")
    assert run.settings["hidden_dims"] == (8, 8)
    assert run.variant == "mine"


@pytest.mark.parametrize(
    "text",
    [
        'env = "FlipBit"\nenv_steps = 3e2\nhidden_dims = [16.0, 8]\nlearning_rate = 1\n',
        'env = "FlipBit"\nhidden_dims = []\neval_fixed = true\nterminates_on_success = false\n',
        'env = "FlipBit"\nalgo = "her"\nstrategy = "final"\ndemos = "-odd/name-v0"\n',
        'env = "PointMaze_UMaze-v3"\nenv_kwargs = ["a=-1"]\nthreshold = 1\n',
        'env = "PointMaze_UMaze-v3"\n'
        'env_kwargs = { continuing_task = false, said = "-a b", map = [[1, 0], [0, 1]] }\n',
    ],
)
def test_a_run_is_trained_with_what_was_planned(tmp_path, text):
    (run,) = planned(tmp_path, f"[base]\n{text}")
    _, env, *words = command(run)
    made = make_experiment(run.env, run.algo, run.strategy, **run.settings)
    assert parse_train(env, words).experiment == made
    found = msgspec.to_builtins(made.settings)
    assert found | msgspec.to_builtins(run.settings) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds = ", "not a TOML file"),
        (b"\xff\xfe".decode("latin-1"), "not a TOML file"),
        (f"sedes = 3\n{BASE}", "unknown field `sedes`"),
        (f'seeds = "3"\n{BASE}', "seeds"),
        (f"seeds = 0\n{BASE}", "at least 1"),
        (f"seeds = -2\n{BASE}", "at least 1"),
        (f"seeds = [1, 1]\n{BASE}", "twice"),
        (f"seeds = [-1]\n{BASE}", "seeds must be in"),
        (f"seeds = 200000\n{BASE}", "more than 100,000 runs"),
        (f"seeds = 1000000000000000000\n{BASE}", "more than 100,000 runs"),
        pytest.param(
            f"{BASE}[grid]\n" + "".join(f"n{i} = [1, 2]\n" for i in range(15_000)),
            "more than 100,000 runs",
            id="2^15000 combinations",
        ),
        ("[base]\nbits = 4\n", "which environment"),
        ('[base]\nenv = "FlipBits"\n', "FlipBit"),
        ("[base]\nenv = 3\n", "env"),
        (f"{BASE}bitz = 4\n", "bitz"),
        (f"{BASE}bits = 0\n", "bits must be at least 1"),
        (f'{BASE}bits = "many"\n', "bits"),
        (f'{BASE}algo = "sac"\n', "sac"),
        (f'{BASE}strategy = "past"\n', "past"),
        (f"{BASE}seed = 3\n", "seed is not a setting of a suite"),
        (f"{BASE}[grid]\nbits = []\n", "no values"),
        (f"{BASE}[grid]\nbits = 4\n", "grid"),
        (f'{BASE}[[variants]]\nname = "a"\n[[variants]]\nname = "a"\n', "two variants"),
        (f'{BASE}[[variants]]\nname = "a b"\n[[variants]]\nname = "a?b"\n', "two variants"),
    ],
)
def test_a_suite_that_cannot_be_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(UserError, match=said) as error:
        planned(tmp_path, text)
    assert "mine.toml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read_suite(tmp_path / "absent.toml", tmp_path)
