"""What ends a session early: until, max_time and callbacks. Resuming afterwards is exact."""

import numpy as np
import pytest
from running import FLIP, called, final_bits, flags, kept, rows

import hem as library
from hem.errors import UserError
from hem.runs.session import Iteration, Session, StopRule
from hem.training.loop import Step
from hem.training.schedule import Counters

REACHED = 1e-9  # a success rate that any evaluation with a success reaches


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return library.train("FlipBit", run_dir=tmp_path_factory.mktemp("runs") / "whole", **FLIP)


def rule(session: Session, successes=(), folder=None) -> StopRule:
    from hem.runs.session import Callbacks

    return StopRule(session, folder, successes, Callbacks(session.callbacks))


def evaluated(success: float | None) -> Step:
    row = {} if success is None else {"eval/success_rate": success}
    return Step(None, Counters(), row)  # pyright: ignore


def test_until_takes_two_evaluations_in_a_row():
    stop = rule(Session(until=0.9))
    given = [0.95, None, 0.5, 1.0, None, 0.9]
    assert [stop(evaluated(s)) for s in given] == [False] * 5 + [True]
    assert "0.9" in stop.reason


def test_until_is_reached_by_a_rate_that_is_it_as_a_float32():
    at = float(np.float32(0.95))
    assert at < 0.95
    assert rule(Session(until=0.95), [at])(evaluated(at))
    assert not rule(Session(until=0.95), [at])(evaluated(0.9499))


@pytest.mark.parametrize(("earlier", "stops"), [([], False), ([0.95], True), ([0.95, 0.1], False)])
def test_evaluations_of_earlier_sessions_count(earlier, stops):
    assert rule(Session(until=0.9), earlier)(evaluated(0.92)) == stops


def test_a_run_that_is_good_enough_already_has_nothing_to_do():
    assert rule(Session(until=0.9), [0.1, 0.9, 0.95]).reason is not None
    assert rule(Session(), [1.0, 1.0]).reason is None


@pytest.mark.parametrize(("answer", "stops"), [
    (None, False), (True, False), (np.True_, False), (False, True), (np.False_, True),
])  # fmt: skip
def test_only_false_stops(answer, stops):
    assert rule(Session(callbacks=(lambda _: answer,)))(evaluated(None)) == stops


def test_callbacks_see_every_iteration_and_change_nothing(whole, tmp_path):
    seen, more = [], []
    run = library.train(
        "FlipBit", run_dir=tmp_path / "run", callback=[seen.append, more.append], **FLIP
    )
    assert [iteration.metrics for iteration in seen] == rows(run.folder)
    assert isinstance(seen[0], Iteration)
    assert [i.counters.iteration for i in more] == list(range(1, len(seen) + 1))
    assert seen[-1].folder == run.folder
    assert final_bits(run.folder) == final_bits(whole.folder)


def three(iteration: Iteration) -> bool:
    return iteration.counters.iteration < 3


@pytest.mark.parametrize("session", [{"max_time": 1e-9}, {"until": REACHED}, {"callback": three}])
def test_a_session_that_ended_early_is_resumed_exactly(whole, tmp_path, session):
    run = library.train("FlipBit", run_dir=tmp_path / "run", **FLIP, **session)
    assert rows(run.folder)[-1]["iteration"] <= len(rows(whole.folder))
    library.resume(run.folder)
    assert final_bits(run.folder) == final_bits(whole.folder)
    wanted, found = kept(whole.folder), kept(run.folder)
    assert found["metrics"] == wanted["metrics"]


@pytest.mark.slow
def test_with_workers_callbacks_are_called_in_the_program_and_stop_all(tmp_path):
    eight = {"workers": 2, "episodes_per_iteration": 8, "buffer_episodes": 80}
    two = FLIP | eight | {"env_steps": 280}
    whole = library.train("FlipBit", run_dir=tmp_path / "whole", **two)
    seen = []
    run = library.train("FlipBit", run_dir=tmp_path / "run", callback=[seen.append, three], **two)
    assert [iteration.metrics for iteration in seen] == rows(run.folder)
    assert len(seen) == 3
    library.resume(run.folder, max_time=1e-9)
    assert len(rows(run.folder)) == 4
    with pytest.raises(ZeroDivisionError):
        library.resume(run.folder, callback=lambda _: 1 / 0)
    assert len(rows(run.folder)) == 5 < len(rows(whole.folder))
    library.resume(run.folder)
    assert final_bits(run.folder) == final_bits(whole.folder)


class Told:
    """A callback that is told when training is over."""

    def __init__(self, until: int) -> None:
        self.until, self.ends = until, []

    def __call__(self, iteration: Iteration) -> None:
        if iteration.counters.iteration == self.until:
            raise KeyError("mine")

    def on_training_end(self, run, error):
        self.ends.append((run.folder, type(error), len(rows(run.folder))))


def test_a_callback_is_told_once_everything_is_saved(whole, tmp_path):
    told, folder = Told(2), tmp_path / "run"
    with pytest.raises(KeyError):
        library.train("FlipBit", run_dir=folder, callback=[print, told], **FLIP)
    library.resume(folder, callback=Told(0))
    told.until = 0
    library.resume(folder, callback=told)  # nothing to do
    count = len(rows(whole.folder))
    assert told.ends == [(folder, KeyError, 2), (folder, type(None), count)]
    assert final_bits(folder) == final_bits(whole.folder)


def test_what_a_callback_raises_comes_out_with_everything_saved(whole, tmp_path):
    with pytest.raises(KeyError, match="mine"):
        library.train("FlipBit", run_dir=tmp_path / "run", callback=_fail, **FLIP)
    library.resume(tmp_path / "run")
    assert final_bits(tmp_path / "run") == final_bits(whole.folder)


def _fail(iteration: Iteration) -> None:
    if iteration.counters.iteration == 2:
        raise KeyError("mine")


@pytest.mark.parametrize(("session", "said"), [
    ({"callback": 3}, "callback must be a function or a list of functions, not 3"),
    ({"callback": [print, "x"]}, "callback must be a function"),
    ({"until": 1.5}, "until must be in"),
    ({"until": "high"}, "until must be a finite number"),
    ({"max_time": 0}, "max-time must be positive"),
])  # fmt: skip
def test_impossible_ones_are_refused_before_anything_is_made(tmp_path, session, said):
    with pytest.raises(UserError, match=said):
        library.train("FlipBit", run_dir=tmp_path / "run", **FLIP, **session)
    assert not any(tmp_path.iterdir())


def test_the_answer_of_a_callback_is_checked(tmp_path):
    with pytest.raises(UserError, match=r"a callback returned 0\.5"):
        library.train("FlipBit", run_dir=tmp_path / "run", callback=lambda _: 0.5, **FLIP)


def test_the_command_line_has_them(tmp_path):
    few = flags(FLIP | {"env_steps": 10**6})
    done = called("train", "FlipBit", "--run-dir", tmp_path / "run", *few, "--max-time", "1e-9")
    assert done.returncode == 0, done.stderr
    assert "seconds have passed" in done.stderr
    assert len(rows(tmp_path / "run")) == 1
    done = called("resume", tmp_path / "run", "--until", REACHED)
    assert done.returncode == 0, done.stderr
    assert "2 evaluations in a row" in done.stderr
    assert called("resume", tmp_path / "run", "--until", "2").returncode == 2
