"""Whole runs in environments that are not hem's own: they learn, resume, and ask for trust."""

import json
import os
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import toys
from running import FLIP, TINY, called, final_bits, flags, rows

import hem as library
from hem.api import new_run
from hem.errors import EnvError, UserError
from hem.runs import checkpoint, playback
from hem.runs.experiment import make_experiment
from hem.runs.run import Run
from hem.training import loop
from hem.training.evaluation import outcome
from hem.training.rollout import Interrupted

TOYS = toys.__file__
REACH = f"{TOYS}:Reach"
QUICK = TINY | {
    "horizon": 6, "env_workers": 0, "strategy": "future", "threshold": 0.15, "slots": 4,
    "eval_interval": 48, "eval_episodes": 2, "env_steps": 200,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Run:
    """A finished run, not to be changed."""
    return library.train(REACH, run_dir=tmp_path_factory.mktemp("runs") / "reach", **QUICK)


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A finished run to be changed."""
    return shutil.copytree(finished.folder, tmp_path / "copy")


@pytest.mark.slow
def test_hem_learns_in_an_environment_of_ones_own(tmp_path):
    settings = {
        "horizon": 20, "env_steps": 4000, "eval_interval": 4000, "eval_episodes": 50,
        "hidden_dims": (64, 64), "action_noise": 0.5, "env_workers": 1, "strategy": "geometric",
    }  # fmt: skip
    shutil.copy(TOYS, tmp_path / "mine.py")
    run = tmp_path / "run"
    result = called("train", "mine.py:Reach", "--run-dir", run, *flags(settings), cwd=tmp_path)
    assert result.returncode == 0, result
    assert "--trust" in result.stdout
    assert rows(run)[-1]["eval/success_rate"] > 0.8  # 0.15 for the untrained, 1.0 as measured
    result = called("evaluate", run, "--trust", "--episodes", "20", "--json")
    assert json.loads(result.stdout)["success_rate"] > 0.8, result


def test_resuming_is_exact_from_any_folder_and_with_any_workers(finished, tmp_path, monkeypatch):
    half = QUICK | {"env_steps": 100}
    monkeypatch.chdir(Path(TOYS).parent)
    library.train("toys.py:Reach", run_dir=tmp_path / "half", **half)
    assert final_bits(tmp_path / "half") != final_bits(finished.folder)
    monkeypatch.chdir("/")
    config = json.loads((tmp_path / "half" / "config.json").read_text())
    assert config["env"] == REACH
    config["env_config"]["env_workers"] = 2
    (tmp_path / "half" / "config.json").write_text(json.dumps(config))
    library.resume(tmp_path / "half", env_steps=QUICK["env_steps"], trust=True)
    assert final_bits(tmp_path / "half") == final_bits(finished.folder)


def test_the_folder_of_a_run_has_a_clean_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = library.train(REACH, **QUICK | {"env_steps": 1})
    assert run.folder.parent == Path("runs")
    assert run.folder.name.startswith("toys.py-Reach-hem-0-")
    assert json.loads((run.folder / "policy.json").read_text())["task"] == "toys.py:Reach"


def unpicked(copy, **changes) -> None:
    """Put something else into a run's configuration, as a stranger may."""
    config = json.loads((copy / "config.json").read_text())
    env_config = config["env_config"] | changes.pop("env_config", {})
    (copy / "config.json").write_text(json.dumps(config | changes | {"env_config": env_config}))


@pytest.fixture
def trap(tmp_path) -> Path:
    """A file that leaves a mark when it is run."""
    file = tmp_path / "trap.py"
    file.write_text(
        f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
        f"import sys; sys.path.append({str(Path(TOYS).parent)!r})\n"
        "from toys import Reach, close\n"
    )
    return file


@pytest.mark.parametrize("how", ["file", "relative", "module", "success", "argument"])
def test_a_stranger_s_run_cannot_run_code(copy, trap, how, monkeypatch):
    monkeypatch.chdir(trap.parent)
    monkeypatch.syspath_prepend(trap.parent)
    registered = {"env": "PointMaze_UMaze-v3"}
    changes = {
        "file": {"env": f"{trap}:Reach"},
        "relative": {"env": "trap.py:Reach"},
        "module": {"env": "trap:Reach-v0"},
        "success": registered | {"env_config": {"success": f"{trap}:close", "threshold": None}},
        "argument": registered | {"env_config": {"env_kwargs": ["xml=trap.xml"]}},
    }[how]
    unpicked(copy, **changes)
    before = (copy / "config.json").read_text()
    named = "xml=trap.xml" if how == "argument" else "trap"
    for action in (
        lambda: library.resume(copy, env_steps=300),
        lambda: library.evaluate(copy, episodes=2),
        lambda: list(playback.frames(copy, 1)),
        lambda: Run(copy),
    ):
        with pytest.raises(UserError, match=rf"{named}.*--trust"):
            action()
    assert not (trap.parent / "sprung").exists()
    assert (copy / "config.json").read_text() == before
    assert library.load_policy(copy) is not None  # which is data


def test_nor_can_it_on_the_command_line(copy, trap):
    unpicked(copy, env=f"{trap}:Reach")
    for command in ("resume", "evaluate", "play"):
        refused(called(command, copy), str(trap), "--trust")
    assert not (trap.parent / "sprung").exists()


def test_with_trust_it_is_run(copy, trap):
    unpicked(copy, env=f"{trap}:Reach")
    assert library.evaluate(copy, episodes=4, trust=True)["episodes"] == 4
    assert (trap.parent / "sprung").exists()


def test_of_a_registered_environment_no_trust_is_needed(tmp_path):
    asked = make_experiment("PointMaze_UMaze-v3", **QUICK, env_kwargs={"continuing_task": False})
    with new_run(asked, tmp_path / "maze"):
        pass
    assert Run(tmp_path / "maze").code is None


def test_a_policy_is_shown_at_work(finished):
    images = list(playback.frames(finished.folder, episodes=2, trust=True))
    assert images[0].shape == (32, 32, 3)
    assert (images[0] != images[1]).any()
    with pytest.raises(EnvError, match="cannot be rendered"):
        list(playback.frames(library.train(
            f"{TOYS}:Grid", run_dir=finished.folder.parent / "grid",
            **QUICK | {"threshold": None, "env_steps": 1},
        ).folder, trust=True))  # fmt: skip


def test_dropped_episodes_are_counted_and_the_run_goes_on(tmp_path):
    settings = QUICK | {
        "env_workers": 2, "env_kwargs": {"fault": "die", "when": 3, "mark": str(tmp_path / "mark")},
    }  # fmt: skip
    run = library.train(f"{TOYS}:Faulty", run_dir=tmp_path / "run", **settings)
    done = rows(run.folder)
    assert done[0]["rollout/dropped"] == 2
    assert sum(row["rollout/dropped"] for row in done) == 2
    assert done[0]["rollout/ep_len_mean"] > 2  # of those that were not
    assert done[-1]["env_steps"] >= QUICK["env_steps"]
    assert run.experiment.env_config.env_kwargs[0] == 'fault="die"'


def breaking(tmp_path, at: int) -> str:
    """An environment that breaks in its ``at``-th episode."""
    file = tmp_path / "breaking.py"
    file.write_text(
        f"import sys; sys.path.append({str(Path(TOYS).parent)!r})\n"
        "import toys\n"
        "begun = 0\n"
        "class Breaking(toys.Reach):\n"
        "    def reset(self, **how):\n"
        "        global begun\n"
        "        begun += 1\n"
        f"        if begun == {at}: raise OSError('no more')\n"
        "        return super().reset(**how)\n"
    )
    return f"{file}:Breaking"


# Each iteration begins 4 episodes, and every second one 2 more to evaluate.
@pytest.mark.parametrize(
    "at", [pytest.param(14, id="collecting"), pytest.param(19, id="evaluating")]
)
def test_what_was_learnt_before_an_environment_failed_is_saved(tmp_path, at):
    with pytest.raises(EnvError, match=r"no more.*hem resume .*run --trust"):
        library.train(breaking(tmp_path, at), run_dir=tmp_path / "run", **QUICK)
    done = rows(tmp_path / "run")
    assert done
    before = final_bits(tmp_path / "run")
    library.resume(tmp_path / "run", trust=True)
    assert final_bits(tmp_path / "run") != before
    assert [row["iteration"] for row in rows(tmp_path / "run")][: len(done)] == [
        row["iteration"] for row in done
    ]
    assert rows(tmp_path / "run")[-1]["env_steps"] >= QUICK["env_steps"]


@pytest.mark.parametrize("error", [EnvError("broken"), Interrupted()])
def test_an_evaluation_that_fails_does_not_lose_its_iteration(tmp_path, monkeypatch, error):
    judged = []
    make = loop._evaluation

    def failing(*args):
        judge = make(*args)

        def evaluate(state):
            judged.append(1)
            if len(judged) == 2:
                raise error
            return judge(state)

        return evaluate

    monkeypatch.setattr(loop, "_evaluation", failing)
    expected = pytest.raises(EnvError, match="resume")
    with expected if isinstance(error, EnvError) else nullcontext():
        library.train("FlipBit", run_dir=tmp_path / "run", **FLIP)
    done = rows(tmp_path / "run")
    assert "eval/success_rate" not in done[-1]
    latest = checkpoint.listed(tmp_path / "run" / "checkpoints")[-1]
    assert checkpoint.read_meta(latest, loop.Counters).counters.iteration == done[-1]["iteration"]


def test_only_lost_episodes_are_left_out_of_an_outcome(open_world, run):
    env = open_world("Reach")
    episodes = run(env, 4)
    episodes.length[1] = 0
    assert np.asarray(outcome(env.task, episodes).steps)[1] == 0


def refused(result: subprocess.CompletedProcess, *parts: str) -> None:
    assert result.returncode == 2, result
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for part in parts:
        assert part in result.stderr


def test_mistakes_on_the_command_line_get_one_line(tmp_path):
    refused(called("train", "nothing.py:Env"), "there is no file")
    refused(called("train", os.path.relpath(TOYS)), "toys.py:MyEnv")
    refused(called("train", f"{TOYS}:Reach", cwd=tmp_path), "--horizon")
    refused(called("train", f"{TOYS}:Graded", "--horizon", "5", cwd=tmp_path), "--threshold")
    assert not list(tmp_path.iterdir())
