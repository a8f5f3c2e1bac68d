"""Runs that begin with recorded episodes: what becomes of these, exactly, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from disk import contents
from running import FLIP, final_bits, rows

import hem as library
from hem.cli.flags import parse_train
from hem.cli.main import main
from hem.demos import writing
from hem.errors import UserError
from hem.runs import beginning
from hem.runs.experiment import make_experiment
from hem.runs.manifest import read_manifest
from hem.runs.run import Run
from hem.runs.suites.execute import PlannedRun, is_complete
from hem.training.metrics import progress_of
from hem.training.rollout import collector
from hem.training.schedule import UPDATES
from hem.types import Episodes

pytestmark = pytest.mark.usefixtures("datasets")
DEMOS = "begin/demos-v0"
OFFLINE = FLIP | {"offline": DEMOS, "updates": 12, "eval_interval": 6}
del OFFLINE["env_steps"]


def random_flips(n: int, bits: int = 5) -> Episodes:
    """Episodes of a policy that knows nothing."""
    env = make_experiment("FlipBit", bits=bits).make_env()

    def act(keys, state, obs, goal, explore):
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, bits))(keys)

    episodes = collector(env, act, n, explore=True, ends=True)(jax.random.key(0), None, 0)
    return jax.tree.map(np.asarray, episodes)


@pytest.fixture(scope="module")
def task():
    return make_experiment("FlipBit", bits=5).make_env().task


@pytest.fixture(scope="module")
def recorded(datasets, task) -> Episodes:
    episodes = random_flips(6)
    writing.write(DEMOS, episodes, task, None, {})
    return episodes


@pytest.fixture(scope="module")
def whole(tmp_path_factory, recorded) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return library.train("FlipBit", run_dir=folder, demos=DEMOS, **FLIP).folder


def stored(folder: Path):
    run = Run(folder)
    built, algorithm = run.experiment.build()
    (state,) = beginning.stored(run, algorithm, built.task)
    return jax.tree.map(np.asarray, state)


def test_demonstrations_stay_in_the_replay_and_are_not_counted(whole, recorded):
    state, last = stored(whole), rows(whole)[-1]
    replay = state.replay
    assert (replay.kept, replay.size) == (6, FLIP["buffer_episodes"])
    assert last["episodes"] > FLIP["buffer_episodes"]  # the ring has gone round
    np.testing.assert_array_equal(replay.data.goal[:6], recorded.goal)
    for row, n in enumerate(recorded.length):
        np.testing.assert_array_equal(replay.data.obs[row, : n + 1], recorded.obs[row, : n + 1])
        np.testing.assert_array_equal(replay.data.action[row, :n], recorded.action[row, :n])
    frames = last["env_steps"] + last["episodes"] + (recorded.length + 1).sum()
    assert state.agent_state.policy.obs.seen == frames
    assert last["env_steps"] < FLIP["env_steps"] + 4 * 5
    noted = read_manifest(whole / "config.json")["dataset"]
    assert (noted.name, noted.episodes, noted.steps) == (DEMOS, 6, recorded.length.sum())
    assert (Path(noted.path) / "metadata.json").exists()


@pytest.fixture
def gone(datasets):
    """The dataset is not there for the moment."""
    place = datasets / DEMOS
    aside = place.rename(datasets / "aside")
    yield
    shutil.rmtree(place, ignore_errors=True)
    aside.rename(place)


def test_a_run_is_resumed_exactly_without_its_demonstrations(whole, tmp_path, request):
    run = library.train("FlipBit", run_dir=tmp_path / "run", demos=DEMOS, max_time=1e-9, **FLIP)
    assert len(rows(run.folder)) == 1
    request.getfixturevalue("gone")
    library.resume(run.folder)
    assert final_bits(run.folder) == final_bits(whole)


def killed_at_once(whole: Path, folder: Path) -> Path:
    """As a kill before the first checkpoint leaves it."""
    copy = shutil.copytree(whole, folder)
    shutil.rmtree(copy / "checkpoints")
    (copy / "policy.safetensors").unlink()
    return copy


def test_one_that_was_killed_at_once_reads_them_again_if_they_are_the_same(
    whole, tmp_path, task, request
):
    again = killed_at_once(whole, tmp_path / "again")
    library.resume(again)
    assert final_bits(again) == final_bits(whole)
    request.getfixturevalue("gone")
    other = killed_at_once(whole, tmp_path / "other")
    before = contents(other)
    with pytest.raises(UserError, match="no Minari dataset 'begin/demos-v0'"):
        library.resume(other)
    writing.write(DEMOS, random_flips(5), task, None, {})
    with pytest.raises(UserError, match=r"begin/demos-v0 has changed since .* began"):
        library.resume(other)
    assert contents(other) == before | {".lock": b""}


def test_runs_from_before_there_were_demonstrations_are_read(whole, tmp_path):
    old = json.loads((whole / "config.json").read_text())
    for name in ("demos", "offline", "updates"):
        del old["run"][name]
    del old["dataset"]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert Run(tmp_path).experiment.run.demos is None


@pytest.fixture(scope="module")
def offline(tmp_path_factory, recorded) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "offline"
    return library.train("FlipBit", run_dir=folder, **OFFLINE).folder


def test_offline_nothing_is_collected(offline, recorded):
    found = rows(offline)
    assert [row["updates"] for row in found] == [3, 6, 9, 12]
    assert [row["env_steps"] + row["episodes"] for row in found] == [0] * 4
    assert ["eval/success_rate" in row for row in found] == [False, True] * 2
    assert not any(name.startswith("rollout/") for row in found for name in row)
    assert len({row["train/loss"] for row in found}) == 4
    replay = stored(offline).replay
    assert (replay.size, replay.kept) == (6, None)
    np.testing.assert_array_equal(replay.data.length[:6], recorded.length)
    assert (offline / "curve.png").exists()
    planned = PlannedRun("x", "FlipBit", "hem", None, OFFLINE, offline)
    assert is_complete(planned)
    assert not is_complete(planned._replace(settings=OFFLINE | {"updates": 13}))


def test_offline_without_updates_the_default_is_the_budget(offline, tmp_path):
    copy = Path(shutil.copytree(offline, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    config["run"]["updates"] = None
    (copy / "config.json").write_text(json.dumps(config))
    settings = {name: value for name, value in OFFLINE.items() if name != "updates"}
    planned = PlannedRun("x", "FlipBit", "hem", None, settings, copy)
    assert not is_complete(planned)
    (copy / "metrics.jsonl").write_text(json.dumps(rows(copy)[-1] | {"updates": UPDATES}) + "\n")
    assert is_complete(planned)


def test_an_offline_run_is_resumed_exactly_and_further(offline, tmp_path, gone):
    half = shutil.copytree(offline, tmp_path / "half")
    for checkpoint in sorted(half.glob("checkpoints/0*"))[1:]:
        shutil.rmtree(checkpoint)
    library.resume(half)
    assert final_bits(half) == final_bits(offline)
    library.resume(half, updates=18)
    assert [progress_of(row) for row in rows(half)] == [3, 6, 9, 12, 15, 18]
    with pytest.raises(UserError, match="use --updates"):
        library.resume(half, env_steps=1000)


@pytest.mark.slow
def test_offline_learning_makes_a_good_policy_of_aimless_data(task, tmp_path):
    """One in five of 150 aimless episodes gets to its goal; the policy does from anywhere."""
    episodes = random_flips(150)
    writing.write("begin/aimless-v0", episodes, task, None, {})
    reached = (episodes.achieved[np.arange(150), episodes.length] == episodes.goal).all(1).mean()
    settings = {"bits": 5, "hidden_dims": (64,), "eval_interval": 1000, "eval_episodes": 100}
    run = library.train(
        "FlipBit", run_dir=tmp_path / "run", offline="begin/aimless-v0", updates=1000,
        learning_rate=3e-3, **settings,
    )  # fmt: skip
    assert rows(run.folder)[-1]["eval/success_rate"] > 0.9 > 0.5 > reached


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"demos": "begin/none-v0"}, "there is no Minari dataset 'begin/none-v0'"),
        ({"demos": "n" * 300}, "Minari dataset 'n*' cannot be looked up"),
        ({"offline": "n" * 300}, "cannot be looked up"),
        ({"demos": DEMOS, "bits": 6}, "is not of FlipBit: its observation has shape"),
        ({"demos": DEMOS, "buffer_episodes": 9}, "increase --buffer-episodes by 1"),
        ({"offline": DEMOS, "buffer_episodes": 5}, "increase --buffer-episodes by 1"),
        ({"offline": DEMOS, "algo": "hpg"}, "hpg learns only from episodes that its own"),
        ({"demos": DEMOS, "algo": "reinforce"}, "leave out --demos"),
        ({"demos": 5}, "demos must be"),
    ],
)
def test_data_that_cannot_be_used_leaves_no_run(recorded, tmp_path, settings, said):
    small = {"bits": 5, "episodes_per_iteration": 4, "buffer_episodes": 20}
    with pytest.raises(UserError, match=said):
        library.train("FlipBit", run_dir=tmp_path / "runs" / "x", **small | settings)
    assert contents(tmp_path) == {}
    with pytest.raises(UserError, match="one seed at a time"):
        library.train_seeds("FlipBit", [0], demos=DEMOS)


def test_the_command_takes_them(recorded, tmp_path, capsys):
    words = ["--demos", "begin/none-v0", "--run-dir", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as exit_:
        main(["train", "FlipBit", "--bits", "5", *words])
    error = capsys.readouterr().err
    assert (exit_.value.code, error.count("\n")) == (2, 1)
    assert DEMOS in error
    assert contents(tmp_path) == {}
    args = parse_train("FlipBit", ["--offline", DEMOS, "--updates", "7"])
    assert (args.experiment.run.offline, args.experiment.run.budget) == (DEMOS, 7)


@pytest.mark.slow
def test_workers_share_demonstrations_and_one_takes_them_over(recorded, tmp_path):
    two = FLIP | {"workers": 2, "buffer_episodes": 24}
    run = library.train("FlipBit", run_dir=tmp_path / "run", demos=DEMOS, **two)
    built, algorithm = Run(run.folder).experiment.build()
    states = beginning.stored(Run(run.folder), algorithm, built.task)
    assert [int(state.replay.kept) for state in states] == [3, 3]
    for worker, state in enumerate(states):
        np.testing.assert_array_equal(state.replay.data.goal[:3], recorded.goal[worker::2])
    library.resume(run.folder, env_steps=240, workers=1)
    replay = stored(run.folder).replay
    assert replay.kept == 6
    goals = [recorded.goal[worker::2] for worker in range(2)]
    np.testing.assert_array_equal(replay.data.goal[:6], np.concatenate(goals))
