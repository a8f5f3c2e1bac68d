"""Worker processes that die, hang, and are killed: their episodes are lost, nothing else is."""

import gc
import os
import signal
import subprocess
import time

import jax
import numpy as np
import psutil
import pytest
import toys

from hem.errors import EnvError
from hem.training.evaluation import outcome, report


def workers() -> list[psutil.Process]:
    """The worker processes of this one."""
    return [p for p in psutil.Process().children() if "worker" in " ".join(p.cmdline())]


@pytest.fixture(autouse=True)
def none_left():
    """No test leaves a process behind."""
    before = {p.pid for p in workers()}
    yield
    gc.collect()
    assert {p.pid for p in workers()} <= before


def faulty(open_world, mark, fault, workers=2, **settings):
    env_kwargs = {"fault": fault, "when": 3, "mark": str(mark)}
    return open_world(
        "Faulty", env_workers=workers, slots=4, threshold=0.1, env_kwargs=env_kwargs, **settings
    )


@pytest.mark.parametrize(("fault", "settings"), [("die", {}), ("hang", {"patience": 2.0})])
def test_what_a_dying_process_ran_is_lost_and_the_rest_is_not(
    open_world, run, tmp_path, fault, settings
):
    env = faulty(open_world, tmp_path / "mark", fault, **settings)
    episodes = run(env, 4)
    assert sorted(episodes.length) == [0, 0, 8, 8]
    lost = episodes.length == 0
    assert lost.tolist() in ([True, False] * 2, [False, True] * 2)
    good = run(faulty(open_world, tmp_path / "mark", "none"), 4)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[~lost], b[~lost]), episodes, good)
    again = run(env, 4)  # started again
    jax.tree.map(np.testing.assert_array_equal, again, good)


def test_a_process_that_is_killed_between_episodes_is_not_missed(open_world, run):
    env = open_world("Reach", env_workers=2, slots=4)
    first = run(env, 4)
    victims = workers()
    for process in victims:
        process.kill()
    psutil.wait_procs(victims, timeout=0.1)
    jax.tree.map(np.testing.assert_array_equal, run(env, 4), first)


def test_a_process_that_is_killed_in_mid_episode_loses_its_episodes(open_world):
    env = open_world("Reach", env_workers=2, slots=4)
    state, _ = env.reset(np.zeros((4, 2), np.uint32))
    state = env.step(state, np.zeros((4, 2), np.float32))
    os.kill(workers()[0].pid, signal.SIGKILL)
    state = env.step(state, np.zeros((4, 2), np.float32))
    terminated, truncated, lost = env.ending(state)
    assert sorted(lost) == [False, False, True, True]
    assert not (terminated | truncated).any()
    kept = type(state)(*(x[~lost] for x in state))
    for _ in range(3):
        kept = env.step(kept, np.zeros((2, 2), np.float32))
    assert not env.ending(kept).lost.any()


@pytest.mark.parametrize(
    ("fault", "when", "says"),
    [
        ("die", 3, "was killed by SIGKILL 3 times without finishing an episode"),
        ("die", "reset", "SIGKILL 3 times"),
        ("die", "constructor", "SIGKILL 3 times"),
        ("hang", 2, "did not respond for 0.5 s 3 times.*--patience"),
    ],
)
def test_one_that_dies_again_and_again_is_given_up(tmp_path, open_world, run, fault, when, says):
    # What makes the environment looks at the environment in another process, where it does not die.
    mark = tmp_path / "mark"
    if fault == "die" and when == "constructor":
        code = (
            "from pathlib import Path\nimport os, signal, sys\n"
            f"sys.path.append({os.path.dirname(toys.__file__)!r})\nimport toys\n"  # noqa: PTH120
            f"def make():\n    mark = Path({str(mark)!r})\n    if mark.exists():\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n    return toys.Reach()\n"
        )
        (tmp_path / "dying.py").write_text(code)
        env = open_world(f"{tmp_path / 'dying.py'}:make", env_workers=1, threshold=0.1)
    else:
        kwargs = {"fault": fault, "when": when}
        settings = {"patience": 0.5} if fault == "hang" else {}
        env = open_world("Faulty", env_workers=1, threshold=0.1, env_kwargs=kwargs, **settings)
    mark.touch()

    def again_and_again():
        for _ in range(5):
            assert (run(env, 4).length == 0).all()

    with pytest.raises(EnvError, match=says) as caught:
        again_and_again()
    assert "--env-workers 0" in str(caught.value)


def test_lost_episodes_are_no_failures(open_world, run, tmp_path):
    env = faulty(open_world, tmp_path / "mark", "die")
    episodes = run(env, 4)
    assert report(jax.tree.map(np.asarray, outcome(env.task, episodes)))["episodes"] == 2


def test_a_worker_leaves_what_it_started_behind_for_nobody(tmp_path, open_world, run):
    """An environment's own processes end with its worker, even one that is killed."""
    (tmp_path / "busy.py").write_text(
        "import subprocess, sys\n"
        f"sys.path.append({os.path.dirname(toys.__file__)!r})\nimport toys\n"  # noqa: PTH120
        "class Busy(toys.Faulty):\n"
        "    def reset(self, **seed):\n"
        "        if self.when == 3: self.child = subprocess.Popen(['sleep', '1000'])\n"
        "        return super().reset(**seed)\n"
    )
    env = open_world(
        f"{tmp_path / 'busy.py'}:Busy",
        env_workers=1,
        slots=1,
        threshold=0.1,
        env_kwargs={"fault": "die"},
    )
    env.reset(np.zeros((1, 2), np.uint32))
    (worker,) = workers()
    (child,) = worker.children()
    assert run(env, 1).length[0] == 0
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_what_an_environment_prints_does_not_get_into_what_hem_prints(tmp_path, open_world):
    (tmp_path / "loud.py").write_text(
        f"import sys\nsys.path.append({os.path.dirname(toys.__file__)!r})\nimport toys\n"  # noqa: PTH120
        "class Loud(toys.Reach):\n"
        "    def step(self, action):\n"
        "        print('step!', flush=True)\n"
        "        return super().step(action)\n"
    )
    code = (
        "import numpy as np\nfrom hem import registry\n"
        f"m = registry.load('environment', {str(tmp_path / 'loud.py') + ':Loud'!r})\n"
        "w = m.make(m.Config(horizon=8, env_workers=1, threshold=.1))\n"
        "s, _ = w.reset(np.zeros((1, 2), np.uint32))\n"
        "w.step(s, np.zeros((1, 2), np.float32))\n"
    )
    command = [os.sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert result.stdout == ""
    assert "step!" in result.stderr


def test_processes_end_with_their_world(open_world, run):
    env = open_world("Reach", env_workers=2)
    run(env, 2)
    running = workers()
    assert len(running) == 2
    began = time.monotonic()
    del env
    gc.collect()
    gone, alive = psutil.wait_procs(running, timeout=20)
    assert not alive
    assert len(gone) == 2
    assert time.monotonic() - began < 20
