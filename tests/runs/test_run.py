import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from disk import contents
from running import FLIP, REACH, final_bits, rows, untrained, without_clock

import hem
from hem import api
from hem.errors import UserError, require
from hem.runs import checkpoint, experiment, policy_episodes, run, run_folder, trainer
from hem.training import learning
from hem.training.loop import Counters
from hem.training.rollout import collector


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, not to be changed."""
    return hem.train("FlipBit", run_dir=tmp_path_factory.mktemp("runs") / "flip", **FLIP)


@pytest.fixture
def copy(finished, tmp_path):
    """A finished run to be changed."""
    return shutil.copytree(finished.folder, tmp_path / "copy")


def test_the_folder_holds_what_it_promises(finished):
    names = {path.name for path in finished.folder.iterdir()} - {".lock"}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "policy.safetensors",
        "policy.json",
        "curve.png",
    }
    assert (finished.folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert any((finished.folder / "tensorboard").iterdir())


def test_the_configuration_repeats_the_run(finished, tmp_path):
    config = json.loads((finished.folder / "config.json").read_text())
    assert {"command", "versions", "version_hash", "devices", "time"} <= set(config)
    assert config["versions"]["jax"]
    again = experiment.Experiment.from_json(config)
    assert again == finished.experiment
    with run.Run.create(tmp_path / "again", again, again.build()[0].task) as repeated:
        trainer.train(repeated, quiet=True)
    assert final_bits(repeated.folder) == final_bits(finished.folder)


def test_the_run_hands_out_its_policy(finished):
    obs = {"observation": np.zeros(5, np.int8), "desired_goal": np.ones(5, np.int8)}
    action, _ = finished.policy.predict(obs, seed=0)
    assert action == hem.load_policy(finished.folder).predict(obs, seed=0)[0]


def test_metrics_have_their_keys_and_go_up(finished):
    found = rows(finished.folder)
    clocks = {"wall_s", "collect_s", "train_s", "eval_s"}
    keys = {"env_steps", "episodes", "updates", "train/loss"} | clocks
    assert all(keys | {"rollout/success_rate"} <= set(row) for row in found)
    for name in ("iteration", "env_steps", "episodes", "updates", *clocks):
        values = [row[name] for row in found]
        assert values == sorted(values)
    assert found[-1]["env_steps"] >= FLIP["env_steps"] > found[-2]["env_steps"]
    assert {"eval/success_rate", "eval/final_success_rate", "eval/ep_len_mean"} <= set(found[-1])
    assert any("eval/success_rate" not in row for row in found)


@pytest.mark.parametrize(("env", "settings"), [("FlipBit", FLIP), ("FetchReach-v4", REACH)])
def test_stopping_half_way_and_resuming_gives_the_same_bits(tmp_path, env, settings):
    whole = hem.train(env, run_dir=tmp_path / "whole", **settings)
    half = settings | {"env_steps": settings["env_steps"] // 2}
    hem.train(env, run_dir=tmp_path / "half", **half)
    assert final_bits(tmp_path / "half") != final_bits(whole.folder)
    hem.resume(tmp_path / "half", env_steps=settings["env_steps"])
    assert final_bits(tmp_path / "half") == final_bits(whole.folder)


def test_seeds_matter(finished, tmp_path):
    other = hem.train("FlipBit", run_dir=tmp_path / "other", **FLIP | {"seed": 1})
    assert final_bits(other.folder) != final_bits(finished.folder)


def test_resuming_goes_back_to_the_last_good_checkpoint_and_says_so(copy, finished, capsys):
    newest = checkpoint.listed(copy / "checkpoints")[-1]
    (newest / "state.safetensors").write_bytes(b"half a file")
    before = without_clock(copy)
    hem.resume(copy, quiet=False)
    said = "".join(capsys.readouterr())
    assert "checksum" in said
    assert newest.name in said
    assert final_bits(copy) == final_bits(finished.folder)
    assert without_clock(copy) == before  # what was done twice is recorded once


def test_what_is_learned_after_falling_back_stays(copy, capsys):
    folder = copy / "checkpoints"
    last = int(checkpoint.listed(folder)[-1].name)
    for number in (97, 98, 99):
        (folder / f"{number:010d}").mkdir()  # as if damaged beyond recognition
    hem.resume(copy, env_steps=300, max_time=1e-9, quiet=False)  # one iteration
    assert f"put aside in {folder}" in " ".join("".join(capsys.readouterr()).split())
    assert [int(path.name) for path in checkpoint.listed(folder)][-2:] == [last, last + 1]


def test_a_run_that_never_saved_begins_again(copy, finished):
    shutil.rmtree(copy / "checkpoints")
    hem.resume(copy)
    assert final_bits(copy) == final_bits(finished.folder)
    assert without_clock(copy) == without_clock(finished.folder)


def test_a_line_of_metrics_that_was_cut_is_forgotten(copy):
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 99, "env_st')
    before = without_clock(copy)
    hem.resume(copy)
    assert without_clock(copy) == before


def test_a_world_that_has_changed_is_noticed(copy, capsys):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"version_hash": "another"}))
    hem.resume(copy, quiet=False)
    assert "has changed since this run began" in "".join(capsys.readouterr())


def test_resuming_is_noted_in_the_configuration(copy):
    hem.resume(copy, env_steps=220)
    config = json.loads((copy / "config.json").read_text())
    assert config["run"]["env_steps"] == 220
    assert len(config["resumed"]) == 1


def test_two_processes_cannot_train_one_run(copy):
    with run_folder.held(copy), pytest.raises(UserError, match="another process"):
        hem.resume(copy)


@pytest.mark.parametrize(
    "why", ["held", "budget", "environment", "checkpoints", "memory", "metrics"]
)
def test_what_is_refused_changes_nothing(copy, monkeypatch, why):
    steps = 0 if why == "budget" else 300
    if why == "environment":
        monkeypatch.setattr(experiment.Experiment, "build", lambda self: require(False, "broken"))
    if why == "memory":
        monkeypatch.setattr(trainer.ring, "check_memory", lambda *_: require(False, "memory"))
    if why == "metrics":
        (copy / "metrics.jsonl").write_text("no metrics\n")
    if why == "checkpoints":
        for folder in checkpoint.listed(copy / "checkpoints"):
            (folder / "checkpoint.json").write_text("{")
    before = contents(copy)
    with run_folder.held(copy) if why == "held" else nullcontext(), pytest.raises(UserError):
        hem.resume(copy, env_steps=steps)
    assert contents(copy) == before


def test_a_budget_that_is_spent_already_is_not_written_down(copy):
    before = (copy / "config.json").read_bytes()
    hem.resume(copy, env_steps=77)
    assert (copy / "config.json").read_bytes() == before


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(api, "_default_folder", lambda what: tmp_path / "runs" / "now")
    folders = [hem.train("FlipBit", **FLIP | {"seed": seed}).folder for seed in range(3)]
    assert [folder.name for folder in folders] == ["now", "now-2", "now-3"]
    seeds = [json.loads((f / "config.json").read_text())["run"]["seed"] for f in folders]
    assert seeds == [0, 1, 2]


@pytest.mark.parametrize("damage", ["{", "[]", '{"env": "FlipBit"}', '{"env": "NoSuch"}'])
def test_a_damaged_configuration_is_the_users_error(copy, damage):
    (copy / "config.json").write_text(damage)
    with pytest.raises(UserError, match="config"):
        hem.resume(copy)


def test_a_run_is_never_trained_over(copy):
    with pytest.raises(UserError, match="already holds a run"):
        hem.train("FlipBit", run_dir=copy, **FLIP)
    (copy.parent / "other").mkdir()
    (copy.parent / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="exists and is not a run folder"):
        hem.train("FlipBit", run_dir=copy.parent / "other", **FLIP)


def test_a_nan_stops_training_and_spares_the_last_checkpoint(tmp_path, monkeypatch):
    from hem.algorithms import hem as algorithm

    make = algorithm.make

    def poisoned(config, task, strategy):
        good = make(config, task, strategy)

        def m_step(key, state, batch):
            state, metrics = good.m_step(key, state, batch)
            spoilt = state.opt_state[0].count > 10
            return state, {"loss": jnp.where(spoilt, jnp.nan, metrics["loss"])}

        return good._replace(m_step=m_step)

    monkeypatch.setattr(algorithm, "make", poisoned)
    settings = FLIP | {"eval_interval": 1}  # after each iteration
    with pytest.raises(UserError, match="train/loss"):
        hem.train("FlipBit", run_dir=tmp_path / "nan", **settings)
    found = rows(tmp_path / "nan")
    assert len(found) == 3  # 3 updates an iteration, the fourth is the bad one
    last = checkpoint.listed(tmp_path / "nan" / "checkpoints")[-1]
    assert checkpoint.read_meta(last, Counters).counters.iteration == 3
    assert all(np.isfinite(row["train/loss"]) for row in found)


def test_a_run_that_could_not_be_opened_again_is_not_made(tmp_path):
    made = experiment.make_experiment("FlipBit")
    endless = replace(made, run=replace(made.run, env_steps=10**30))
    folder, task = tmp_path / "deep" / "run", made.make_env().task
    with pytest.raises(UserError, match="env-steps"), run.Run.create(folder, endless, task):
        pass
    assert contents(tmp_path) == {}


def test_more_replay_than_memory_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="--buffer-episodes"):
        hem.train("FlipBit", run_dir=tmp_path / "huge", **FLIP | {"buffer_episodes": 10**12})
    assert not (tmp_path / "huge").exists()


def test_an_evaluation_in_parts_is_that_of_the_whole(finished, monkeypatch):
    whole = hem.evaluate(finished.folder, episodes=50, seed=2)
    monkeypatch.setattr(
        api, "policy_episodes", partial(policy_episodes.policy_episodes, at_once=20)
    )
    assert hem.evaluate(finished.folder, episodes=50, seed=2) == whole
    assert hem.evaluate(finished.folder, episodes=40, seed=2)["episodes"] == 40


def test_evaluation_is_of_its_seed(finished):
    first = hem.evaluate(finished.folder, episodes=20, seed=1)
    assert first == hem.evaluate(finished.folder, episodes=20, seed=1)
    assert set(first) == {
        "success_rate",
        "final_success_rate",
        "ci95",
        "final_ci95",
        "episodes",
        "ep_len_mean",
    }
    low, high = first["ci95"]
    assert 0 <= low <= first["success_rate"] <= high <= 1
    assert first["final_success_rate"] <= first["success_rate"]


def test_a_policy_that_samples_is_evaluated_with_equal_samples(tmp_path):
    run = untrained(tmp_path / "run", "FlipBit", bits=4, acting_temperature=1.0)
    greedy = untrained(tmp_path / "greedy", "FlipBit", bits=4)
    found = [hem.evaluate(folder, episodes=100, seed=1) for folder in (run, run, greedy)]
    assert found[0] == found[1] != found[2]


def test_an_evaluation_s_episodes_are_none_of_training_with_the_same_seed(finished, monkeypatch):
    """Nor does it draw from a key that training draws from."""
    keys = []

    def recording(*arguments, **named):
        collect = collector(*arguments, **named)
        return lambda key, *more: keys.append(key) or collect(key, *more)

    monkeypatch.setattr(policy_episodes, "collector", recording)
    hem.evaluate(finished.folder, episodes=1, seed=5)

    def data(key) -> tuple[int, ...]:
        return tuple(jax.random.key_data(key).tolist())

    streams = [learning.rng_key(5, purpose) for purpose in range(learning.TEST)]
    drawn = {data(key) for key in streams}
    for key in streams:
        numbered = jax.vmap(lambda i, key=key: jax.random.fold_in(key, i))(jnp.arange(100))
        drawn |= {data(k) for one in numbered for k in (one, *jax.random.split(one))}
    assert len(keys) == 1
    assert data(keys[0]) not in drawn


def test_an_evaluation_of_a_policy_that_has_diverged_says_so(finished, monkeypatch):
    broken = hem.load_policy(finished.folder)
    broken.state = jax.tree.map(lambda x: x * x.dtype.type(np.nan), broken.state)
    monkeypatch.setattr(hem.Run, "policy", broken)
    with pytest.raises(UserError, match=r"in the learner.* array of FlipBit in episodes"):
        hem.evaluate(finished.folder, episodes=3)
