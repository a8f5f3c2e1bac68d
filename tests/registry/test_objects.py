"""Objects of a program in place of names: what trains, what a run records, who can resume it."""

import importlib.util
import json
import shutil
import sys
import threading
from pathlib import Path

import gymnasium
import jax.numpy as jnp
import pytest
from running import called, final_bits, hem
from slide import Slide

import hem as library
from hem import registry
from hem.errors import UserError
from hem.runs.experiment import make_experiment

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
QUICK = {
    "env_steps": 60, "eval_interval": 30, "eval_episodes": 2, "episodes_per_iteration": 4,
    "updates_per_iteration": 2, "hidden_dims": (8,), "buffer_episodes": 20,
}  # fmt: skip


def example(name: str):
    """A module of docs/examples, as a program imports it."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def recorded(run) -> dict:
    return json.loads((run.folder / "config.json").read_text())


def local() -> type[gymnasium.Env]:
    class Own(Slide):
        """No other process can import this one."""

    return Own


GIVEN = {
    "class": (lambda: Slide, f"{sys.modules[Slide.__module__].__file__}:Slide"),
    "local class": (local, "python:Own"),
    "lambda": (lambda: lambda render_mode=None: Slide(), "python:<lambda>"),
    "instance": (Slide, "python:Slide"),
    "vector": (lambda: gymnasium.vector.SyncVectorEnv([Slide] * 2), "python:SyncVectorEnv"),
}


@pytest.mark.parametrize("form", GIVEN)
def test_a_gymnasium_environment_trains_and_is_resumed_exactly(tmp_path, form):
    make, name = GIVEN[form]
    given = make()
    workers = {"env_workers": 1} if form in ("local class", "lambda") else {}
    long, short = (
        library.train(
            given, run_dir=tmp_path / str(steps), **QUICK | workers | {"env_steps": steps}
        )
        for steps in (120, 60)
    )
    assert recorded(short)["env"] == name
    with pytest.raises(UserError, match="add --trust" if form == "class" else "env="):
        library.resume(short.folder, env_steps=120)
    library.resume(short.folder, env_steps=120, env=given)
    assert library.evaluate(short.folder, episodes=2, env=given)["episodes"] == 2
    if form == "vector":
        return  # episodes end together, so the number of steps decides which follow
    assert final_bits(short.folder) == final_bits(long.folder)


def test_an_instance_is_left_open(tmp_path):
    env = Slide()
    library.train(env, run_dir=tmp_path / "run", **QUICK)
    assert not env.closed
    for wrong, said in (({"slots": 3}, "slots"), ({"env_workers": 2}, "env-workers must be 0")):
        with pytest.raises(UserError, match=said):
            library.train(env, run_dir=tmp_path / "other", **QUICK | wrong)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_sent_stays_in_this_process(tmp_path):
    lock = threading.Lock()
    made = []

    def make():
        with lock:
            made.append(1)
            return Slide()

    library.train(make, run_dir=tmp_path / "run", **QUICK)
    assert made
    with pytest.raises(UserError, match=r"make cannot be sent .*env_workers=0"):
        library.train(make, run_dir=tmp_path / "other", **QUICK | {"env_workers": 1})


def test_the_shell_says_in_one_line_what_only_a_program_has(tmp_path):
    run = library.train(lambda render_mode=None: Slide(), run_dir=tmp_path / "run", **QUICK)
    for command in ("resume", "evaluate", "play"):
        done = called(command, run.folder, "--trust")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "object of a Python program" in line
        assert "env=<lambda>" in line


def test_modules_with_the_form_of_hem_s_own_are_named_by_their_files(tmp_path):
    carousel, discounted, window = map(example, ("carousel", "discounted", "window"))
    run = library.train(carousel, discounted, window, run_dir=tmp_path / "run", window=3, **QUICK)
    names = [recorded(run)[part] for part in ("env", "algo", "strategy")]
    assert names == [str(EXAMPLES / f"{m}.py") for m in ("carousel", "discounted", "window")]
    assert called("resume", run.folder, "--env-steps", "120").returncode == 2  # it needs --trust
    done = hem("resume", run.folder, "--env-steps", "120", "--trust", "--quiet")
    assert done.returncode == 0, done.stderr
    whole = library.train(
        *names, run_dir=tmp_path / "whole", window=3, **QUICK | {"env_steps": 120}
    )
    assert final_bits(run.folder) == final_bits(whole.folder)


def test_records_and_functions_take_the_place_of_modules(tmp_path):
    carousel = example("carousel")
    env = carousel.make(carousel.Config())

    def last(key, replay, index):
        return replay.data.length[index.episode] + jnp.zeros_like(index.step)

    run = library.train(env, strategy=last, run_dir=tmp_path / "run", **QUICK)
    same = library.train(env, strategy="final", run_dir=tmp_path / "same", **QUICK)
    assert final_bits(run.folder) == final_bits(same.folder)
    assert recorded(run)["env"] == f"python:{env.task.name}"
    assert recorded(run)["strategy"] == "python:last"
    algorithm = make_experiment(env).build()[1]
    again = library.train(env, algorithm, run_dir=tmp_path / "again", **without_algo(QUICK))
    assert recorded(again)["strategy"] is None


def without_algo(settings: dict) -> dict:
    return {name: value for name, value in settings.items() if name != "hidden_dims"}


@pytest.mark.slow
def test_objects_go_to_the_workers_of_a_run(tmp_path):
    def next_(key, replay, index):
        return index.step + 1

    two = QUICK | {"bits": 5, "workers": 2}
    run = library.train("FlipBit", strategy=next_, run_dir=tmp_path / "run", **two)
    assert library.read_metrics(run.folder)
    lock = threading.Lock()
    with pytest.raises(UserError, match="cannot be sent to worker processes"):
        library.train(
            "FlipBit", strategy=lambda *a: lock and next_(*a), run_dir=tmp_path / "no", **two
        )


@pytest.mark.parametrize(("arguments", "said"), [
    ((3,), "env must be the name of a known environment, a Gymnasium environment"),
    ((dict,), "env must be"),
    (("FlipBit", print), "algo must be the name of a known algorithm, an Algorithm"),
    (("FlipBit", "hem", 4), "strategy must be"),
    (("python:MyEnv",), "object of a Python program"),
])  # fmt: skip
def test_what_is_none_of_these_is_refused(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        library.train(*arguments)
    assert not any(tmp_path.iterdir())


def test_a_name_is_registered_for_the_rest_of_the_program(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {kind: {} for kind in registry.PACKAGES})
    library.register("environment", Slide)
    library.register("environment", Slide)  # as a cell of a notebook does
    library.register("algorithm", example("discounted"))
    library.register("strategy", lambda key, replay, index: index.step + 1, name="next")
    run = library.train("Slide", "discounted", "next", run_dir=tmp_path / "run", **QUICK)
    assert [recorded(run)[part] for part in ("env", "algo", "strategy")] == [
        "Slide", "discounted", "next",
    ]  # fmt: skip
    library.resume(run.folder, env_steps=120)
    assert {"Slide", "FlipBit"} <= set(registry.entries("environment"))
    for kind, given, name, said in (
        ("algorithm", example("discounted"), "hem", "already the algorithm hem"),
        ("environment", local(), "Slide", "already the environment Slide"),
        ("world", Slide, None, "kind must be environment, algorithm or strategy"),
        ("environment", Slide, 3, "name must be a string"),
        ("environment", 3, "Three", "env must be"),
    ):
        with pytest.raises(UserError, match=said):
            library.register(kind, given, name)


def test_an_algorithm_in_a_file_is_code_that_needs_trust(tmp_path):
    trap = tmp_path / "trap.py"
    shutil.copy(EXAMPLES / "discounted.py", trap)
    run = library.train("FlipBit", f"{trap}", bits=5, run_dir=tmp_path / "run", **QUICK)
    sprung = tmp_path / "sprung"
    trap.write_text(trap.read_text() + f"\nopen({str(sprung)!r}, 'w').close()\n")
    for command in ("resume", "evaluate"):
        done = called(command, run.folder)
        assert done.returncode == 2
        assert f"code of its own, {trap}: add --trust" in done.stderr
    assert not sprung.exists()
    assert called("resume", run.folder, "--env-steps", "90", "--trust").returncode == 0
    assert sprung.exists()
    trap.unlink()
    done = called("resume", run.folder, "--trust")
    assert "there is no file" in done.stderr


NAMESPACE = """
import sys
sys.path.append({examples!r})
import discounted
class MyAlgo:
    NAME, Config, make = "mine", discounted.Config, staticmethod(discounted.make)
