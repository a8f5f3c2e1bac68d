"""What a program registered itself is known to the processes that work for it."""

import subprocess
import sys
import textwrap
import threading
import types

import gymnasium
import jax
import numpy as np
import pytest
import robots

from hem import registry
from hem.errors import UserError

ID = "MyLine-v0"


@pytest.fixture
def line(tmp_path, monkeypatch):
    """The module of an environment, that Python finds."""
    (tmp_path / "line_alone.py").write_text(robots.ALONE)
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("line_alone")
    gymnasium.registry.pop(ID, None)
    del sys.modules["line_alone"]


def inherited(parent: type) -> type:
    class Own(parent):
        """One of a program's own, which no other process can import."""

    return Own


ENTRIES = {
    "name": lambda line: "line_alone:Line",
    "class": lambda line: line.Line,
    "own class": lambda line: inherited(line.Line),
    "lambda": lambda line: lambda **kwargs: line.Line(),
}


def world_of(workers: int):
    module = registry.load("environment", ID)
    return module.make(module.Config(env_workers=workers, slots=2))


@pytest.mark.parametrize("entry", ENTRIES)
def test_workers_make_what_the_program_registered(line, run, entry):
    gymnasium.register(ID, entry_point=ENTRIES[entry](line), max_episode_steps=4)
    there, here = (run(world_of(workers), 3) for workers in (1, 0))
    jax.tree.map(np.testing.assert_array_equal, there, here)
    assert there.action.shape[1] == 4


def test_what_is_registered_anew_is_what_is_made(line, run):
    for steps in (4, 5):
        gymnasium.registry.pop(ID, None)
        gymnasium.register(ID, entry_point=line.Line, max_episode_steps=steps)
        assert run(world_of(1), 2).length.max() == steps


def test_what_cannot_be_sent_is_said_and_runs_in_this_process(line, run):
    lock = threading.Lock()
    gymnasium.register(ID, entry_point=lambda: lock and line.Line(), max_episode_steps=4)
    with pytest.raises(UserError, match=rf"{ID} .* sent to worker processes .*--env-workers 0"):
        run(world_of(1), 2)
    assert run(world_of(0), 2).length.max() == 4


def test_what_workers_cannot_import_is_said(line, run, monkeypatch):
    hidden = types.ModuleType("of_this_process")
    monkeypatch.setitem(sys.modules, "of_this_process", hidden)
    exec(robots.ALONE, vars(hidden))
    gymnasium.register(ID, entry_point=hidden.Line, max_episode_steps=4)
    with pytest.raises(UserError, match=rf"worker processes cannot load .*{ID}.*--env-workers 0"):
        run(world_of(1), 2)


def test_a_script_trains_in_what_it_registers(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        robots.ALONE
        + textwrap.dedent("""
            import hem
            gymnasium.register("MyLine-v0", entry_point=Line, max_episode_steps=6)
            run = hem.train("MyLine-v0", env_steps=40, eval_interval=40,
                            episodes_per_iteration=4, updates_per_iteration=1,
                            eval_episodes=2, hidden_dims=(8,), env_workers=2, run_dir="run")
            print("rows", len(hem.read_metrics(run.folder)) > 0)
        """)
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rows True" in done.stdout
