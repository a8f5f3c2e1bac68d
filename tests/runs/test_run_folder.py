import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from disk import Killed, alone, contents, killed_before, watched

from hem.errors import UserError
from hem.runs.run_folder import CONFIG, created, held, is_held
from hem.system.atomic_io import write_text


def writing(words: str):
    def begin(folder: Path) -> Path:
        write_text(folder / CONFIG, words)
        return folder

    return begin


def changes(tmp_path: Path) -> int:
    """How many changes of files it takes to make a folder."""
    with killed_before(tmp_path, 10**9) as count, created(tmp_path / "count" / "run", writing("")):
        pass
    return count[0]


@pytest.mark.parametrize("keeps", [True, False])
def test_whenever_a_rival_comes_one_gets_the_folder(tmp_path, keeps):
    for n in range(changes(tmp_path) + 1):
        folder, moments, won = tmp_path / str(n) / "run", [], []
        with ExitStack() as stack:

            def rival(n=n, folder=folder, moments=moments, won=won, stack=stack) -> None:
                moments.append(1)
                if len(moments) != n + 1:
                    return
                with alone(), suppress(UserError):
                    stack.enter_context(created(folder, writing("rival")))
                    won.append("rival")
                    if not keeps:
                        stack.pop_all().close()

            with suppress(UserError), watched(tmp_path, rival), created(folder, writing("first")):
                won.append("first")
        assert len(won) == 1
        assert (folder / CONFIG).read_text() == won[0]


def test_a_numbered_folder_is_always_a_new_one(tmp_path):
    folders = []
    for number in range(3):
        with created(tmp_path / "runs" / "a", writing(str(number)), numbered=True) as folder:
            folders.append(folder)
    assert [folder.name for folder in folders] == ["a", "a-2", "a-3"]
    assert [(folder / CONFIG).read_text() for folder in folders] == ["0", "1", "2"]


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_cannot_be_begun_leaves_nothing(tmp_path, numbered, error):
    def failing(folder):
        writing("half begun")(folder)
        raise error

    (tmp_path / "empty").mkdir()
    for name in ("empty", "deep/in/side"):
        expected = UserError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected), created(tmp_path / name, failing, numbered):
            pass
    assert contents(tmp_path) == {"empty": None}


def test_making_a_folder_may_be_killed_anywhere_and_done_again(tmp_path):
    for n in range(changes(tmp_path)):
        folder = tmp_path / str(n) / "run"
        with pytest.raises(Killed), killed_before(tmp_path, n), created(folder, writing("first")):
            pass
        if not (folder / CONFIG).exists():
            with created(folder, writing("second")):
                pass
        assert (folder / CONFIG).read_text() in ("first", "second")


@pytest.mark.parametrize("there", [CONFIG, "thesis.txt", "file", "held"])
def test_what_is_there_is_left_as_it_is(tmp_path, there):
    folder = tmp_path / "run"
    if there == "file":
        folder.write_text("years of work")
    else:
        folder.mkdir()
    with ExitStack() as stack:
        if there == "held":
            stack.enter_context(held(folder))
        elif there != "file":
            (folder / there).write_text("years of work")
        before = contents(tmp_path)
        with pytest.raises(UserError, match="run"), created(folder, writing("mine")):
            pass
        assert contents(tmp_path) == before


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "theirs").write_text("years of work")
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(UserError, match="cannot write"), held(tmp_path / "run"):
        pass
    assert (tmp_path / "theirs").read_text() == "years of work"


def test_a_folder_is_free_again_once_the_block_is_left(tmp_path):
    with pytest.raises(ValueError, match="mine"), held(tmp_path):
        raise ValueError("mine")
    with held(tmp_path), pytest.raises(UserError, match="another process"), held(tmp_path):
        pass


def test_a_held_folder_is_known_without_touching_it(tmp_path):
    assert not is_held(tmp_path)
    assert not any(tmp_path.iterdir())
    with held(tmp_path):
        assert is_held(tmp_path)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)
    (tmp_path / ".lock").chmod(0o444)  # somebody else's
    assert not is_held(tmp_path)


def test_who_looks_does_not_keep_others_out(tmp_path):
    """The one who looks has the lock for a moment, in which another one may want it."""
    (tmp_path / ".lock").touch()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            is_held(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(200):
            with held(tmp_path):
                pass
    finally:
        done.set()
        looker.join()