class Half:
    NAME, Config, make = "half", type("Config", (), {{}}), staticmethod(discounted.make)
def soon(key, replay, index):
    return index.step + 1
"""


def test_the_command_line_takes_files_and_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(NAMESPACE.format(examples=str(EXAMPLES)))
    (tmp_path / "broken.py").write_text("1 / 0\n")
    few = ("--bits", "5", "--env-steps", "40", "--hidden-dims", "8", "--quiet")
    words = ("train", "FlipBit", *few, "--run-dir", "run")
    done = hem(*words, "--algo", "mine.py:MyAlgo", "--strategy", "mine:soon", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["algo"] == f"{tmp_path / 'mine.py'}:MyAlgo"
    assert config["strategy"] == "mine:soon"
    assert (
        "--gamma"
        in called("train", "FlipBit", "--algo", "mine.py:MyAlgo", "--help", cwd=tmp_path).stdout
    )
    for algo, said in {
        "mine.py:None_": "has no 'None_': it has MyAlgo, Half, soon",
        "mine.py:Half": "an object with NAME, Config and make",
        "mine.py": "an object with NAME, Config and make",
        "broken.py": "cannot be loaded (ZeroDivisionError: division by zero): fix it",
        "absent.py:MyAlgo": "there is no file",
        "absent:MyAlgo": "there is no module absent",
    }.items():
        done = called("train", "FlipBit", "--algo", algo, "--run-dir", "no", cwd=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "no").exists()
