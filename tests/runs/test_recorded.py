"""Episodes of a run as a dataset: of its policy or its replay, and one line for what cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import minari
import numpy as np
import pytest
from running import FLIP

import hem
from hem.cli.main import main
from hem.demos import reading
from hem.errors import UserError
from hem.runs import beginning
from hem.runs.recorded import _spec
from hem.runs.run import Run

pytestmark = pytest.mark.usefixtures("datasets")
MINE = Path(__file__).parents[2] / "docs" / "my_env.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, datasets) -> Path:
    """A run whose policy acts by the most likely action."""
    folder = tmp_path_factory.mktemp("runs") / "flip"
    return hem.train("FlipBit", run_dir=folder, **FLIP, acting_temperature=0.0).folder


def test_the_policys_episodes_are_those_of_the_environment(run):
    done = hem.export_minari(run, "export/greedy-v0", episodes=7, seed=3)
    dataset = minari.load_dataset("export/greedy-v0")
    assert (done.episodes, done.steps) == (dataset.total_episodes, dataset.total_steps)
    assert done.episodes == 7
    policy = hem.load_policy(run)
    for data in dataset:
        seen, bits = data.observations, np.eye(5, dtype=np.int8)
        np.testing.assert_array_equal(
            seen["observation"][1:], seen["observation"][:-1] ^ bits[data.actions]
        )
        before = {key: seen[key][:-1] for key in ("observation", "desired_goal")}
        np.testing.assert_array_equal(policy.predict(before)[0], data.actions)
        assert data.terminations[-1] == (data.rewards[-1] == 1)
        assert data.rewards[:-1].sum() == 0  # as in training, an episode ends at its goal
    rate = np.mean([data.rewards[-1] for data in dataset])
    metadata = dataset.storage.metadata
    assert done.success_rate == metadata["hem"]["success_rate"] == pytest.approx(rate)
    assert metadata["hem"]["source"] == "policy"
    assert metadata["hem"]["settings"]["env_config"]["bits"] == 5
    assert metadata["algorithm_name"] == "hem"
    env = dataset.recover_environment()
    assert env.observation_space == dataset.observation_space
    again, other = (hem.export_minari(run, f"export/g{s}-v0", 7, seed=s).name for s in (3, 4))
    task = Run(run).experiment.make_env().task
    digests = [reading.read(n, task, 7).sha256 for n in ("export/greedy-v0", again, other)]
    assert digests[0] == digests[1] != digests[2]


def test_the_replay_is_written_as_it_is(run):
    done = hem.export_minari(run, "export/replay-v0", replay=True)
    built, algorithm = Run(run).experiment.build()
    (state,) = beginning.stored(Run(run), algorithm, built.task)
    replay = jax.tree.map(np.asarray, state.replay)
    assert done.episodes == replay.size == FLIP["buffer_episodes"]
    assert replay.head != 0  # it has gone round
    oldest_first = np.roll(np.arange(replay.size), -int(replay.head))
    found = reading.read("export/replay-v0", built.task, done.episodes)
    assert found.notes == []
    for row, slot in enumerate(oldest_first):
        n = replay.data.length[slot]
        for field, end in (("obs", n + 1), ("achieved", n + 1), ("action", n)):
            ours, theirs = (
                getattr(episodes, field)[i, :end]
                for episodes, i in ((found.episodes, row), (replay.data, slot))
            )
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(found.episodes.goal[row], replay.data.goal[slot])


def test_exploring_is_not_greedy_and_longer(run):
    done = hem.export_minari(run, "export/noisy-v0", 50, explore=True)
    greedy = hem.export_minari(run, "export/plain-v0", 50)
    assert done.steps != greedy.steps
    policy, differs = hem.load_policy(run), 0
    for data in minari.load_dataset("export/noisy-v0"):
        before = {key: data.observations[key][:-1] for key in ("observation", "desired_goal")}
        differs += (policy.predict(before)[0] != data.actions).sum()
    assert 0.1 < differs / done.steps < 1


def test_episodes_of_a_policy_that_has_diverged_are_not_written(run, datasets, monkeypatch):
    broken = hem.load_policy(run)
    broken.state = jax.tree.map(lambda x: x * x.dtype.type(np.nan), broken.state)
    monkeypatch.setattr(Run, "policy", broken)
    with pytest.raises(UserError, match=r"^NaN or infinity in the learner.* array of FlipBit"):
        hem.export_minari(run, "export/nan-v0", 3)
    assert not (datasets / "export" / "nan-v0").exists()


def test_the_command_says_what_it_wrote(run, capsys):
    main(["export", str(run), "--minari", "export/cli-v0", "--episodes", "3"])
    assert capsys.readouterr().out.startswith("Wrote 3 episodes (")
    assert minari.load_dataset("export/cli-v0").total_episodes == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--minari NAME"),
        (("--minari", "flip"), "cannot name"),
        (("--minari", "export/x-v0", "--replay", "--episodes", "5"), "leave out episodes"),
        (("--minari", "export/x-v0", "--replay", "--explore"), "leave out explore"),
        (("--minari", "export/x-v0", "--episodes", "0"), "episodes must be at least 1"),
        (("--minari", "export/x-v0", "--seed", "-1"), "seed must be in"),
    ],
)
def test_what_cannot_be_exported_is_one_line(run, datasets, capsys, words, said):
    with pytest.raises(SystemExit) as exit_:
        main(["export", str(run), *words])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (datasets / "export" / "x-v0").exists()


def test_a_run_without_checkpoints_or_of_images_is_refused(run, tmp_path):
    bare = shutil.copytree(run, tmp_path / "bare")
    shutil.rmtree(bare / "checkpoints")
    for how in ({"replay": True}, {"explore": True}):
        with pytest.raises(UserError, match="has no checkpoint yet"):
            hem.export_minari(bare, "export/bare-v0", **how)
    experiment = hem.runs.experiment.make_experiment("Reacher", obs="image", goal="image")
    with hem.api.new_run(experiment, tmp_path / "images") as images:
        images.save()
    with pytest.raises(UserError, match="use --obs state"):
        hem.export_minari(tmp_path / "images", "export/images-v0")


def test_an_environment_without_an_id_is_recorded_by_its_spaces():
    make = hem.runs.experiment.make_experiment
    assert _spec(make(f"{MINE}:MyEnv")) is None
    spec = _spec(make("PointMaze_UMaze-v3", horizon=70, env_kwargs=("continuing_task=false",)))
    assert (spec.id, spec.max_episode_steps) == ("PointMaze_UMaze-v3", 70)
    assert spec.kwargs["continuing_task"] is False
    assert _spec(make("FetchReach-v4")).id == "hem/FetchReach-v4"
